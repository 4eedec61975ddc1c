"""How Mask R-CNN learns masks with classes: from the pseudo-labels of IRNet or CCGR, or, as the
ceiling, from true ones (`insegan train supervised-masks`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from insegan_ros.data.mask_sets import MaskSet, truth_of
from insegan_ros.drawing.overlay import draw_masks
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.image_level.backbone import imagenet_state
from insegan_ros.methods.image_level.class_maps import load_backbone
from insegan_ros.methods.image_level.mask_rcnn import (
    MaskRcnnConfig,
    body_of,
    detect,
    make_mask_rcnn,
)
from insegan_ros.methods.image_level.run import ImageLevelConfig, ImageRun
from insegan_ros.methods.image_level.stage import ImageStage, Turn, draw_turns, turn, vary_colours

# Masks of fewer px teach nothing.
MIN_PX = 12
# Gradients are clipped to this norm.
MAX_NORM = 10.0


@dataclass(frozen=True)
class MaskRcnnTrainConfig:
    """How Mask R-CNN is taught."""

    network: MaskRcnnConfig = field(default_factory=MaskRcnnConfig)
    """Widths of its heads."""
    steps: int = 1500
    """Optimisation steps."""
    batch: int = 8
    """Pictures a step."""
    rate: float = 1e-3
    """Adam's learning rate, falling to nothing along a cosine."""
    decay: float = 1e-4
    """Weight decay."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ConfigError(
                f'mask_rcnn.steps is {self.steps}, batch {self.batch}: expected 1 or more'
            )


class MaskRcnnStage(ImageStage):
    """labels: masks of every picture; pictures without any are not drawn. start: weights of a
    Backbone, or None. frozen_norm: its batch norm stays as they bring it."""

    name = 'mask_rcnn'

    def __init__(
        self,
        run: ImageRun,
        settings: MaskRcnnTrainConfig,
        labels: MaskSet,
        start: dict[str, Tensor] | None,
        frozen_norm: bool,
        name: str = '',
    ) -> None:
        super().__init__(run, settings, name)
        self.labels = labels
        self.usable = [
            index
            for index, masks in enumerate(labels.masks)
            if any(one.area >= MIN_PX for one in masks)
        ]
        if not self.usable:
            raise DatasetError(
                f'there is no mask in {len(labels)} pictures: expected some to teach Mask R-CNN'
                ' with'
            )
        network = make_mask_rcnn(
            settings.network,
            run.config.backbone,
            run.images.channels,
            len(run.images.classes),
            run.config.size,
            frozen_norm,
        )
        if start is not None:
            body_of(network).load_state_dict(start)
        self.set_up_adam(network)

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the sum of Mask R-CNN's losses, and each of them."""
        chosen = self.draw(self.usable)
        turns = draw_turns(len(chosen), self.run.config.above)
        pictures = vary_colours(self.turned(self.read(chosen), turns), self.run.config.colours)
        targets = [self._target(number, how) for number, how in zip(chosen, turns)]
        losses = self.network(list(pictures.float() / 255), targets)
        loss = sum(losses.values())
        self.learn(loss, MAX_NORM)
        shown = {name.removeprefix('loss_'): value.detach() for name, value in losses.items()}
        return {'loss': loss.detach(), **shown}

    def _target(self, index: int, how: Turn) -> dict[str, Tensor]:
        """What torchvision asks for: boxes (M, 4) px, labels (M,) from 1, masks (M, S, S), of a
        picture that is turned."""
        side, labels, masks = self.run.config.size, [], []
        for one in self.labels.masks[index]:
            if one.area >= MIN_PX:
                pixels = torch.from_numpy(one.pixels())
                square = torch.zeros(side, side, dtype=torch.bool)
                square[: pixels.shape[0], : pixels.shape[1]] = pixels
                labels.append(one.kind + 1)
                masks.append(turn(square, *how))
        stack = torch.stack(masks)
        across, down = stack.any(1).float(), stack.any(2).float()
        target = {
            'boxes': torch.stack([*map(_first, (across, down)), *map(_end, (across, down))], 1),
            'labels': torch.tensor(labels),
            'masks': stack.to(torch.uint8),
        }
        return {key: value.to(self.run.device) for key, value in target.items()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """What it is taught about some pictures, and below what it finds in them."""
        network, images, cells = self.network.module, self.run.images, []
        for index in torch.linspace(0, len(self.usable) - 1, 6).long().tolist():
            number = self.usable[index]
            found = detect(network, self.run.picture(number), 0.5)
            picture = images.picture(number)
            pair = self.labels.pixels(number), [(one.kind, one.pixels()) for one in found]
            cells.append(np.vstack([draw_masks(picture, one, len(images.classes)) for one in pair]))
        height = min(cell.shape[0] for cell in cells)
        sheet = np.hstack([cv2.resize(cell, (height // 2, height)) for cell in cells])
        return {'taught, found': torch.from_numpy(sheet).permute(2, 0, 1).float() / 255}


def _first(line: Tensor) -> Tensor:
    """The first place (M,) that is not 0 in each of lines (M, S)."""
    return line.argmax(1).float()


def _end(line: Tensor) -> Tensor:
    """The place (M,) after the last that is not 0."""
    return (line.shape[1] - line.flip(1).argmax(1)).float()


@dataclass(frozen=True)
class TrainMaskRcnnConfig(ImageLevelConfig):
    """`insegan train supervised-masks`: Mask R-CNN taught by true masks with classes.
    The upper bound of IRNet and CCGR, and the way to go where masks are at hand."""

    data: str = 'data/mixed-full'
    """Folder of shards with colour and masks, PASCAL VOC 2012, or COCO."""
    out: str = 'runs/supervised-masks'
    """Folder of the run: states, logs, and at the end the checkpoint."""
    begin: str = ''
    """Folder of a run of irnet or ccgr, with whose classifier's backbone it begins, as those
    methods do."""
    mask_rcnn: MaskRcnnTrainConfig = field(default_factory=MaskRcnnTrainConfig)
    """Its training."""


def train_supervised_masks(config: TrainMaskRcnnConfig) -> Path:
    """Train it, or what is left of it; returns the checkpoint's folder. Raises InputError for
    pictures without masks."""
    run = ImageRun(config)
    if config.begin:
        _check_backbone(Path(config.begin), run)
    run.claim_folder()
    labels = truth_of(run.images)
    start: dict[str, Tensor] | None
    if config.begin:
        start, frozen_norm = load_backbone(Path(config.begin))
    else:
        start = imagenet_state(config.backbone, run.images.channels)
        frozen_norm = start is not None
    run.seed('weights', 0)
    stage = run.stage(MaskRcnnStage(run, config.mask_rcnn, labels, start, frozen_norm))
    return run.save_network(
        'supervised-masks', 'masks', 'mask_rcnn', stage.network, frozen_norm, 'true masks'
    )


def _check_backbone(begun: Path, run: ImageRun) -> None:
    """Raise ConfigError where the classifier of a run stands on another backbone than this one's,
    CheckpointError where there is none."""
    config = Checkpoint.load(begun / 'class_maps').config
    name, channels = run.config.backbone.name, run.images.channels
    if (config['backbone']['name'], config['channels']) != (name, channels):
        raise ConfigError(
            f'begin is {begun}, whose backbone is {config["backbone"]["name"]} for'
            f' {config["channels"]} channels: expected {name} for {channels}'
        )
