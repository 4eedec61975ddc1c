"""The foreground U-Net trained on true masks: the ceiling of the tables, and the direct way where
masks are at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import PicturesConfig, read_picture_images
from insegan_ros.engine.run import RunContext
from insegan_ros.errors import ConfigError
from insegan_ros.methods.foreground.labelled_pictures import LabelledPictures
from insegan_ros.methods.foreground.stage import ForegroundStage, ForegroundTrainConfig


@dataclass(frozen=True)
class TrainForegroundConfig(PicturesConfig):
    """`insegan train supervised-foreground`: pictures and their masks in, a segmenter out.
    The pictures show single objects; the segmenter tells foreground from background."""

    out: str = 'runs/supervised-foreground'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    size: int = 64
    """Side of the pictures in px, 16 or more."""
    unet: ForegroundTrainConfig = field(default_factory=ForegroundTrainConfig)
    """The U-Net's training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 16:
            raise ConfigError(f'size is {self.size}: expected 16 or more')
        if self.begin:
            raise ConfigError(
                f'begin is {self.begin}: expected none, this training has one stage and no shorter'
                ' run that it could go on from'
            )


def train_supervised_foreground(config: TrainForegroundConfig) -> Path:
    """Train the U-Net on true masks, or what is left of it; returns the checkpoint's folder. Raises
    DatasetError for pictures without masks."""
    run = RunContext(config)
    data = read_picture_images(config, config.size, run.device, truth=True)
    assert data.masks is not None, 'the truth was asked for'
    run.claim(data.fingerprint)
    run.seed('weights', 0)
    factory = LabelledPictures(data.images, data.masks)
    stage = run.stage(ForegroundStage(run.fabric, config.unet, factory, 'unet'))
    return run.save(
        'supervised-foreground',
        'foreground',
        data.name,
        Scales.none(),
        {'unet': stage.best.state_dict()},
        data=f'{len(data.images)} pictures with their true masks',
    )
