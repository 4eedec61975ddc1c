"""A small U-Net (Ronneberger et al., MICCAI 2015), the network of every dense segmenter."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval


class UNet(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H, W), H and W multiples of `stride`. Channels: `width` at
    full resolution, doubled at every coarser one of `levels`, up to six times `width`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        levels: int,
        norm: Literal['group', 'batch'] = 'group',
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, 6) for level in range(levels)]
        self.down = nn.ModuleList(
            _block(a, b, norm) for a, b in zip([inputs, *widths[:-1]], widths)
        )
        self.up = nn.ModuleList(
            _block(a + b, b, norm) for a, b in zip(widths[:0:-1], widths[-2::-1])
        )
        self.head = nn.Conv2d(widths[0], outputs, 1)
        nn.init.zeros_(self.head.get_parameter('bias'))

    @property
    def stride(self) -> int:
        """The number of px that the sides of an image must be multiples of."""
        return 2 ** (len(self.down) - 1)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, inputs, H, W) -> (B, outputs, H, W), without a final activation."""
        skips, x = [], image
        for index, block in enumerate(self.down):
            x = block(max_pool2d(x, 2) if index else x)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1]):
            x = interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=False)
            x = block(torch.cat([x, skip], 1))
        return self.head(x)


def fold_norms(network: UNet) -> UNet:
    """Fold the batch norms of a network in evaluation mode into the convolutions before them, in
    place, which makes inference faster; returns it. It cannot be trained afterwards."""
    for block in [*network.down, *network.up]:
        for index in (0, 3):
            if isinstance(block[index + 1], nn.BatchNorm2d):
                block[index] = fuse_conv_bn_eval(block[index], block[index + 1])
                block[index + 1] = nn.Identity()
    return network


def _block(a: int, b: int, norm: str) -> nn.Sequential:
    def normal() -> nn.Module:
        return nn.GroupNorm(8, b) if norm == 'group' else nn.BatchNorm2d(b)

    return nn.Sequential(
        nn.Conv2d(a, b, 3, 1, 1, bias=False),
        normal(),
        nn.LeakyReLU(0.1),
        nn.Conv2d(b, b, 3, 1, 1, bias=False),
        normal(),
        nn.LeakyReLU(0.1),
    )
