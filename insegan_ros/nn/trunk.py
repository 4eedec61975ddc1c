"""From a code to a picture: a linear layer to 4x4, then doublings with convolutions. What the
generators of colour begin with."""

from __future__ import annotations

from torch import nn


def trunk(inputs: int, width: int, size: int, smooth: bool = False) -> nn.Sequential:
    """(B, inputs) -> (B, width, size, size), size 4 times a power of two: nearest-neighbour
    doublings, batch norm, ReLU (FineGAN's blocks with ReLU); channels double at every level below,
    at most to eight times the width. smooth: bilinear doublings, for outlines that follow no
    grid."""
    sides = [4 * 2**level for level in range((size // 4).bit_length())]
    widths = [width * min(size // side, 8) for side in sides]
    layers: list[nn.Module] = [
        nn.Linear(inputs, widths[0] * 16, bias=False),
        nn.Unflatten(1, (widths[0], 4, 4)),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    doubling = {'mode': 'bilinear', 'align_corners': False} if smooth else {}
    for a, b in zip(widths, widths[1:]):
        layers += [
            nn.Upsample(scale_factor=2, **doubling),
            nn.Conv2d(a, b, 3, 1, 1, bias=False),
            nn.BatchNorm2d(b),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
