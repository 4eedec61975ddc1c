"""Which proposal of a bag shows the object best: WSDDN's two streams (Bilen and Vedaldi, CVPR
2016), the first branch of CCGR."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from insegan_ros.methods.image_level.backbone import Backbone, BackboneConfig, normalise

CELLS = 7


class MultipleInstanceNet(nn.Module):
    """Pictures and the proposals of their bags -> for each bag the scores (K, R) of its
    proposals."""

    def __init__(
        self,
        backbone: BackboneConfig,
        channels: int,
        classes: int,
        width: int = 256,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, channels, frozen_norm=frozen_norm)
        self.shared = nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.backbone.widths[-1] * CELLS**2, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
        )
        self.classify, self.detect = nn.Linear(width, classes), nn.Linear(width, classes)

    def forward(self, pictures: Tensor, bags: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """bags: for every picture (B, C, H, W) the boxes (R, 4) of each of its bags; returns the
        bags' scores in their order."""
        boxes = [
            torch.cat(list(some)) if len(some) else pictures.new_zeros((0, 4), dtype=torch.float32)
            for some in bags
        ]
        deep = self.backbone(normalise(pictures))[-1]
        features = self.shared(roi_align(deep, boxes, CELLS, 1 / 16, 2, aligned=True))
        classes, detections = self.classify(features), self.detect(features)
        sizes = [len(bag) for some in bags for bag in some]
        return [
            bag_scores(one, other)
            for one, other in zip(classes.split(sizes), detections.split(sizes))
        ]


def bag_scores(classes: Tensor, detections: Tensor) -> Tensor:
    """x^B (K, R) of a bag, of both streams' answers (R, K): softmax over classes times softmax over
    proposals."""
    return (classes.softmax(1) * detections.softmax(0)).T


def bag_loss(scores: Tensor, kind: int) -> Tensor:
    """Cross-entropy of the bag's class scores, which are sums over its proposals, with the class of
    its peak."""
    total = scores.sum(1).clamp(1e-6, 1 - 1e-6)
    wanted = torch.zeros_like(total)
    wanted[kind] = 1
    return -(wanted * total.log() + (1 - wanted) * (1 - total).log()).sum()
