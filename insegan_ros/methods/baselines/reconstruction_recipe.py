"""The learnt baselines of InSeGAN's Table 1: Slot Attention, IODINE and Wu et al.'s point template,
which learn to reconstruct unlabelled height maps from n slots."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from insegan_ros.drawing.tiles import tile
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import read_height_images
from insegan_ros.engine.loop import LoopConfig, Stage, one_cycle, own_share
from insegan_ros.engine.run import RunContext
from insegan_ros.errors import ConfigError
from insegan_ros.heights import IMAGE_SIZE
from insegan_ros.methods.baselines.iodine import IodineConfig
from insegan_ros.methods.baselines.point_template import PointTemplateConfig
from insegan_ros.methods.baselines.reconstructions import RECONSTRUCTIONS
from insegan_ros.methods.baselines.slot_attention import SlotAttentionConfig


@dataclass(frozen=True)
class TrainReconstructionConfig:
    """What the three recipes have in common."""

    data: str = 'data/nut'
    """Folder of shards, or a file of height maps. Depth alone is read, never a label."""
    out: str = 'runs/baseline'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    scenes: int = 0
    """How many scenes of the data to learn from, the first ones; 0 is all of them."""
    steps: int = 2000
    """Optimisation steps."""
    batch: int = 16
    """Images a step."""
    rate: float = 4e-4
    """Adam's maximum learning rate; it rises for a tenth of the steps and falls along a cosine."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.scenes < 0:
            raise ConfigError(
                f'steps is {self.steps}, batch {self.batch}, scenes {self.scenes}: expected 1 or'
                ' more, 1 or more, 0 or more, in that order'
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


class ReconstructionStage(Stage):
    """Trains one of the three networks. images (N, 1, 64, 64) in [-1, 1] on the device: unlabelled
    height maps."""

    name = 'reconstruction'

    def __init__(
        self, fabric: Fabric, config: TrainReconstructionConfig, network: nn.Module, images: Tensor
    ) -> None:
        self.fabric = fabric
        self.config = config
        self.images = images
        self.images_per_step, self.steps = config.batch, config.steps
        self.network, self.optimiser = fabric.setup(
            network, torch.optim.Adam(network.parameters(), config.rate)
        )
        self.network.mark_forward_method('losses')
        self.schedule = one_cycle(self.optimiser, config.rate, config.steps, rise=0.1)

    def parts(self) -> dict[str, Any]:
        """The network, its optimiser and the learning rate's schedule."""
        return {'network': self.network, 'optimiser': self.optimiser, 'schedule': self.schedule}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step on height maps that are rotated by random quarter turns."""
        count = self.fabric.world_size * self.config.batch
        drawn = torch.randint(len(self.images), (count,), device=self.images.device)
        images = self.images[own_share(self.fabric, drawn)]
        losses = self.network.losses(torch.rot90(images, int(torch.randint(4, ())), (2, 3)))
        self.optimiser.zero_grad()
        self.fabric.backward(sum(losses.values()))
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows: height maps, the slots of their pixels."""
        images = self.images[:8]
        slots = torch.stack([self.network.module.divide(image[None]) for image in images]).float()
        slots = slots / slots.amax().clamp(min=1) * 2 - 1
        return {'images, owners': tile(torch.cat([images[:, 0], slots]), 8)}


def train_slot_attention(config: TrainSlotAttentionConfig) -> Path:
    """Train Slot Attention, or what is left of it; returns the checkpoint's folder."""
    return _train('slot-attention', config)


def train_iodine(config: TrainIodineConfig) -> Path:
    """Train IODINE, or what is left of it; returns the checkpoint's folder."""
    return _train('iodine', config)


def train_point_template(config: TrainPointTemplateConfig) -> Path:
    """Train Wu et al.'s point template, or what is left of it; returns the checkpoint's folder."""
    return _train('point-template', config)


def _train(
    method: str, config: TrainSlotAttentionConfig | TrainIodineConfig | TrainPointTemplateConfig
) -> Path:
    """Train one of RECONSTRUCTIONS; returns the checkpoint's folder."""
    run = RunContext(config)
    data = read_height_images(config, run.device)
    shape: Any = config.network
    run.claim(data.maps.fingerprint)
    if method == 'point-template':
        shape = replace(shape, relief=data.relief_px / (IMAGE_SIZE / 2))
    run.seed('weights', 0)
    network = RECONSTRUCTIONS[method][0](shape)
    stage = run.stage(ReconstructionStage(run.fabric, config, network, data.images.clamp(max=1)))
    return run.save(
        method,
        'reconstruction',
        data.maps.part,
        Scales(data.maps.pixel_m, data.height_m, 0.0, 0.0),
        {'network': stage.network.state_dict()},
        data=f'{len(data.images)} unlabelled scenes',
        values={'network': asdict(shape)},
    )
