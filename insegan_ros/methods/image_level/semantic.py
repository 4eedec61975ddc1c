"""Semantic segmentation on our backbones: DeepLab v2's atrous pyramid (IRNet's semantic variant),
and pyramid pooling (CCGR's semantic branch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from insegan_ros.methods.image_level.backbone import Backbone, BackboneConfig, normalise

Head = Literal['aspp', 'pyramid']
# DeepLab v2's rates at 1/8 of a picture, here at 1/16.
RATES = (3, 6, 9, 12)
BINS = (1, 2, 3, 6)
# Sizes at which DeepLab v2 looks at a picture that is judged.
SCALES = (0.5, 1.0, 1.5, 2.0)


class SemanticNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> logits (B, K + 1, H / 4, W / 4), the first of background.

    aspp: the sum of four dilated convolutions (Chen et al., TPAMI 2017). pyramid: features pooled
    to 1, 2, 3 and 6 cells a side beside themselves (Zhao et al., CVPR 2017).
    """

    def __init__(
        self,
        head: Head,
        backbone: BackboneConfig,
        channels: int,
        classes: int,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, channels, frozen_norm=frozen_norm)
        width, fine = self.backbone.widths[-1], self.backbone.widths[1]
        self.head = (
            AtrousPyramid(width, classes + 1)
            if head == 'aspp'
            else PyramidPooling(width, classes + 1)
        )
        # What the deep level is too coarse to outline.
        self.fine = nn.Sequential(
            nn.Conv2d(fine, 32, 3, padding=1, bias=False),
            nn.GroupNorm(4, 32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, classes + 1, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        levels = self.backbone(normalise(pictures))
        fine = self.fine(levels[1])
        return (
            interpolate(self.head(levels[-1]), fine.shape[2:], mode='bilinear', align_corners=False)
            + fine
        )


class AtrousPyramid(nn.Module):
    """Features (B, D, h, w) -> (B, K, h, w)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width, classes, 3, padding=rate, dilation=rate) for rate in RATES
        )

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return sum(layer(features) for layer in self.layers)


class PyramidPooling(nn.Module):
    """Features (B, D, h, w) -> (B, K, h, w)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(width, width // len(BINS), 1) for _ in BINS)
        self.out = nn.Conv2d(width + width // len(BINS) * len(BINS), classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        size = features.shape[2:]
        pooled = [
            interpolate(
                level(adaptive_avg_pool2d(features, bins)),
                size,
                mode='bilinear',
                align_corners=False,
            )
            for level, bins in zip(self.levels, BINS)
        ]
        return self.out(torch.cat([features, *pooled], 1))


@torch.no_grad()
def class_shares(network: SemanticNet, picture: Tensor, scales: Sequence[float] = SCALES) -> Tensor:
    """How sure each class is (K + 1, H, W) of one uint8 picture (C, H, W), averaged over scales and
    mirror images, as DeepLab v2 is evaluated."""
    size = picture.shape[1:]
    total = 0
    for scale in scales:
        at = [max(round(edge * scale / 16), 2) * 16 for edge in size]
        sized = interpolate(
            picture[None].float(), at, mode='bilinear', align_corners=False, antialias=scale < 1
        )
        for mirror in (False, True):
            found = network(sized.flip(-1) if mirror else sized).softmax(1)
            total = (
                total
                + interpolate(
                    found.flip(-1) if mirror else found, size, mode='bilinear', align_corners=False
                )[0]
            )
    return total / (2 * len(scales))
