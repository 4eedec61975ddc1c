"""Mask R-CNN taught by masks with classes: pseudo labels of IRNet or CCGR, or, as the ceiling, true
ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.functional import pad

from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.drawing.overlay import draw_masks
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import run_stage, seed_step
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.image_level.backbone import imagenet_state
from insegan_ros.methods.image_level.class_maps_stage import load_backbone
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig, body_of, make_mask_rcnn
from insegan_ros.methods.image_level.run import (
    ImageLevelConfig,
    draw_turns,
    prepare_images,
    read_pictures,
    to_picture,
    truth_of,
    turn,
    vary_colours,
)

# Masks of fewer px teach nothing.
LEAST_PX = 12


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


class MaskRcnnStage:
    """labels: masks of every picture; those without any are not drawn. start: weights of a
    Backbone, or None. frozen_norm: its batch norm stays."""

    def __init__(
        self,
        fabric: Fabric,
        config: ImageLevelConfig,
        settings: MaskRcnnTrainConfig,
        images: ImageSet,
        labels: MaskSet,
        start: dict[str, Tensor] | None,
        frozen_norm: bool,
        name: str = 'mask_rcnn',
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
        self.usable = [
            index
            for index, masks in enumerate(labels.masks)
            if any(one.area >= LEAST_PX for one in masks)
        ]
        if not self.usable:
            raise DatasetError(
                f'there is no mask in {len(labels)} pictures: expected some to teach Mask R-CNN'
                ' with'
            )
        network = make_mask_rcnn(
            settings.network,
            config.backbone,
            images.channels,
            len(images.classes),
            config.size,
            frozen_norm,
        )
        if start is not None:
            body_of(network).load_state_dict(start)
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
        """One step."""
        chosen = [
            self.usable[number]
            for number in torch.randint(len(self.usable), (self.settings.batch,)).tolist()
        ]
        pictures, targets, device = (
            read_pictures(self.images, chosen, self.config.size),
            [],
            self.fabric.device,
        )
        turned = []
        for picture, number, how in zip(
            pictures, chosen, draw_turns(len(chosen), self.config.above)
        ):
            turned.append(turn(picture, *how))
            targets.append(
                {key: value.to(device) for key, value in self._target(number, how).items()}
            )
        pictures = vary_colours(torch.stack(turned).to(device), self.config.colours).float() / 255
        losses = self.network(list(pictures), targets)
        loss = sum(losses.values())
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.network, self.optimiser, max_norm=10.0)
        self.optimiser.step()
        self.schedule.step()
        return {
            'loss': loss.detach(),
            **{name.removeprefix('loss_'): value.detach() for name, value in losses.items()},
        }

    def _target(self, index: int, how: tuple[int, bool]) -> dict[str, Tensor]:
        kinds, masks = [], []
        for one in self.labels.masks[index]:
            if one.area >= LEAST_PX:
                pixels = torch.from_numpy(one.pixels())
                square = torch.zeros(self.config.size, self.config.size, dtype=torch.bool)
                square[: pixels.shape[0], : pixels.shape[1]] = pixels
                kinds.append(one.kind + 1)
                masks.append(turn(square, *how))
        stack = torch.stack(masks)
        rows, columns = stack.any(2).float(), stack.any(1).float()
        ends = (
            [axis.argmax(1) for axis in (columns, rows)],
            [axis.shape[1] - axis.flip(1).argmax(1) for axis in (columns, rows)],
        )
        return {
            'boxes': torch.stack([*ends[0], *ends[1]], 1).float(),
            'labels': torch.tensor(kinds),
            'masks': stack.to(torch.uint8),
        }

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """What it finds in some pictures, beside what it is taught."""
        self.network.eval()
        cells = []
        for index in torch.linspace(0, len(self.usable) - 1, 6).long().tolist():
            number = self.usable[index]
            found = detect(self.network, to_picture(self.images, number, self.fabric.device), 0.5)
            picture = self.images.picture(number)
            cells.append(
                np.vstack(
                    [
                        draw_masks(picture, masks, len(self.images.classes))
                        for masks in (self.labels.masks[number], found)
                    ]
                )
            )
        self.network.train()
        height = min(cell.shape[0] for cell in cells)
        sheet = np.hstack([cv2.resize(cell, (height // 2, height)) for cell in cells])
        return {'taught, found': torch.from_numpy(sheet).permute(2, 0, 1).float() / 255}


@torch.inference_mode()
def detect(network: torch.nn.Module, picture: Tensor, least: float = 0.05) -> tuple[Mask, ...]:
    """What Mask R-CNN finds in a uint8 picture (C, H, W), best first; scores of `least` or more.
    Smaller ones are filled up with black, as in training."""
    height, width = picture.shape[1:]
    side = getattr(network, 'module', network).transform.max_size
    found = network(
        [pad(picture.float() / 255, (0, max(side - width, 0), 0, max(side - height, 0)))]
    )[0]
    return tuple(
        Mask.of(int(kind) - 1, float(score), mask[0, :height, :width].cpu().numpy() > 0.5)
        for kind, score, mask in zip(found['labels'], found['scores'], found['masks'])
        if float(score) >= least
    )


@dataclass(frozen=True)
class TrainMaskRcnnConfig(ImageLevelConfig):
    """`insegan train supervised-masks`: Mask R-CNN taught by true masks with classes. The ceiling
    of IRNet and CCGR, and the way where masks are at hand."""

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

    def check(images: ImageSet) -> None:
        begun = Checkpoint.load(Path(config.begin) / 'class_maps').config
        if (begun['backbone']['name'], begun['channels']) != (
            config.backbone.name,
            images.channels,
        ):
            raise ConfigError(
                f'begin is {config.begin}, whose backbone is {begun["backbone"]["name"]} for'
                f' {begun["channels"]} channels: expected {config.backbone.name} for'
                f' {images.channels}'
            )

    data = prepare_images(config, check if config.begin else None)
    labels = truth_of(data.images)
    if config.begin:
        start, frozen_norm = load_backbone(Path(config.begin))
    else:
        start = imagenet_state(config.backbone, data.images.channels)
        frozen_norm = start is not None
    seed_step(config.seed, 'weights', 0)
    stage = MaskRcnnStage(
        data.fabric, config, config.mask_rcnn, data.images, labels, start, frozen_norm
    )
    seconds = run_stage(
        data.fabric, stage, config.mask_rcnn.steps, data.out, config.seed, config.loop
    )
    data.checkpoint(
        'supervised-masks',
        'masks',
        config,
        {'mask_rcnn': stage.network},
        frozen_norm,
        seconds,
        {'mask_rcnn': config.mask_rcnn.steps},
        'true masks',
    ).save(data.out / 'checkpoint')
    return data.out / 'checkpoint'
