"""IRNet (Ahn, Cho, Kwak, CVPR 2019): boundaries between classes, and displacements to instances'
centres, from five levels of a frozen classifier; and how they are learnt from inter-pixel
relations."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from insegan_ros.data.mask_sets import IGNORED
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import (
    BackboneConfig,
    FrozenBackbone,
    as_fine,
    normalise,
)
from insegan_ros.methods.image_level.relations import relation_losses
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.methods.image_level.stage import ImageStage, draw_turns, vary_colours

# Pictures whose mean displacement is subtracted.
MEAN_OF = 200
# The displacement branch's learning rate is so many times that of the boundary branch.
HEAD_RATE = 10


@dataclass(frozen=True)
class IRNetConfig:
    """Shape of the two branches."""

    width: int = 128
    """Channels of the displacement branch, the paper's are 256; half and a quarter of it at the
    first levels, an eighth of it a level in the boundary branch."""

    def __post_init__(self) -> None:
        if self.width < 64 or self.width % 64:
            raise ConfigError(f'network.width is {self.width}: expected a multiple of 64')


class IRNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> boundary (B, h, w) in [0, 1] and displacement (B, 2, h, w) as
    (x, y) in its own px, at 1/4 of their size.

    `mean` is a trained displacement's mean, which is subtracted: the second condition of a
    displacement field (section 4.3).
    """

    mean: Tensor

    def __init__(
        self,
        config: IRNetConfig,
        backbone: BackboneConfig,
        channels: int,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = FrozenBackbone(backbone, channels, frozen_norm)
        widths, width = self.backbone.widths, config.width
        self.boundary = nn.ModuleList(_layer(level, width // 8, 4) for level in widths)
        self.boundary_out = nn.Conv2d(5 * width // 8, 1, 1)
        self.displacement = nn.ModuleList(
            _layer(level, out, groups)
            for level, out, groups in zip(
                widths, (width // 4, width // 2, width, width, width), (8, 16, 16, 16, 16)
            )
        )
        self.deep = nn.Sequential(*_layer(3 * width, width, 16), nn.ReLU(inplace=True))
        self.shallow = nn.Sequential(
            *_layer(width // 4 + width // 2 + width, width, 16),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2, 1, bias=False),
        )
        self.register_buffer('mean', torch.zeros(2))

    def heads(self) -> list[nn.Parameter]:
        """The displacement branch's weights, which learn ten times as fast."""
        return [
            *self.displacement.parameters(),
            *self.deep.parameters(),
            *self.shallow.parameters(),
        ]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Boundary (B, h, w) and displacement (B, 2, h, w) px."""
        with torch.no_grad():
            levels = self.backbone(normalise(pictures))
        size = levels[0].shape[2:]
        edges = [as_fine(layer(level), size).relu() for layer, level in zip(self.boundary, levels)]
        boundary = self.boundary_out(torch.cat(edges, 1)).sigmoid()[:, 0]
        first, second, *rest = (layer(level) for layer, level in zip(self.displacement, levels))
        deep = self.deep(torch.cat([as_fine(one, rest[0].shape[2:]).relu() for one in rest], 1))
        out = self.shallow(torch.cat([first.relu(), second.relu(), as_fine(deep, size)], 1))
        return boundary, out - self.mean[:, None, None]

    @torch.no_grad()
    def predict(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Boundary (h, w) in [0, 1], averaged with that of the mirror image, and displacement (2,
        h, w) px of one picture (C, H, W) uint8."""
        boundary, displacement = self(torch.stack([picture, picture.flip(-1)]))
        return (boundary[0] + boundary[1].flip(-1)) / 2, displacement[0]


def _layer(before: int, after: int, groups: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.GroupNorm(groups, after))


@dataclass(frozen=True)
class IRNetTrainConfig:
    """How IRNet's branches are taught."""

    network: IRNetConfig = field(default_factory=IRNetConfig)
    """Shape of the branches."""
    steps: int = 500
    """Optimisation steps; the paper's are three epochs."""
    batch: int = 16
    """Pictures a step; the paper's are 32."""
    rate: float = 0.1
    """Rate of gradient descent without momentum, as the well-known settings have it in effect; the
    displacement branch's is ten times as much. It falls to nothing as (1 - step / steps)^0.9."""
    decay: float = 1e-4
    """Weight decay."""
    radius: int = 10
    """Pairs of pixels are nearer than this, at a quarter of the picture's size."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.radius < 2:
            raise ConfigError(
                f'irnet.steps is {self.steps}, batch {self.batch}, radius {self.radius}: expected'
                ' 1 or more, 1 or more, 2 or more, in that order'
            )


class RelationStage(ImageStage):
    """A network on a frozen backbone that learns from pairs of pixels. labels (N, h, w) uint8 at a
    quarter of the pictures' size: 0 background, class + 1, or IGNORED. backbone: its weights;
    frozen_norm: whether its batch norm is ImageNet's."""

    def __init__(
        self,
        run: ImageRun,
        settings: Any,
        labels: np.ndarray,
        backbone: dict[str, Tensor],
        frozen_norm: bool,
    ) -> None:
        super().__init__(run, settings)
        self.labels = labels
        self.usable = np.flatnonzero(((labels > 0) & (labels != IGNORED)).any((1, 2)))
        network, groups = self.make(frozen_norm)
        network.backbone.load_state_dict(backbone)
        self.set_up(network, torch.optim.SGD(groups, settings.rate, weight_decay=settings.decay))
        self.schedule = torch.optim.lr_scheduler.PolynomialLR(
            self.optimiser, settings.steps, power=0.9
        )

    @abstractmethod
    def make(self, frozen_norm: bool) -> tuple[Any, list[Any]]:
        """The network, and the groups of its weights that learn, as optimisers take them."""

    def draw_labelled(self) -> tuple[Tensor, Tensor]:
        """A step's pictures (B, C, S, S) uint8, before their colours are varied, and labels (B, h,
        w), both turned."""
        chosen = self.draw(self.usable)
        pictures = self.read(chosen)
        turns = draw_turns(len(chosen), self.run.config.above)
        labels = torch.from_numpy(self.labels[chosen]).long()
        return self.turned(pictures, turns), self.turned(labels, turns)


class IRNetStage(RelationStage):
    """Boundaries and displacements from pseudo-labels of the classes."""

    name = 'irnet'

    def make(self, frozen_norm: bool) -> tuple[IRNet, list[Any]]:
        """IRNet; its boundary branch, and its displacement branch, which learns faster."""
        network = IRNet(
            self.settings.network, self.run.config.backbone, self.run.images.channels, frozen_norm
        )
        boundary = [*network.boundary.parameters(), *network.boundary_out.parameters()]
        heads = {'params': network.heads(), 'lr': HEAD_RATE * self.settings.rate}
        return network, [{'params': boundary}, heads]

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns L_D of foreground and background, and L_B."""
        pictures, labels = self.draw_labelled()
        boundary, displacement = self.network(vary_colours(pictures, self.run.config.colours))
        losses = relation_losses(boundary, displacement, labels, self.settings.radius)
        self.learn(losses['L_D fg'] + losses['L_D bg'] + losses['L_B'])
        if index + 1 == self.steps:
            self._subtract_mean()
        return {name: value.detach() for name, value in losses.items()}

    @torch.no_grad()
    def _subtract_mean(self) -> None:
        """From now on the mean of the displacements over the pictures is 0."""
        network = self.network.module
        means = []
        for index in self.usable[:MEAN_OF]:
            _, displacement = network(self.read([int(index)]).to(self.run.device))
            means.append(displacement.mean((0, 2, 3)))
        network.mean += torch.stack(means).mean(0)
