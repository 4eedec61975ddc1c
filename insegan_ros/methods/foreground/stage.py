"""The training of the foreground U-Net by any label factory of colour pictures: lines 6 to 8 of the
layered GANs' Algorithm 1, the student of data distillation, and the supervised ceiling."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from insegan_ros.drawing.tiles import tile_colour
from insegan_ros.engine.loop import Stage
from insegan_ros.engine.state import Record
from insegan_ros.errors import ConfigError
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet
from insegan_ros.nn.augmentation import random_colours
from insegan_ros.offsets.labels import LabelFactory

# Pictures of the factory that the best weights are chosen on; their masks are the factory's own, so
# no true mask is needed.
VALIDATION, VALIDATION_BATCH = 256, 32
VALIDATION_SEED = 987_654_321


@dataclass(frozen=True)
class ForegroundTrainConfig:
    """How the U-Net is trained."""

    network: ForegroundConfig = field(default_factory=ForegroundConfig)
    """Shape of the network."""
    steps: int = 1000
    """Optimisation steps; the paper's are 2,000 a round and 12,000 at the end."""
    batch: int = 32
    """Pictures a step."""
    rate: float = 1e-3
    """Adam's learning rate; a fifth of it from two thirds of the steps on."""
    colours: float = 0.4
    """How much brightness, contrast and saturation are varied; 0 leaves colours as they are."""
    validate_every: int = 250
    """Steps between validations, by which the best weights are chosen."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.validate_every < 1 or not 0 <= self.colours < 1:
            raise ConfigError(
                f'unet.steps {self.steps}, batch {self.batch}, validate_every'
                f' {self.validate_every}, colours {self.colours}: expected 1 or more, 1 or more, 1'
                ' or more, 0 to below 1, in that order'
            )


class ForegroundStage(Stage):
    """Trains a foreground U-Net on pictures of a label factory; `best` is what it ends with.

    name: the stage's; start: weights to continue from, or None.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: ForegroundTrainConfig,
        factory: LabelFactory,
        name: str,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        self.fabric = fabric
        self.config = config
        self.factory = factory
        self.name = name
        self.steps = config.steps
        self.images_per_step = config.batch
        network = ForegroundNet(config.network)
        if start is not None:
            network.load_state_dict(start)
        self.best = copy.deepcopy(network).to(fabric.device).requires_grad_(False)
        self.network, self.optimiser = fabric.setup(
            network, torch.optim.Adam(network.parameters(), config.rate)
        )
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(
            self.optimiser, [max(2 * config.steps // 3, 1)], 0.2
        )
        self.quality = Record(-1.0)
        self._validation: list[tuple[Tensor, Tensor]] = []

    def parts(self) -> dict[str, Any]:
        """The network and its optimiser, the best weights so far and their IoU."""
        return {
            'network': self.network,
            'optimiser': self.optimiser,
            'schedule': self.schedule,
            'best': self.best,
            'quality': self.quality,
        }

    def step(self, index: int) -> dict[str, Tensor]:
        """One step on fresh pictures; every validate_every steps, and at the end, a validation."""
        batch = self.factory.sample(self.config.batch)
        images = batch.images
        if self.config.colours:
            images = random_colours(images, self.config.colours)
        masks = (batch.labels > 0).float()
        loss = binary_cross_entropy_with_logits(self.network(images)[:, 0], masks)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        self.schedule.step()
        if (index + 1) % self.config.validate_every == 0 or index + 1 == self.config.steps:
            self._keep_best()
        return {'L_F': loss.detach()}

    @torch.no_grad()
    def _keep_best(self) -> None:
        """Keep the weights if their IoU on the validation pictures is no smaller than the best."""
        if not self._validation:
            self._validation = self._draw_validation()
        self.network.eval()
        intersection, union = 0, 0
        for images, masks in self._validation:
            found = self.network(images)[:, 0] > 0
            intersection += int((found & masks).sum())
            union += int((found | masks).sum())
        self.network.train()
        quality = intersection / max(union, 1)
        if quality >= float(self.quality.value):
            self.quality.value.fill_(quality)
            self.best.load_state_dict(self.network.state_dict())

    def _draw_validation(self) -> list[tuple[Tensor, Tensor]]:
        """Batches of pictures (B, 3, S, S) with masks (B, S, S) bool: the same ones after a resume,
        and other ones than any step's."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(VALIDATION_SEED)
            drawn = (
                self.factory.sample(VALIDATION_BATCH) for _ in range(VALIDATION // VALIDATION_BATCH)
            )
            return [(batch.images, batch.labels > 0) for batch in drawn]

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: pictures, their masks, the masks that the network finds."""
        batch = self.factory.sample(8)
        found = torch.sigmoid(self.network(batch.images)) * 2 - 1
        masks = (batch.labels > 0).float()[:, None] * 2 - 1
        rows = [batch.images, masks.expand(-1, 3, -1, -1), found.expand(-1, 3, -1, -1)]
        return {'pictures, masks, found': tile_colour(torch.cat(rows), 8)}
