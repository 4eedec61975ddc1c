"""Semantic segmentation taught by pseudo labels: IRNet's semantic variant, and CCGR's semantic
branch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from insegan_ros.data.image_sets import ImageSet
from insegan_ros.drawing.overlay import palette
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.relations import IGNORED
from insegan_ros.methods.image_level.run import (
    ImageLevelConfig,
    draw_turns,
    read_pictures,
    turn,
    vary_colours,
)
from insegan_ros.methods.image_level.semantic import Head, SemanticNet


@dataclass(frozen=True)
class SemanticTrainConfig:
    """How semantic segmentation is taught."""

    steps: int = 800
    """Optimisation steps."""
    batch: int = 8
    """Pictures a step."""
    rate: float = 1e-3
    """Adam's learning rate, falling to nothing along a cosine."""
    decay: float = 1e-4
    """Weight decay."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2:
            raise ConfigError(
                f'semantic steps are {self.steps}, batch {self.batch}: expected 1 or more, 2 or'
                ' more'
            )


class SemanticStage:
    """labels (N, S, S) uint8, 0 background, class + 1, or IGNORED. start: a Backbone's weights."""

    def __init__(
        self,
        fabric: Fabric,
        config: ImageLevelConfig,
        settings: SemanticTrainConfig,
        images: ImageSet,
        labels: np.ndarray,
        head: Head,
        start: dict[str, Tensor],
        frozen_norm: bool,
        name: str = 'semantic',
    ) -> None:
        self.fabric, self.config, self.settings, self.images, self.labels, self.name = (
            fabric,
            config,
            settings,
            images,
            labels,
            name,
        )
        self.images_per_step = settings.batch
        network = SemanticNet(
            head, config.backbone, images.channels, len(images.classes), frozen_norm
        )
        network.backbone.load_state_dict(start)
        self.network, self.optimiser = fabric.setup(
            network,
            torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay),
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.rate, total_steps=settings.steps, pct_start=0.1
        )

    def parts(self) -> dict[str, Any]:
        """See Stage."""
        return {'network': self.network, 'optimiser': self.optimiser, 'schedule': self.schedule}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step: cross-entropy where labels are known."""
        chosen = torch.randint(len(self.images), (self.settings.batch,)).numpy()
        turns = draw_turns(len(chosen), self.config.above)
        pictures, labels = (
            torch.stack([turn(one, *how) for one, how in zip(some, turns)]).to(self.fabric.device)
            for some in (
                read_pictures(self.images, chosen.tolist(), self.config.size),
                torch.from_numpy(self.labels[chosen]).long(),
            )
        )
        logits = self.network(vary_colours(pictures, self.config.colours))
        loss = cross_entropy(
            interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=False),
            labels,
            ignore_index=IGNORED,
        )
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        self.schedule.step()
        return {'loss': loss.detach()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: pictures, labels, what is found."""
        self.network.eval()
        chosen = torch.linspace(0, len(self.images) - 1, 6).long().tolist()
        pictures = read_pictures(self.images, chosen, self.config.size)
        found = (
            interpolate(
                self.network(pictures.to(self.fabric.device)), self.config.size, mode='bilinear'
            )
            .argmax(1)
            .cpu()
            .numpy()
        )
        self.network.train()
        colours = palette(IGNORED)
        rows = [
            np.concatenate(list(some), 1)
            for some in (
                pictures[:, :3].permute(0, 2, 3, 1).numpy(),
                colours[self.labels[chosen]],
                colours[found],
            )
        ]
        return {
            'pictures, labels, found': (
                torch.from_numpy(np.concatenate(rows)[::2, ::2].copy()).permute(2, 0, 1).float()
                / 255
            )
        }
