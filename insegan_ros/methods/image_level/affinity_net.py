"""AffinityNet (Ahn and Kwak, CVPR 2018) on our backbones: pixels' features whose likeness says
whether they are of one class. IRNet's baseline, and what gives CCGR its first semantic labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, interpolate

from insegan_ros.methods.image_level.backbone import BackboneConfig, FrozenBackbone, normalise

# Pairs are less than so many feature px apart, in training and in the walk.
RADIUS = 5
BETA = 8.0


class AffinityNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> features (B, D, H / 8, W / 8) on a frozen backbone; `width`
    channels of the deepest level, half and a quarter of it before."""

    def __init__(
        self, backbone: BackboneConfig, channels: int, width: int = 256, frozen_norm: bool = False
    ) -> None:
        super().__init__()
        self.backbone = FrozenBackbone(backbone, channels, frozen_norm)
        widths = (width // 4, width // 2, width)
        self.reduce = nn.ModuleList(
            nn.Conv2d(before, after, 1, bias=False)
            for before, after in zip(self.backbone.widths[2:], widths)
        )
        self.out = nn.Conv2d(sum(widths), sum(widths), 1, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        with torch.no_grad():
            levels = self.backbone(normalise(pictures))[2:]
        size = levels[0].shape[2:]
        reduced = [elu(layer(level)) for layer, level in zip(self.reduce, levels)]
        return elu(
            self.out(
                torch.cat(
                    [
                        (
                            one
                            if one.shape[2:] == size
                            else interpolate(one, size, mode='bilinear', align_corners=False)
                        )
                        for one in reduced
                    ],
                    1,
                )
            )
        )
