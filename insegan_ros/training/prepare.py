"""What every recipe begins with: the data as pictures, the device, a folder of its own; and what it says of the machine at the end."""
from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from lightning.fabric import Fabric

from insegan_ros.datasets.height_maps import HeightMaps, read_height_maps
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.networks.displacement import height_shares
from insegan_ros.networks.insegan import IMAGE_SIZE
from insegan_ros.workspace import read_workspace
from insegan_ros.training.loop import make_fabric


@dataclass(frozen=True)
class Prepared:
    """maps, the data; images (N, 1, S, S), S the recipe's size or 64, on the device, the same as networks see them: -1 is the floor, +1 is height_m, the few
    things that stand higher are above it; Fabric, launched."""

    maps: HeightMaps
    height_m: float
    fabric: Fabric
    images: torch.Tensor

    @property
    def relief_px(self) -> float:
        """The height scale in px of the images."""
        return self.height_m / self.maps.pixel_m

    def describe(self, config: Any, seconds: float, steps: dict[str, int], what: str = 'unlabelled scenes') -> dict[str, Any]:
        """A checkpoint's history."""
        return {'data': f'{len(self.images)} {what}', 'fingerprint': self.maps.fingerprint, 'seed': config.seed, 'steps': steps,
                'minutes': round(seconds / 60, 1), 'hardware': hardware(self.fabric.device)}


def prepare(config: Any, truth: bool = False) -> Prepared:
    """Read what `config.data` and `config.scenes` name; labels for `truth` alone. Raises DatasetError; makes nothing."""
    workspace = read_workspace(Path(config.workspace)) if getattr(config, 'workspace', '') else None
    maps = read_height_maps(config.data, getattr(config, 'size', IMAGE_SIZE), config.scenes, truth, workspace)
    height_m = height_scale(maps.heights_m)
    fabric = make_fabric(config.loop)
    images = torch.from_numpy(height_shares(maps.heights_m, height_m) * 2 - 1)[:, None].float().to(fabric.device)
    return Prepared(maps, height_m, fabric, images)


def height_scale(heights: np.ndarray) -> float:
    """The height in metres that becomes +1: nearly the highest thing in the data. Raises DatasetError on an empty bin."""
    above = heights[heights > 0.005]
    if above.size < 100:
        raise DatasetError('nothing in the data stands 5 mm or more above the floor: expected parts in the bin')
    return float(np.quantile(above, 0.995))


def hardware(device: torch.device) -> str:
    """The machine in words, for a model card."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{torch.get_num_threads()} CPU cores ({platform.machine()})'


def claim(out: Path, config: Any, fingerprint: str) -> None:
    """Refuse a folder that holds another training, so that nothing is mixed or written over; says what differs."""
    note = out / 'config.yaml'
    wanted = {**asdict(config), 'fingerprint': fingerprint}
    if note.exists():
        changed = _differences(yaml.safe_load(note.read_text()) or {}, yaml.safe_load(yaml.safe_dump(_plain(wanted))))
        if changed:
            raise ConfigError(f'{out} holds a training with another configuration or other data ({"; ".join(changed[:4])}): expected the same '
                              f'as in {note}, or another --out')
    if out.is_dir() and not note.exists() and any(out.iterdir()):
        raise ConfigError(f'{out} is not empty and holds no training: expected an empty folder for --out')
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(yaml.safe_dump(_plain(wanted), sort_keys=False))


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _differences(before: Any, now: Any, name: str = '') -> list[str]:
    """What differs between two configurations, as "insegan.gan.steps was 10, is 20"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [line for key in {**before, **now} for line in _differences(before.get(key), now.get(key), f'{name}.{key}' if name else str(key))]
    return [] if before == now else [f'{name} was {before}, is {now}']
