"""A foreground U-Net, taught by any label factory of colour pictures: line 6 to 8 of the layered
GANs' Algorithm 1, and the student of data distillation."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from insegan_ros.drawing.tiles import tile_colour
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import run_stage, seed_step
from insegan_ros.engine.run import PicturesConfig, claim, prepare_pictures
from insegan_ros.engine.state import Record
from insegan_ros.errors import ConfigError
from insegan_ros.methods.foreground.labelled_pictures import LabelledPictures
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet
from insegan_ros.nn.augmentation import random_colours
from insegan_ros.offsets.labels import LabelFactory

# Pictures of the factory that choose the best weights: synthetic ones, so no true mask has a say.
VALIDATION = 256


@dataclass(frozen=True)
class ForegroundTrainConfig:
    """How the U-Net is taught."""

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
    """Steps between looks at pictures kept for validation, on which the best weights are chosen."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.validate_every < 1 or not 0 <= self.colours < 1:
            raise ConfigError(
                f'unet.steps {self.steps}, batch {self.batch}, validate_every'
                f' {self.validate_every}, colours {self.colours}: expected 1 or more, 1 or more, 1'
                ' or more, 0 to below 1'
            )


class ForegroundStage:
    """`start`: weights to go on from, or None."""

    def __init__(
        self,
        fabric: Fabric,
        config: ForegroundTrainConfig,
        factory: LabelFactory,
        name: str,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        self.fabric, self.config, self.factory, self.name, self.images_per_step = (
            fabric,
            config,
            factory,
            name,
            config.batch,
        )
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
        """See Stage."""
        return {
            'network': self.network,
            'optimiser': self.optimiser,
            'schedule': self.schedule,
            'best': self.best,
            'quality': self.quality,
        }

    def step(self, index: int) -> dict[str, Tensor]:
        """One step on fresh pictures."""
        batch = self.factory.sample(self.config.batch)
        images = (
            random_colours(batch.images, self.config.colours)
            if self.config.colours
            else batch.images
        )
        loss = binary_cross_entropy_with_logits(
            self.network(images)[:, 0], (batch.labels > 0).float()
        )
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        self.schedule.step()
        if (index + 1) % self.config.validate_every == 0 or index + 1 == self.config.steps:
            self._keep_best()
        return {'L_F': loss.detach()}

    @torch.no_grad()
    def _keep_best(self) -> None:
        """Keep the weights if they are better on the validation pictures than those before."""
        if not self._validation:
            # The same ones after a resume, and other ones than any step's.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(987_654_321)
                self._validation = [
                    (batch.images, batch.labels > 0)
                    for batch in (self.factory.sample(32) for _ in range(VALIDATION // 32))
                ]
        self.network.eval()
        both, either = 0, 0
        for images, masks in self._validation:
            found = self.network(images)[:, 0] > 0
            both, either = both + int((found & masks).sum()), either + int((found | masks).sum())
        self.network.train()
        quality = both / max(either, 1)
        if quality >= float(self.quality.value):
            self.quality.value.fill_(quality)
            self.best.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: pictures, their masks, the masks that the network finds."""
        batch = self.factory.sample(8)
        found = torch.sigmoid(self.network(batch.images)) * 2 - 1
        masks = (batch.labels > 0).float()[:, None] * 2 - 1
        return {
            'pictures, masks, found': tile_colour(
                torch.cat([batch.images, masks.expand(-1, 3, -1, -1), found.expand(-1, 3, -1, -1)]),
                8,
            )
        }


@dataclass(frozen=True)
class TrainForegroundConfig(PicturesConfig):
    """`insegan train supervised-foreground`: the same U-Net, taught by true masks. The ceiling, and
    the way where masks are at hand."""

    out: str = 'runs/supervised-foreground'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    size: int = 64
    """Side of the pictures in px, a multiple of 16."""
    unet: ForegroundTrainConfig = field(default_factory=ForegroundTrainConfig)
    """The U-Net's training."""


def train_supervised_foreground(config: TrainForegroundConfig) -> Path:
    """Train the U-Net on true masks, or what is left of it; returns the checkpoint's folder. Raises
    DatasetError for pictures without masks."""
    data, out = prepare_pictures(config, config.size, truth=True), Path(config.out)
    claim(out, config, data.fingerprint)
    seed_step(config.seed, 'weights', 0)
    stage = ForegroundStage(
        data.fabric, config.unet, LabelledPictures(data.images, data.masks), 'unet'
    )
    seconds = run_stage(data.fabric, stage, config.unet.steps, out, config.seed, config.loop)
    if data.fabric.is_global_zero:
        Checkpoint(
            'supervised-foreground',
            'foreground',
            data.name,
            Scales.none(),
            asdict(config),
            {'unet': stage.best.state_dict()},
            data.describe(
                config, seconds, {'unet': config.unet.steps}, 'pictures with their true masks'
            ),
        ).save(out / 'checkpoint')
    return out / 'checkpoint'
