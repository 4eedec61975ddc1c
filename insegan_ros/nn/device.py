"""The device that networks run on."""

from __future__ import annotations

import torch

from insegan_ros.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The torch device called `name`: auto, cpu, cuda or cuda:N; auto is cuda where torch sees one.
    Raises ConfigError for an unknown name and for a device that is not there."""
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f'device is "{name}": expected auto, cpu, cuda or cuda:N') from None
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f'device is "{name}" but torch sees {torch.cuda.device_count()} CUDA devices: expected'
            ' auto or cpu here'
        )
    if device.type not in ('cpu', 'cuda'):
        raise ConfigError(f'device is "{name}": expected auto, cpu, cuda or cuda:N')
    return device
