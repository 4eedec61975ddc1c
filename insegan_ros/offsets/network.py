"""The dense segmenter: a small U-Net that sees a height map and gives, at every pixel, foreground
and the way to its instance's centre.

The centre is a point in space: two parts that lie on one another have one place in the picture, but
not one height.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from insegan_ros.errors import ConfigError
from insegan_ros.nn.unet import UNet


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

    def __post_init__(self) -> None:
        if self.width % 8 or not 2 <= self.levels <= 6:
            raise ConfigError(
                f'width is {self.width}, levels {self.levels}: expected a multiple of 8, and 2 to 6'
            )


class OffsetNet(UNet):
    """U-Net. Output channels: foreground logit; dx, dy and, with height votes, dz in px (pixel +
    offset = centre, own height + dz = mean height of what is seen of the instance); log of the
    offset's expected error (a Laplace scale, so that it says where it cannot tell)."""

    scale: Tensor

    def __init__(self, config: OffsetNetConfig) -> None:
        # Offsets are tens of px, the convolution's natural scale is one.
        scale = torch.tensor([1.0, *[8.0] * (2 + config.height_votes), 1.0])
        super().__init__(config.channels, len(scale), config.width, config.levels)
        self.config = config
        self.register_buffer('scale', scale[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, channels, H, W), heights with -1 the floor, 1 the height scale -> (B, 5, H, W):
        foreground logit, dx, dy, dz (px), log error (px); no dz without height votes."""
        return super().forward(image) * self.scale
