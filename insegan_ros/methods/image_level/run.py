"""What the recipes share that learn from image-level labels: their configuration, their pictures,
and how a step draws some."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import pad
from tqdm import tqdm

from insegan_ros.data.image_sets import (
    RELIEF_M,
    ImageSet,
    Look,
    read_image_set,
    require_every_class,
)
from insegan_ros.data.mask_sets import MaskSet, from_instances
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import LoopConfig, make_fabric
from insegan_ros.engine.run import claim, history
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.files import write_whole
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.nn.augmentation import in_range, random_colours


@dataclass(frozen=True)
class ImageLevelConfig:
    """What the methods that learn from image-level labels have in common."""

    data: str = 'data/mixed'
    """Folder of shards with colour, PASCAL VOC 2012, COCO, or pictures with a labels.csv. Only what
    is in each picture is read, never a mask."""
    out: str = 'runs/irnet'
    """Folder of the run: states, logs, what every stage made, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    scenes: int = 0
    """Pictures to learn from, the first ones; 0 is all of them."""
    split: str = 'training'
    """training, validation, test, or the name of one of the set's own lists, such as Main/train of
    PASCAL VOC."""
    size: int = 224
    """Longer side of the pictures in px, a multiple of 16; 512 for photographs."""
    look: Look = 'colour'
    """colour, or both: height above the floor as a fourth channel."""
    above: bool = True
    """The camera looks down, so pictures turned by quarters and mirrored are pictures too; false
    for photographs, which are mirrored sideways alone."""
    colours: float = 0.15
    """How much brightness, contrast and saturation are varied; 0 leaves colours as they are."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The residual network that all stages stand on."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 16:
            raise ConfigError(f'size is {self.size}: expected a multiple of 16 from 64 on')
        if self.scenes < 0 or not 0 <= self.colours < 1:
            raise ConfigError(
                f'scenes is {self.scenes}, colours {self.colours}: expected 0 or more, 0 to below 1'
            )
        if self.loop.devices > 1:
            raise ConfigError(
                f'loop.devices is {self.loop.devices}: these networks are trained on one device,'
                ' expected 1'
            )


@dataclass(frozen=True)
class PreparedImages:
    """The pictures, Fabric, launched, and the run's folder, claimed."""

    images: ImageSet
    fabric: Fabric
    out: Path

    def checkpoint(
        self,
        method: str,
        kind: str,
        config: ImageLevelConfig,
        networks: dict[str, nn.Module],
        frozen_norm: bool,
        seconds: float,
        steps: dict[str, int],
        what: str = 'image-level labels',
    ) -> Checkpoint:
        """What was trained as a checkpoint that the robot's node runs: `kind` is the segmenter.
        frozen_norm: its batch norm is ImageNet's. what: taught it."""
        values = {
            **asdict(config),
            'classes': list(self.images.classes),
            'frozen_norm': frozen_norm,
        }
        scales = Scales(0.0, RELIEF_M if config.look == 'both' else 0.0, 0.0, 0.0)
        told = history(
            self.fabric,
            config.seed,
            f'{len(self.images)} pictures with {what}',
            self.images.fingerprint,
            seconds,
            steps,
        )
        return Checkpoint(
            method,
            kind,
            self.images.name,
            scales,
            values,
            {name: network.state_dict() for name, network in networks.items()},
            told,
        )


def prepare_images(
    config: ImageLevelConfig, check: Callable[[ImageSet], Any] | None = None
) -> PreparedImages:
    """Read what `config.data` names, launch, claim the run's folder. check: what raises where other
    things that the configuration names cannot be used, before the folder is claimed for them.
    Raises DatasetError, or ConfigError for a folder that holds another training."""
    images = read_image_set(config.data, config.size, config.look, config.split, config.scenes)
    require_every_class(images)
    if check is not None:
        check(images)
    fabric, out = make_fabric(config.loop), Path(config.out)
    # Where a training is to stop is no part of what it is.
    claim(out, config, images.fingerprint, without=('stop_after', 'rounds'))
    return PreparedImages(images, fabric, out)


def read_pictures(images: ImageSet, chosen: Sequence[int], size: int) -> Tensor:
    """Pictures (B, C, size, size) uint8, what is missing to the right and below black."""
    out = torch.zeros(len(chosen), images.channels, size, size, dtype=torch.uint8)
    with ThreadPoolExecutor(8) as readers:
        for row, picture in zip(out, readers.map(images.picture, chosen)):
            row[:, : picture.shape[0], : picture.shape[1]] = torch.from_numpy(picture).permute(
                2, 0, 1
            )
    return out


