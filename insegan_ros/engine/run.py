"""What every recipe begins with: the data as pictures, the device, a folder of its own; and what it
says of the machine at the end."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from lightning.fabric import Fabric

from insegan_ros.data.height_maps import HeightMaps, read_height_maps
from insegan_ros.data.pictures import View, read_pictures
from insegan_ros.engine.loop import LoopConfig, make_fabric
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.files import write_whole
from insegan_ros.heights import IMAGE_SIZE, PART_M, height_scale, height_shares, signed
from insegan_ros.workspace import read_workspace

# So few pictures show neither what an object is nor what is behind it; so few height maps not what
# a part is.
FEWEST_PICTURES, FEWEST_MAPS = 50, 5
# A height map in which fewer pixels stand above the floor shows an empty bin.
LEAST_SHOWN_PX = 8
# What says where a run lies and how it is shown, and nothing of what it learns.
UNIMPORTANT = ('out', 'loop.threads', 'loop.save_every', 'loop.log_every')


@dataclass(frozen=True)
class Prepared:
    """maps, the data; images (N, 1, S, S), S the recipe's size or 64, on the device, the same as
    networks see them: -1 is the floor, +1 is height_m, the few things that stand higher are above
    it; Fabric, launched."""

    maps: HeightMaps
    height_m: float
    fabric: Fabric
    images: torch.Tensor

    @property
    def relief_px(self) -> float:
        """The height scale in px of the images."""
        return self.height_m / self.maps.pixel_m

    def describe(
        self, config: Any, seconds: float, steps: dict[str, int], what: str = 'unlabelled scenes'
    ) -> dict[str, Any]:
        """A checkpoint's history."""
        return history(
            self.fabric,
            config.seed,
            f'{len(self.images)} {what}',
            self.maps.fingerprint,
            seconds,
            steps,
        )


def prepare(config: Any, truth: bool = False) -> Prepared:
    """Read what `config.data` and `config.scenes` name; labels for `truth` alone. Height maps of an
    empty bin are left out, and counted aloud. Raises DatasetError; makes nothing."""
    workspace = read_workspace(Path(config.workspace)) if getattr(config, 'workspace', '') else None
    maps = read_height_maps(
        config.data, getattr(config, 'size', IMAGE_SIZE), config.scenes, truth, workspace
    )
    height_m = height_scale(maps.heights_m)
    shown = (maps.heights_m > PART_M).sum((1, 2)) >= LEAST_SHOWN_PX
    if not shown.all():
        print(
            f'{config.data}: {int((~shown).sum())} of {len(shown)} height maps show an empty bin'
            ' and are left out'
        )
        maps = maps.chosen(shown)
    if len(maps.heights_m) < FEWEST_MAPS:
        raise DatasetError(
            f'{config.data} holds {len(maps.heights_m)} height maps with parts: expected'
            f' {FEWEST_MAPS} or more, some hundreds to learn well'
        )
    fabric = make_fabric(config.loop)
    images = (
        torch.from_numpy(signed(height_shares(maps.heights_m, height_m)))[:, None]
        .float()
        .to(fabric.device)
    )
    return Prepared(maps, height_m, fabric, images)


@dataclass(frozen=True)
class PicturesConfig:
    """What the methods that learn from colour pictures of single objects have in common."""

    data: str = 'data/single-tote'
    """Folder of shards with colour, of photographs (CUB, Stanford Dogs or Cars, CelebA, Amazon
    Picking Challenge, any pictures), or a file of pictures. No mask is read."""
    out: str = 'runs/foreground'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    scenes: int = 0
    """Pictures to learn from, the first ones; 0 is all of them."""
    view: View = 'scene'
    """What of a picture is looked at: scene, the bin's inside or the middle of a photograph; box, a
    square around the object's box."""
    context: float = 1.2
    """How much larger than the box that square is."""
    begin: str = ''
    """Folder of a run that is alike but ends earlier (fewer rounds, no distillation): the stages
    that it has finished are taken over."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.scenes < 0 or not 1 <= self.context <= 10:
            raise ConfigError(
                f'scenes is {self.scenes}, context {self.context}: expected 0 or more, 1 to 10'
            )
        if self.loop.devices > 1:
            raise ConfigError(
                f'loop.devices is {self.loop.devices}: these networks are trained on one device,'
                ' expected 1'
            )


@dataclass(frozen=True)
class PreparedPictures:
    """images (N, 3, S, S) uint8 on the device, masks (N, S, S) bool where asked for; Fabric,
    launched; the data's name and fingerprint."""

    images: torch.Tensor
    masks: torch.Tensor | None
    fabric: Fabric
    name: str
    fingerprint: str

    def describe(
        self, config: Any, seconds: float, steps: dict[str, int], what: str = 'unlabelled pictures'
    ) -> dict[str, Any]:
        """A checkpoint's history."""
        return history(
            self.fabric, config.seed, f'{len(self.images)} {what}', self.fingerprint, seconds, steps
        )


