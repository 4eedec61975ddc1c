"""Foreground or background, for every pixel of a colour picture: a U-Net."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from insegan_ros.errors import ConfigError
from insegan_ros.nn.unet import UNet


@dataclass(frozen=True)
class ForegroundConfig:
    """Shape of the U-Net. The papers' has width 64 and 4 levels (64-128-256-512)."""

    width: int = 16
    """Channels at full resolution; doubled at every level."""
    levels: int = 4
    """Resolutions; images are padded to multiples of 2^(levels - 1)."""

    def __post_init__(self) -> None:
        if self.width % 8 or self.width < 8 or not 2 <= self.levels <= 6:
            raise ConfigError(
                f'width is {self.width}, levels {self.levels}: expected a multiple of 8, and 2 to 6'
            )


class ForegroundNet(UNet):
    """(B, 3, H, W) RGB in [-1, 1] -> (B, 1, H, W) logits of the foreground, batch norm."""

    def __init__(self, config: ForegroundConfig) -> None:
        super().__init__(3, 1, config.width, config.levels, 'batch')


def inner_square(size: int, context: float) -> Tensor:
    """(1, 1, size, size), 1 in the middle square that a box `context` times as small as the picture
    can fill, 0 around it."""
    axis = ((torch.arange(size) + 0.5) / size - 0.5).abs() <= 0.5 / context
    return (axis[:, None] & axis).float()[None, None]