def turn(image: Tensor, quarters: int, mirror: bool) -> Tensor:
    """Any (..., H, W) turned by quarters and mirrored sideways."""
    turned = torch.rot90(image, quarters, (-2, -1))
    return turned.flip(-1) if mirror else turned


def draw_turns(count: int, above: bool) -> list[tuple[int, bool]]:
    """For each picture of a step by how many quarters it is turned and whether it is mirrored."""
    quarters = torch.randint(4 if above else 1, (count,))
    return [
        (int(quarter), bool(mirror)) for quarter, mirror in zip(quarters, torch.rand(count) < 0.5)
    ]


def vary_colours(pictures: Tensor, strength: float) -> Tensor:
    """uint8 pictures (B, C, H, W) in other light; height stays as it is."""
    if not strength:
        return pictures
    colour = (
        ((random_colours(in_range(pictures[:, :3]), strength) + 1) * 127.5).round().to(torch.uint8)
    )
    return torch.cat([colour, pictures[:, 3:]], 1)


def truth_of(images: ImageSet, progress: bool = True) -> MaskSet:
    """The true masks of a set, for its evaluation and for the supervised ceiling. Raises InputError
    where it has none."""
    return from_instances(
        images.classes,
        tqdm(
            (images.masks(index) for index in range(len(images))),
            total=len(images),
            desc='true masks',
            disable=not progress,
        ),
    )


def for_every_picture(
    folder: Path,
    images: ImageSet,
    suffix: str,
    make: Callable[[int], bytes | None],
    progress: bool = True,
) -> list[str]:
    """Make a file NAME.suffix of every picture in a folder, those that are missing; `make` gives
    its bytes, or None where there is nothing to be made of it. Stopped and started again it goes
    on. Returns the names of pictures of which nothing was made."""
    folder.mkdir(parents=True, exist_ok=True)
    nothing = []
    for index in tqdm(range(len(images)), desc=folder.name, unit='picture', disable=not progress):
        path = folder / f'{images.names[index]}.{suffix}'
        if not path.exists():
            write_whole(path, make(index) or b'')
        if not path.stat().st_size:
            nothing.append(images.names[index])
    if len(nothing) == len(images):
        raise DatasetError(
            f'{folder.name}: nothing could be made of any of {len(images)} pictures: expected some;'
            ' was the stage before it trained long enough?'
        )
    if nothing and progress:
        print(
            f'{folder.name}: nothing in {len(nothing)} of {len(images)} pictures (such as'
            f' {nothing[0]}), they are left out'
        )
    return nothing


def share(run: Path, other: Path, names: Sequence[str]) -> None:
    """Give a run what another has made, as far as it is there and the run has none of its own: hard
    links, which take no room, or copies."""

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    for name in names:
        source, target = run / name, other / name
        if source.is_dir() and not target.exists():
            # A kill leaves no half folder that looks whole.
            half = target.with_name(f'.{name}.part')
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(source, half, copy_function=link)
            half.rename(target)
        elif source.is_file() and not target.exists():
            link(str(source), str(target))


def check_begun(run: Path, config: ImageLevelConfig, images: ImageSet) -> None:
    """Raise ConfigError where a run holds no classifier and relations that this configuration could
    take over."""
    note = run / 'config.yaml'
    if not (run / 'class_maps' / 'weights.safetensors').is_file() or not note.is_file():
        raise ConfigError(
            f'begin is {run}, which holds no classifier: expected the folder of a run of irnet or'
            ' ccgr'
        )
    before, now = yaml.safe_load(note.read_text()) or {}, asdict(config)
    for name in ('backbone', 'size', 'look', 'split', 'scenes'):
        if before.get(name) != now[name]:
            raise ConfigError(
                f'begin is {run}, whose {name} is {before.get(name)} and here {now[name]}: expected'
                ' the same'
            )
    if before.get('fingerprint') != images.fingerprint:
        raise ConfigError(
            f'begin is {run}, a run on other pictures or labels: expected the same --data'
        )


def take_over_relations(run: Path, data: PreparedImages) -> None:
    """Give a run the classifier, attention maps and relations that another has made of the same
    pictures, see check_begun."""
    share(run, data.out, ('class_maps', 'cams', 'relations'))


def padded(picture: Tensor) -> Tensor:
    """A picture (C, H, W) whose sides are multiples of 16, what is missing to the right and below
    black."""
    return pad(picture, (0, -picture.shape[2] % 16, 0, -picture.shape[1] % 16))


def to_picture(images: ImageSet, index: int, device: torch.device) -> Tensor:
    """One picture (C, H, W) uint8 on a device."""
    return torch.from_numpy(np.ascontiguousarray(images.picture(index).transpose(2, 0, 1))).to(
        device
    )
