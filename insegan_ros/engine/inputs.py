"""What recipes learn from, as tensors on the training's device: height maps of bins, colour
pictures of single objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from insegan_ros.data.height_maps import HeightMaps, read_height_maps
from insegan_ros.data.pictures import View, read_pictures
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.heights import IMAGE_SIZE, PART_M, floor_limit, height_scale, height_shares, signed
from insegan_ros.workspace import read_workspace

# So few pictures show neither what an object is nor what is behind it; so few height maps not what
# a part is.
MIN_PICTURES, MIN_MAPS = 50, 5
# A height map in which fewer pixels stand above the floor shows an empty bin.
MIN_SHOWN_PX = 8


@dataclass(frozen=True)
class HeightImages:
    """maps, the data in metres; images (N, 1, S, S) float32 on the device, the same as networks see
    them: -1 is the floor, +1 is height_m, the few things that stand higher are above it. flat:
    whether the parts are flatter than usual, see `floor_limit`."""

    maps: HeightMaps
    height_m: float
    images: torch.Tensor
    flat: bool = False

    @classmethod
    def of(
        cls, maps: HeightMaps, height_m: float, device: torch.device, flat: bool = False
    ) -> HeightImages:
        """The maps as images of a height scale in m."""
        images = torch.from_numpy(signed(height_shares(maps.heights_m, height_m)))
        return cls(maps, height_m, images[:, None].float().to(device), flat)

    @property
    def relief_px(self) -> float:
        """The height scale height_m in px of the images."""
        return self.height_m / self.maps.pixel_m


class NamesHeightMaps(Protocol):
    """A configuration that names height maps."""

    @property
    def data(self) -> str:
        """A folder of shards, a file of height maps, or a recording."""

    @property
    def scenes(self) -> int:
        """The number of height maps to read, the first ones; 0 for all."""


def read_height_images(
    config: NamesHeightMaps,
    device: torch.device,
    truth: bool = False,
    size: int = IMAGE_SIZE,
    workspace: str = '',
) -> HeightImages:
    """Read what `config.data` and `config.scenes` name at `size` px; labels for `truth` alone;
    workspace: the YAML of a recording's bin. Height maps of an empty bin are left out, and counted
    aloud. Raises DatasetError; makes nothing."""
    bin_ = read_workspace(Path(workspace)) if workspace else None
    maps = read_height_maps(config.data, size, config.scenes, truth, bin_)
    floor_m = floor_limit(maps.heights_m)
    if floor_m < PART_M:
        print(
            f'{config.data}: flat parts; what stands {1000 * floor_m:.1f} mm high or more is taken'
            ' for one'
        )
    height_m = height_scale(maps.heights_m, floor_m)
    shown = (maps.heights_m > floor_m).sum((1, 2)) >= MIN_SHOWN_PX
    if not shown.all():
        print(
            f'{config.data}: {int((~shown).sum())} of {len(shown)} height maps show an empty bin'
            ' and are left out'
        )
        maps = maps.chosen(shown)
    if len(maps.heights_m) < MIN_MAPS:
        raise DatasetError(
            f'{config.data} holds {len(maps.heights_m)} height maps with parts: expected'
            f' {MIN_MAPS} or more, some hundreds to learn well'
        )
    return HeightImages.of(maps, height_m, device, floor_m < PART_M)


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
    """How many pictures to learn from, the first ones; 0 is all of them."""
    view: View = 'scene'
    """What of a picture is looked at: scene, the bin's inside or the middle of a photograph; box, a
    square around the object's box."""
    context: float = 1.2
    """How much larger than the box that square is."""
    begin: str = ''
    """Folder of a similar run that ends earlier (fewer rounds, no distillation): the stages
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
class PictureImages:
    """images (N, 3, S, S) uint8 RGB and masks (N, S, S) bool where asked for, on the device; the
    data's name and fingerprint."""

    images: torch.Tensor
    masks: torch.Tensor | None
    name: str
    fingerprint: str


def read_picture_images(
    config: PicturesConfig, size: int, device: torch.device, truth: bool = False
) -> PictureImages:
    """Read what `config.data` names at `size` px; masks for `truth` alone. Raises DatasetError;
    makes nothing."""
    pictures = read_pictures(config.data, size, config.view, config.context, config.scenes, truth)
    if len(pictures.images) < MIN_PICTURES:
        raise DatasetError(
            f'{config.data} holds {len(pictures.images)} pictures: expected {MIN_PICTURES} or'
            ' more, some thousands to learn well'
        )
    masks = None if pictures.masks is None else torch.from_numpy(pictures.masks).to(device)
    images = to_tensor(pictures.images).to(device)
    return PictureImages(images, masks, pictures.name, pictures.fingerprint())


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """Pictures (N, S, S, 3) uint8 as a tensor (N, 3, S, S) uint8."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
