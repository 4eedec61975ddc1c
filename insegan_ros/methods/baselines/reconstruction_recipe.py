"""The learned baselines of InSeGAN's Table 1: Slot Attention, IODINE, Wu et al. They explain
unlabelled height maps by n slots."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from insegan_ros.drawing.tiles import tile
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import LoopConfig, own_share, run_stage, seed_step
from insegan_ros.engine.run import claim, prepare
from insegan_ros.errors import ConfigError
from insegan_ros.heights import IMAGE_SIZE
from insegan_ros.methods.baselines.iodine import IodineConfig
from insegan_ros.methods.baselines.point_template import PointTemplateConfig
from insegan_ros.methods.baselines.reconstructions import RECONSTRUCTIONS
from insegan_ros.methods.baselines.slot_attention import SlotAttentionConfig


@dataclass(frozen=True)
class TrainReconstructionConfig:
    """What all three have in common."""

    data: str = 'data/nut'
    """Folder of shards, or a file of height maps. Depth alone is read, never a label."""
    out: str = 'runs/baseline'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    scenes: int = 0
    """Scenes of the data to learn from, the first ones; 0 is all of them."""
    steps: int = 2000
    """Optimisation steps."""
    batch: int = 16
    """Images a step."""
    rate: float = 4e-4
    """Adam's highest learning rate; it rises for a tenth of the steps and falls along a cosine."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.scenes < 0:
            raise ConfigError(
                f'steps is {self.steps}, batch {self.batch}, scenes {self.scenes}: expected 1 or'
                ' more, 1 or more, 0 or more'
            )


@dataclass(frozen=True)
class TrainSlotAttentionConfig(TrainReconstructionConfig):
    """`insegan train slot-attention`: a baseline (Locatello et al., NeurIPS 2020)."""

    network: SlotAttentionConfig = field(default_factory=SlotAttentionConfig)
    """Shape of the network."""


@dataclass(frozen=True)
class TrainIodineConfig(TrainReconstructionConfig):
    """`insegan train iodine`: a baseline (Greff et al., ICML 2019)."""

    network: IodineConfig = field(default_factory=IodineConfig)
    """Shape of the network."""


@dataclass(frozen=True)
class TrainPointTemplateConfig(TrainReconstructionConfig):
    """`insegan train point-template`: a baseline (Wu et al., ICCV Workshops 2019)."""

    network: PointTemplateConfig = field(default_factory=PointTemplateConfig)
    """Shape of the model."""


class ReconstructionStage:
    """`images` (N, 1, 64, 64) in [-1, 1] on the device: unlabelled height maps."""

    name = 'reconstruction'

    def __init__(
        self, fabric: Fabric, config: TrainReconstructionConfig, network: nn.Module, images: Tensor
    ) -> None:
        self.fabric, self.config, self.images, self.images_per_step = (
            fabric,
            config,
            images,
            config.batch,
        )
        self.network, self.optimiser = fabric.setup(
            network, torch.optim.Adam(network.parameters(), config.rate)
        )
        self.network.mark_forward_method('losses')
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            config.rate,
            total_steps=config.steps,
            pct_start=0.1,
            cycle_momentum=False,
        )

    def parts(self) -> dict[str, Any]:
        """See Stage."""
        return {'network': self.network, 'optimiser': self.optimiser, 'schedule': self.schedule}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step on real height maps, quarter-turned by chance."""
        chosen = own_share(
            self.fabric,
            torch.randint(
                len(self.images),
                (self.fabric.world_size * self.config.batch,),
                device=self.images.device,
            ),
        )
        losses = self.network.losses(
            torch.rot90(self.images[chosen], int(torch.randint(4, ())), (2, 3))
        )
        self.optimiser.zero_grad()
        self.fabric.backward(sum(losses.values()))
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Height maps above, whose pixel is whose below."""
        images = self.images[:8]
        owners = torch.stack([self.network.module.divide(image[None]) for image in images]).float()
        return {
            'images, owners': tile(
                torch.cat([images[:, 0], owners / owners.amax().clamp(min=1) * 2 - 1]), 8
            )
        }


def train_reconstruction(method: str, config: TrainReconstructionConfig) -> Path:
    """Train one of the learned baselines, or what is left of it; returns the checkpoint's
    folder."""
    data, out, shape = prepare(config), Path(config.out), config.network
    claim(out, config, data.maps.fingerprint)
    if method == 'point-template':
        shape = replace(shape, relief=data.relief_px / (IMAGE_SIZE / 2))
    seed_step(config.seed, 'weights', 0)
    stage = ReconstructionStage(
        data.fabric, config, RECONSTRUCTIONS[method][0](shape), data.images.clamp(max=1)
    )
    seconds = run_stage(data.fabric, stage, config.steps, out, config.seed, config.loop)
    training = data.describe(config, seconds, {stage.name: config.steps})
    if data.fabric.is_global_zero:
        Checkpoint(
            method,
            'reconstruction',
            data.maps.part,
            Scales(data.maps.pixel_m, data.height_m, 0.0, 0.0),
            {**asdict(config), 'network': asdict(shape)},
            {'network': stage.network.state_dict()},
            training,
        ).save(out / 'checkpoint')
    return out / 'checkpoint'