def prepare_pictures(config: PicturesConfig, size: int, truth: bool = False) -> PreparedPictures:
    """Read what `config.data` names at `size` px; masks for `truth` alone. Raises DatasetError;
    makes nothing."""
    pictures = read_pictures(config.data, size, config.view, config.context, config.scenes, truth)
    if len(pictures.images) < FEWEST_PICTURES:
        raise DatasetError(
            f'{config.data} holds {len(pictures.images)} pictures: expected {FEWEST_PICTURES} or'
            ' more, some thousands to learn well'
        )
    fabric = make_fabric(config.loop)
    masks = torch.from_numpy(pictures.masks).to(fabric.device) if truth else None
    return PreparedPictures(
        to_tensor(pictures.images).to(fabric.device),
        masks,
        fabric,
        pictures.name,
        pictures.fingerprint(),
    )


def take_over(begin: str, out: Path, stages: Sequence[str]) -> None:
    """Copy the states of another run, if one is named, into a new one whose stages have these
    names. Raises ConfigError where there is none of them."""
    states = (
        [state for name in stages if (state := Path(begin) / f'{name}.state.safetensors').is_file()]
        if begin
        else []
    )
    if begin and not states:
        raise ConfigError(
            f'begin is {begin}, which holds no stage of this training: expected the folder of a run'
            f' with {", ".join(stages)}'
        )
    for state in states:
        if not (out / state.name).exists():
            write_whole(out / state.name, state.read_bytes())


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Pictures (N, S, S, 3) uint8 as (N, 3, S, S)."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def history(
    fabric: Fabric, seed: int, data: str, fingerprint: str, seconds: float, steps: dict[str, int]
) -> dict[str, Any]:
    """What a checkpoint says of its training."""
    return {
        'data': data,
        'fingerprint': fingerprint,
        'seed': seed,
        'steps': steps,
        'minutes': round(seconds / 60, 1),
        'hardware': hardware(fabric.device),
    }


def hardware(device: torch.device) -> str:
    """The machine in words, for a model card."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{torch.get_num_threads()} CPU cores ({platform.machine()})'


def claim(out: Path, config: Any, fingerprint: str, without: Sequence[str] = ()) -> None:
    """Refuse a folder that holds another training, so that nothing is mixed or written over; says
    what differs. without: fields that may differ."""
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(
                f'{place} is a file: expected --out to be a folder, or a place for a new one'
            )
    note = out / 'config.yaml'
    wanted = {
        name: value
        for name, value in {**asdict(config), 'fingerprint': fingerprint}.items()
        if name not in without
    }
    if note.exists():
        before = yaml.safe_load(note.read_text()) or {}
        changed = _differences(before, yaml.safe_load(yaml.safe_dump(_plain(wanted))))
        # The same data may lie elsewhere now.
        harmless = (
            (*UNIMPORTANT, 'data') if before.get('fingerprint') == fingerprint else UNIMPORTANT
        )
        if lines := [line for name, line in changed.items() if name not in harmless]:
            raise ConfigError(
                f'{out} holds a training with another configuration or other data'
                f' ({"; ".join(lines[:4])}{", and more" if len(lines) > 4 else ""}): expected the'
                f' same as in {note}, or another --out'
            )
    if out.is_dir() and not note.exists() and any(out.iterdir()):
        raise ConfigError(
            f'{out} is not empty and holds no training: expected an empty folder for --out'
        )
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(yaml.safe_dump(_plain(wanted), sort_keys=False))


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _differences(before: Any, now: Any, name: str = '') -> dict[str, str]:
    """What differs between two configurations, by name, as "insegan.gan.steps was 10, is 20"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return {
            found: line
            for key in {**before, **now}
            for found, line in _differences(
                before.get(key), now.get(key), f'{name}.{key}' if name else str(key)
            ).items()
        }
    return {} if before == now else {name: f'{name} was {before}, is {now}'}
