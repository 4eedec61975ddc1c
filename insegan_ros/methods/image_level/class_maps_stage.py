"""The classifier whose attention maps both IRNet and CCGR begin with: image-level labels,
multi-label soft margin, Adam."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from insegan_ros.data.image_sets import ImageSet
from insegan_ros.drawing.tiles import tile_colour
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import run_stage, seed_step
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import BackboneConfig, imagenet_state
from insegan_ros.methods.image_level.class_maps import ClassMapNet, Pooling, class_maps
from insegan_ros.methods.image_level.run import (
    ImageLevelConfig,
    PreparedImages,
    draw_turns,
    read_pictures,
    turn,
    vary_colours,
)


@dataclass(frozen=True)
class ClassMapsConfig:
    """How the classifier is trained."""

    steps: int = 2600
    """Optimisation steps."""
    batch: int = 16
    """Pictures a step."""
    rate: float = 2e-3
    """Adam's learning rate, falling to nothing along a cosine; a tenth of it suits ImageNet
    weights."""
    decay: float = 1e-4
    """Weight decay."""
    pooling: Pooling = 'top'
    """How answers at all places become one: average, as the papers have it, suits ImageNet weights;
    top learns from scratch several times as fast."""
    zoom: float = 1.3
    """Pictures are enlarged by up to this, or made smaller by as much, and cut; 1 leaves them as
    they are."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.zoom < 1:
            raise ConfigError(
                f'class_maps.steps is {self.steps}, batch {self.batch}, zoom {self.zoom}: expected'
                ' 1 or more, 2 or more, 1 or more'
            )


class ClassMapsStage:
    """Every step draws pictures, turns and zooms them, and asks what is in them."""

    name = 'cam'

    def __init__(
        self, fabric: Fabric, config: ImageLevelConfig, settings: ClassMapsConfig, images: ImageSet
    ) -> None:
        self.fabric, self.config, self.settings, self.images, self.images_per_step = (
            fabric,
            config,
            settings,
            images,
            settings.batch,
        )
        self.start = imagenet_state(config.backbone, images.channels)
        network = ClassMapNet(
            config.backbone,
            images.channels,
            len(images.classes),
            settings.pooling,
            frozen_norm=self.start is not None,
        )
        if self.start is not None:
            network.backbone.load_state_dict(self.start)
        network = network.to(memory_format=torch.channels_last)
        self.network, self.optimiser = fabric.setup(
            network,
            torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay),
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.rate, total_steps=settings.steps, pct_start=0.1
        )
        self.present = torch.from_numpy(images.present).float().to(fabric.device)

    @property
    def frozen_norm(self) -> bool:
        """Whether batch norm is ImageNet's."""
        return self.start is not None

    def parts(self) -> dict[str, Any]:
        """See Stage."""
        return {'network': self.network, 'optimiser': self.optimiser, 'schedule': self.schedule}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step."""
        chosen = torch.randint(len(self.images), (self.settings.batch,))
        pictures = read_pictures(self.images, chosen.tolist(), self.config.size)
        pictures = torch.stack(
            [
                turn(picture, *how)
                for picture, how in zip(pictures, draw_turns(len(pictures), self.config.above))
            ]
        ).to(self.fabric.device)
        pictures = vary_colours(
            random_zoom(pictures, self.settings.zoom), self.config.colours
        ).contiguous(memory_format=torch.channels_last)
        logits, present = self.network(pictures), self.present[chosen]
        loss = binary_cross_entropy_with_logits(logits, present)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        self.schedule.step()
        return {'loss': loss.detach(), 'right': ((logits > 0) == (present > 0)).float().mean()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows of a picture and the maps of what is in it."""
        self.network.eval()
        rows = []
        for index in torch.linspace(0, len(self.images) - 1, 4).long().tolist():
            picture = read_pictures(self.images, [index], self.config.size)[0].to(
                self.fabric.device
            )
            maps = class_maps(self.network.module, picture, self.present[index] > 0, (1.0,))
            maps = interpolate(maps[None], picture.shape[1:])[0, :5]
            rows += [
                picture[:3].float()[None] / 127.5 - 1,
                maps[:, None].expand(-1, 3, -1, -1) * 2 - 1,
                maps.new_full((5 - len(maps), 3, *picture.shape[1:]), -1),
            ]
        self.network.train()
        return {'pictures, maps': tile_colour(interpolate(torch.cat(rows), 112), 6)}


def random_zoom(pictures: Tensor, most: float) -> Tensor:
    """uint8 pictures (B, C, S, S) enlarged, or made smaller, by one factor up to `most`, then cut
    or filled up with black at random places."""
    size = pictures.shape[-1]
    side = max(round(size * most ** float(2 * torch.rand(()) - 1)), 32)
    if side == size:
        return pictures
    sized = (
        interpolate(
            pictures.float(), side, mode='bilinear', align_corners=False, antialias=side < size
        )
        .round()
        .to(torch.uint8)
    )
    top, left = (int(torch.randint(abs(side - size) + 1, ())) for _ in range(2))
    if side > size:
        return sized[..., top : top + size, left : left + size]
    out = torch.zeros_like(pictures)
    out[..., top : top + side, left : left + side] = sized
    return out


def train_class_maps(
    data: PreparedImages, config: ImageLevelConfig, settings: ClassMapsConfig
) -> float:
    """The classifier into `class_maps/`, a checkpoint of its own; returns the seconds that it took.
    One that is there is kept."""
    folder = data.out / 'class_maps'
    if (folder / 'weights.safetensors').is_file():
        return float(Checkpoint.load(folder).training['seconds'])
    seed_step(config.seed, 'weights', 0)
    stage = ClassMapsStage(data.fabric, config, settings, data.images)
    seconds = run_stage(data.fabric, stage, settings.steps, data.out, config.seed, config.loop)
    values = {
        **asdict(config),
        'classes': list(data.images.classes),
        'frozen_norm': stage.frozen_norm,
        'channels': data.images.channels,
        'pooling': settings.pooling,
    }
    Checkpoint(
        'class-maps',
        'class-maps',
        data.images.name,
        Scales.none(),
        values,
        {'class_maps': stage.network.state_dict()},
        {'seconds': seconds},
    ).save(folder)
    return seconds


def load_class_maps(run: Path, device: torch.device) -> ClassMapNet:
    """The classifier of a run, in evaluation mode."""
    checkpoint = Checkpoint.load(run / 'class_maps')
    config = checkpoint.config
    network = ClassMapNet(
        BackboneConfig(**config['backbone']),
        config['channels'],
        len(config['classes']),
        config['pooling'],
        config['frozen_norm'],
    )
    return checkpoint.restore('class_maps', network).to(device)


def load_backbone(run: Path) -> tuple[dict[str, Tensor], bool]:
    """The classifier's backbone, on which all later stages stand, and whether its batch norm is
    ImageNet's."""
    checkpoint = Checkpoint.load(run / 'class_maps')
    state = {
        name.removeprefix('backbone.'): value
        for name, value in checkpoint.weights['class_maps'].items()
        if name.startswith('backbone.')
    }
    return state, checkpoint.config['frozen_norm']
