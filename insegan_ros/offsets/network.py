"""The dense segmenter: a small U-Net that sees a height map and gives, at every pixel, foreground
and the way to its instance's centre.

The centre is a point in space: two parts that lie on one another have one place in the picture, but
not one height.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from insegan_ros.errors import ConfigError
from insegan_ros.nn.unet import UNet

# What the network's own unit of offsets is in px.
OFFSET_SCALE = 8.0


@dataclass(frozen=True)
class OffsetNetConfig:
    """Shape of the dense network."""

    width: int = 16
    """Channels at full resolution; doubled at every level."""
    levels: int = 4
    """Resolutions of the U-Net; images are padded to multiples of 2^(levels - 1)."""
    channels: int = 1
    """Channels of the picture: 1 for heights, 3 for colour, 4 for both."""
    height_votes: bool = True
    """Whether the way to the centre has a height too; without, parts whose centres coincide in the
    picture are one."""
    cell: int = 1
    """Side in px of the squares that the network takes for one pixel of many channels: outlines are
    as fine as the picture, at the cost of one that is coarser by this factor."""

    def __post_init__(self) -> None:
        if self.width % 8 or not 2 <= self.levels <= 6:
            raise ConfigError(
                f'width is {self.width}, levels {self.levels}: expected a multiple of 8, and 2 to 6'
            )
        if not 1 <= self.cell <= 4:
            raise ConfigError(f'cell is {self.cell}: expected 1 to 4')

    @property
    def stride(self) -> int:
        """The number of px that the sides of an image must be multiples of."""
        return 2 ** (self.levels - 1) * self.cell


class OffsetNet(UNet):
    """U-Net. Output channels: foreground logit; dx, dy and, with height votes, dz in px (pixel +
    offset = centre, own height + dz = mean height of what is seen of the instance); log of the
    offset's expected error (a Laplace scale, so that it says where it cannot tell)."""

    scale: Tensor

    def __init__(self, config: OffsetNetConfig) -> None:
        # Offsets are tens of px, the convolution's natural scale is one.
        scale = torch.tensor([1.0, *[OFFSET_SCALE] * (2 + config.height_votes), 1.0])
        area = config.cell**2
        super().__init__(config.channels * area, len(scale) * area, config.width, config.levels)
        self.config = config
        self.register_buffer('scale', scale[:, None, None], persistent=False)

    @property
    def stride(self) -> int:
        """The number of px that the sides of an image must be multiples of."""
        return self.config.stride

    @property
    def device(self) -> torch.device:
        """Where its pictures must be."""
        return self.scale.device

    def forward(self, image: Tensor) -> Tensor:
        """image (B, channels, H, W), heights with -1 the floor, 1 the height scale -> (B, 5, H, W):
        foreground logit, dx, dy, dz (px), log error (px); no dz without height votes."""
        cells = super().forward(pixel_unshuffle(image, self.config.cell))
        return pixel_shuffle(cells, self.config.cell) * self.scale


def finer(weights: dict[str, Tensor], cell: int) -> dict[str, Tensor]:
    """The weights of a network of single pixels as those of one of cells, for pictures that are
    finer by `cell`: of the mean of every cell it says the same."""
    first, head, bias = weights['down.0.0.weight'], weights['head.weight'], weights['head.bias']
    area = cell**2
    grow = torch.ones(len(bias), dtype=bias.dtype)
    grow[1:-1] = cell
    rows = (bias * grow)[:, None].repeat(1, area)
    within = torch.arange(area)
    middle = (cell - 1) / 2
    rows[1] += (middle - within % cell) / OFFSET_SCALE
    rows[2] += (middle - within.div(cell, rounding_mode='floor')) / OFFSET_SCALE
    rows[-1] += math.log(cell)
    return {
        **weights,
        'down.0.0.weight': first.repeat_interleave(area, 1) / area,
        'head.weight': (head * grow[:, None, None, None]).repeat_interleave(area, 0),
        'head.bias': rows.flatten(),
    }
