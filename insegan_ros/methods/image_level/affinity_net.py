"""AffinityNet (Ahn and Kwak, CVPR 2018) on our backbones: features of pixels whose similarity says
whether they are of one class. IRNet's baseline, and what gives CCGR its first semantic labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, interpolate

from insegan_ros.methods.image_level.backbone import BackboneConfig, FrozenBackbone, normalise
from insegan_ros.methods.image_level.irnet import RelationStage
from insegan_ros.methods.image_level.relations import affinity_loss, feature_affinities
from insegan_ros.methods.image_level.stage import vary_colours

# Pairs are less than so many feature px apart, in training and in the random walk.
RADIUS = 5
# Power of the affinities in the random walk.
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
        """Features (B, D, H / 8, W / 8)."""
        with torch.no_grad():
            levels = self.backbone(normalise(pictures))[2:]
        size = levels[0].shape[2:]
        reduced = [elu(layer(level)) for layer, level in zip(self.reduce, levels)]
        # A level that has this size already stays as it is, to the last bit.
        resized = [
            one
            if one.shape[2:] == size
            else interpolate(one, size, mode='bilinear', align_corners=False)
            for one in reduced
        ]
        return elu(self.out(torch.cat(resized, 1)))


class AffinityNetStage(RelationStage):
    """AffinityNet from the same labels as IRNet, at an eighth of the pictures' size."""

    name = 'affinity_net'

    def make(self, frozen_norm: bool) -> tuple[AffinityNet, list[Any]]:
        """AffinityNet, and its layers on the frozen backbone."""
        backbone, channels = self.run.config.backbone, self.run.images.channels
        network = AffinityNet(backbone, channels, self.settings.network.width, frozen_norm)
        return network, [*network.reduce.parameters(), *network.out.parameters()]

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the loss of the pairs' affinities."""
        pictures, labels = self.draw_labelled()
        features = self.network(vary_colours(pictures, self.run.config.colours))
        loss = affinity_loss(feature_affinities(features, RADIUS), labels[:, ::2, ::2])
        self.learn(loss)
        return {'L_aff': loss.detach()}
