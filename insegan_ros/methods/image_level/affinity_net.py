"""AffinityNet (Ahn and Kwak, CVPR 2018) on our backbones: features of pixels whose similarity says
whether they are of one class, and the random walk that attention and background take by them.
IRNet's baseline, and what gives CCGR its first semantic labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import elu

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import (
    BackboneConfig,
    FrozenBackbone,
    as_fine,
    normalise,
)
from insegan_ros.methods.image_level.dense_crf import Edges
from insegan_ros.methods.image_level.irnet import RelationStage
from insegan_ros.methods.image_level.relations import affinity_loss, feature_affinities, walk
from insegan_ros.methods.image_level.stage import vary_colours

# The deviation of the first features, as a multiple of what Xavier's rule gives: at 1 they are so
# alike that every affinity begins near 1.
GAIN = 4.0


@dataclass(frozen=True)
class AffinityNetConfig:
    """AffinityNet, how it is taught, and the walk by its affinities."""

    width: int = 32
    """Channels of its features; half as many of every level that they are made of."""
    steps: int = 500
    """Optimisation steps."""
    batch: int = 8
    """Pictures a step."""
    rate: float = 1.0
    """Rate of gradient descent without momentum, falling to nothing as (1 - step / steps)^0.9."""
    decay: float = 1e-4
    """Weight decay."""
    radius: int = 5
    """Pairs of pixels are nearer than this, at a quarter of the picture's size, in training and in
    the walk."""
    background: float = 8.0
    """The background's map is (1 - the highest attention) to this power; it takes the walk too."""
    beta: float = 8.0
    """Power of the affinities in the walk."""
    walk: int = 256
    """Steps of the walk."""

    def __post_init__(self) -> None:
        if self.width < 2 or self.steps < 1 or self.batch < 1 or self.radius < 2 or self.walk < 1:
            raise ConfigError(
                'affinity_net: expected width and radius of 2 or more, steps, batch and walk of 1'
                f' or more, found {self}'
            )
        if self.background <= 0 or self.beta <= 0:
            raise ConfigError(f'affinity_net: expected background and beta above 0, found {self}')


class AffinityNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> features (B, width, H / 4, W / 4) of the four levels of a
    frozen backbone, from its first residual block on."""

    def __init__(
        self, backbone: BackboneConfig, channels: int, width: int = 32, frozen_norm: bool = False
    ) -> None:
        super().__init__()
        self.backbone = FrozenBackbone(backbone, channels, frozen_norm)
        levels = self.backbone.widths[1:]
        self.reduce = nn.ModuleList(
            nn.Conv2d(before, width // 2, 1, bias=False) for before in levels
        )
        self.out = nn.Conv2d(len(levels) * (width // 2), width, 1, bias=False)
        nn.init.xavier_uniform_(self.out.weight, gain=GAIN)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features (B, width, H / 4, W / 4)."""
        with torch.no_grad():
            levels = self.backbone(normalise(pictures))[1:]
        size = levels[0].shape[2:]
        reduced = [elu(layer(level)) for layer, level in zip(self.reduce, levels)]
        return elu(self.out(torch.cat([as_fine(one, size) for one in reduced], 1)))


class AffinityNetStage(RelationStage):
    """AffinityNet from the same labels as IRNet."""

    name = 'affinity_net'

    def make(self, frozen_norm: bool) -> tuple[AffinityNet, list[Any]]:
        """AffinityNet, and its layers on the frozen backbone."""
        backbone, channels = self.run.config.backbone, self.run.images.channels
        network = AffinityNet(backbone, channels, self.settings.width, frozen_norm)
        return network, [*network.reduce.parameters(), *network.out.parameters()]

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the loss of the pairs' affinities."""
        pictures, labels = self.draw_labelled()
        features = self.network(vary_colours(pictures, self.run.config.colours))
        loss = affinity_loss(feature_affinities(features, self.settings.radius), labels)
        self.learn(loss)
        return {'L_aff': loss.detach()}


def label_by_walk(
    maps: np.ndarray,
    class_ids: np.ndarray,
    matrix: sparse.csr_matrix,
    size: tuple[int, int],
    config: AffinityNetConfig,
    edges: Edges | None = None,
) -> np.ndarray:
    """The semantic label (H, W) uint8 of a picture of `size`, 0 background, class id + 1: of every
    pixel what is highest after the walk.

    maps (k, h, w) in [0, 1] of the classes (k,); matrix: transitions (hw, hw); edges: see
    `synthesise`. The background walks as the classes do, so what a walk levels out stays with the
    majority: a share of the highest score, as `synthesise` has it, is passed by whole pictures once
    affinities leak.
    """
    background = (1 - maps.max(0)) ** config.background
    scores = walk(np.concatenate([background[None], maps]), matrix, config.walk)
    large = np.stack(
        [cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in scores]
    )
    best = edges(large) if edges else large.argmax(0)
    return np.concatenate([[0], np.asarray(class_ids) + 1]).astype(np.uint8)[best]
