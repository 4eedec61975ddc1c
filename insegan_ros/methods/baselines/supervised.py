"""The dense network trained on true labels: the ceiling of the tables, and the direct way where the
part's mesh is known and can be simulated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import read_height_images
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.engine.run import RunContext
from insegan_ros.heights import IMAGE_SIZE, above_floor
from insegan_ros.nn.composition import sizes
from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.stage import OffsetStage, OffsetTrainConfig

# Height maps that the size of a part is measured on, and the smallest mask in px that counts there.
MEASURED, MIN_AREA = 200, 5


@dataclass(frozen=True)
class TrainSupervisedConfig:
    """`insegan train supervised`: labelled height maps of bins in, an instance segmenter out."""

    data: str = 'data/nut'
    """Folder of labelled shards, or a file of height maps with their truth."""
    out: str = 'runs/nut-supervised'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    seed: int = 0
    """Seed of everything."""
    offsets: OffsetTrainConfig = field(default_factory=OffsetTrainConfig)
    """The dense network's training; in its rounds of self-training it continues on the true
    labels."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Device, precision, how often to save."""
    scenes: int = 0
    """How many scenes of the data to learn from, the first ones; 0 is all of them."""

    def __post_init__(self) -> None:
        self.offsets.check_steps()
        self.offsets.check_side(IMAGE_SIZE)


def train_supervised(config: TrainSupervisedConfig) -> Path:
    """Train the dense network on true labels, or what is left of it; returns the checkpoint's
    folder."""
    run = RunContext(config)
    data = read_height_images(config, run.device, truth=True)
    run.claim(data.maps.fingerprint)
    assert data.maps.labels is not None and data.maps.centres is not None, 'the truth was asked for'
    above = above_floor(data.images[:, 0]).cpu().numpy()
    labels = np.where(above, data.maps.labels, 0).astype(np.int64)
    truth = LabelledImages(data.images, labels, data.maps.centres)
    start: dict[str, torch.Tensor] | None = None
    for round_ in range(config.offsets.self_training + 1):
        run.seed('weights', 3 + round_)
        stage = OffsetStage(run.fabric, config.offsets, truth, data.relief_px, round_, start)
        start = run.stage(stage).weights()
    return run.save(
        'supervised',
        'offsets',
        data.maps.part,
        Scales(data.maps.pixel_m, data.height_m, *median_size(labels[:MEASURED])),
        {'offsets': stage.weights()},
        data=f'{len(data.images)} scenes with their true labels',
    )


def median_size(labels: np.ndarray) -> tuple[float, float]:
    """The median area in square px and the median radius of gyration in px of the instances of
    labels (N, S, S)."""
    masks = [labels == number + 1 for number in range(int(labels.max()))]
    area, radius = sizes(torch.from_numpy(np.concatenate(masks)))
    shown = area >= MIN_AREA
    return float(area[shown].median()), float(radius[shown].median())
