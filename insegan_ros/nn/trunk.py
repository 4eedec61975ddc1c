"""The upsampling decoder that the generators of colour pictures begin with: from a code to a
feature map of the picture's size."""

from __future__ import annotations

from torch import nn


def trunk(inputs: int, width: int, size: int, smooth: bool = False) -> nn.Sequential:
    """A network from codes (B, inputs) to features (B, width, size, size), size 4 times a power of
    two: a linear layer to 4x4, then upsampling by two, convolution, batch norm and ReLU until the
    size is reached (FineGAN's blocks with ReLU).

    Channels double at every coarser level, up to eight times `width`. smooth: bilinear instead of
    nearest-neighbour upsampling, for outlines that do not follow the pixel grid.
    """
    sides = [4 * 2**level for level in range((size // 4).bit_length())]
    widths = [width * min(size // side, 8) for side in sides]
    layers: list[nn.Module] = [
        nn.Linear(inputs, widths[0] * 16, bias=False),
        nn.Unflatten(1, (widths[0], 4, 4)),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    mode, align_corners = ('bilinear', False) if smooth else ('nearest', None)
    for a, b in zip(widths, widths[1:]):
        layers += [
            nn.Upsample(scale_factor=2, mode=mode, align_corners=align_corners),
            nn.Conv2d(a, b, 3, 1, 1, bias=False),
            nn.BatchNorm2d(b),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
