"""The dense segmenter taught by the simulator's truth: the ceiling of the tables, and the short way
where a mesh is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import LoopConfig, run_stage, seed_step
from insegan_ros.engine.run import claim, prepare
from insegan_ros.heights import above_floor
from insegan_ros.nn.composition import sizes
from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.stage import DisplacementStage, DisplacementTrainConfig


@dataclass(frozen=True)
class TrainSupervisedConfig:
    """`insegan train supervised`: the same dense segmenter, taught by the simulator's truth. The
    ceiling, and the way where a mesh is known."""

    data: str = 'data/nut'
    """Folder of labelled shards, or a file of height maps with their truth."""
    out: str = 'runs/nut-supervised'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    displacement: DisplacementTrainConfig = field(default_factory=DisplacementTrainConfig)
    """The dense segmenter's training; its later rounds go on with the truth."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""
    scenes: int = 0
    """Scenes of the data to learn from, the first ones; 0 is all of them."""


def train_supervised(config: TrainSupervisedConfig) -> Path:
    """Train the dense segmenter on true labels, or what is left of it; returns the checkpoint's
    folder."""
    data, out = prepare(config, truth=True), Path(config.out)
    labels, centres = data.maps.labels, data.maps.centres
    claim(out, config, data.maps.fingerprint)
    labels = np.where(above_floor(data.images[:, 0]).cpu().numpy(), labels, 0).astype(np.int64)
    masks = torch.from_numpy(
        np.concatenate([labels[:200] == part + 1 for part in range(int(labels.max()))])
    )
    area, radius = sizes(masks)
    scales = Scales(
        data.maps.pixel_m,
        data.height_m,
        float(area[area > 4].median()),
        float(radius[area > 4].median()),
    )
    seconds, weights, steps = 0.0, None, {}
    for round_ in range(config.displacement.rounds + 1):
        seed_step(config.seed, 'weights', 3 + round_)
        stage = DisplacementStage(
            data.fabric,
            config.displacement,
            LabelledImages(data.images, labels, centres),
            data.relief_px,
            round_,
            weights,
        )
        seconds += run_stage(data.fabric, stage, stage.steps, out, config.seed, config.loop)
        weights = {
            name: value.detach().clone() for name, value in stage.network.state_dict().items()
        }
        steps[stage.name] = stage.steps
    training = data.describe(config, seconds, steps, 'scenes with their true labels')
    if data.fabric.is_global_zero:
        Checkpoint(
            'supervised',
            'displacement',
            data.maps.part,
            scales,
            asdict(config),
            {'displacement': weights},
            training,
        ).save(out / 'checkpoint')
    return out / 'checkpoint'
