"""The U-Net that tells foreground from background at every pixel of a colour picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from insegan_ros.errors import ConfigError
from insegan_ros.nn.unet import UNet


@dataclass(frozen=True)
class ForegroundConfig:
    """Shape of the U-Net. The layered GANs' paper has 64-128-256-512; width 64 and 4 levels are
    64-128-256-384 here."""

    width: int = 16
    """Channels at full resolution; doubled at every level, up to six times as many."""
    levels: int = 4
    """Resolutions; images are padded to multiples of 2^(levels - 1)."""

    def __post_init__(self) -> None:
        if self.width % 8 or self.width < 8 or not 2 <= self.levels <= 6:
            raise ConfigError(
                f'width is {self.width}, levels {self.levels}: expected a multiple of 8, and 2 to 6'
            )


class ForegroundNet(UNet):
    """A U-Net with batch norm: RGB pictures (B, 3, H, W) in [-1, 1] -> logits of the foreground (B,
    1, H, W). Sides that are no multiples of its stride are filled up by repeating the rim."""

    def __init__(self, config: ForegroundConfig) -> None:
        super().__init__(3, 1, config.width, config.levels, 'batch')

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> logits (B, 1, H, W)."""
        rows, columns = image.shape[-2:]
        down, right = -rows % self.stride, -columns % self.stride
        if not (down or right):
            return super().forward(image)
        filled = pad(image, (0, right, 0, down), mode='replicate')
        return super().forward(filled)[..., :rows, :columns]


def inner_square(size: int, context: float) -> Tensor:
    """A mask (1, 1, size, size) of pictures that show `context` times the object's box: 1 in the
    middle square, which the box lies in, 0 around it."""
    axis = ((torch.arange(size) + 0.5) / size - 0.5).abs() <= 0.5 / context
    return (axis[:, None] & axis).float()[None, None]
