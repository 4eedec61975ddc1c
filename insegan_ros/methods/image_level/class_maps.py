"""Class attention maps (CAM): where a classifier that knows image-level labels alone looks for each
class (IRNet, section 3). Network, maps and their peaks, and the training that IRNet and CCGR both
begin with: multi-label cross-entropy, Adam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, interpolate, max_pool2d

from insegan_ros.drawing.tiles import tile_colour
from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import (
    Backbone,
    BackboneConfig,
    imagenet_state,
    normalise,
    resample,
    steps_and_firsts,
)
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.methods.image_level.stage import ImageStage, draw_turns, vary_colours

Pooling = Literal['average', 'top']
# The share of places that `top` looks at.
TOP = 0.04
# Maps, and all that is made of them, have this share of a picture's resolution.
STRIDE = 4


class ClassMapNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> logits (B, K) of what is in them.

    pooling: `average` over all places, without a bias, as the papers have it; `top`, the mean of
    the places with the highest scores (Durand et al., WILDCAT, CVPR 2017) and a bias: of many small
    things in a picture a network that begins from scratch learns several times as fast.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        channels: int,
        classes: int,
        pooling: Pooling = 'average',
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.pooling = Backbone(backbone, channels, frozen_norm=frozen_norm), pooling
        self.classifier = nn.Conv2d(self.backbone.widths[-1], classes, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(classes), requires_grad=pooling == 'top')

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (B, K)."""
        places = self.classifier(self.backbone(normalise(pictures))[-1]).flatten(2)
        if self.pooling == 'top':
            places = places.topk(max(round(TOP * places.shape[2]), 1), 2).values
        return places.mean(2) + self.bias

    def maps(self, pictures: Tensor) -> Tensor:
        """The classifier's positive scores at every place: (B, K, h, w) at 1/16."""
        return conv2d(self.backbone(normalise(pictures))[-1], self.classifier.weight).relu()


@torch.no_grad()
def class_maps(
    network: ClassMapNet,
    picture: Tensor,
    present: Tensor,
    scales: Sequence[float] = (1.0, 0.5, 1.5, 2.0),
) -> Tensor:
    """M_c (k, ceil(H / 4), ceil(W / 4)) of the k classes that are `present` (K,) bool in one uint8
    picture (C, H, W): summed over scales and mirror images, the maximum of every class 1 (Eq.
    1)."""
    height, width = picture.shape[1:]
    size = (-(-height // STRIDE), -(-width // STRIDE))
    total = torch.zeros(int(present.sum()), *size, device=picture.device)
    for scale in scales:
        at = (max(round(height * scale), 32), max(round(width * scale), 32))
        sized = interpolate(
            picture[None].float(), at, mode='bilinear', align_corners=False, antialias=scale < 1
        )
        step, first = steps_and_firsts(at, (height, width), STRIDE, 16)
        # The mirror image is read from its last pixel back; flipped maps would not lie on the
        # others where their last column reaches beyond the picture.
        back, last = [step[0], -step[1]], [first[0], (at[1] - 1) / 16 - first[1]]
        for view, along, begin in ((sized, step, first), (sized.flip(-1), back, last)):
            total += resample(network.maps(view)[:, present], size, along, begin)[0]
    return total / total.amax((1, 2), keepdim=True).clamp(min=1e-5)


def find_peaks(maps: Tensor, min_share: float = 0.3) -> list[Tensor]:
    """Peaks of each map (k, H, W): the maxima of 3×3 neighbourhoods that reach `min_share` of the
    map's maximum. For each map (P, 3) x, y, value, highest first, in px where pixel i covers i to
    i + 1; a parabola through the neighbours gives the place between pixels."""
    out = []
    for one in maps:
        highest = max_pool2d(one[None, None], 3, 1, 1)[0, 0]
        rows, columns = torch.nonzero(
            (one == highest) & (one >= min_share * one.max()) & (one > 0), as_tuple=True
        )
        value = one[rows, columns]
        x, y = columns + _vertex(one, rows, columns, 1), rows + _vertex(one, rows, columns, 0)
        place = torch.stack([x, y, value], 1).to(one)
        place[:, :2] += 0.5
        out.append(_without_plateaus(place[value.argsort(descending=True, stable=True)]))
    return out


def _vertex(one: Tensor, rows: Tensor, columns: Tensor, axis: int) -> Tensor:
    """Where the parabola through a pixel and its two neighbours has its vertex, in [-.5, .5] px
    from the pixel; 0 at the rim."""
    step = (1, 0) if axis == 0 else (0, 1)
    limit = one.shape[axis] - 1
    at = rows if axis == 0 else columns
    inner = (at > 0) & (at < limit)
    before = one[(rows - step[0]).clamp(min=0), (columns - step[1]).clamp(min=0)]
    after = one[
        (rows + step[0]).clamp(max=one.shape[0] - 1),
        (columns + step[1]).clamp(max=one.shape[1] - 1),
    ]
    bend = before - 2 * one[rows, columns] + after
    shift = torch.where(
        bend < -1e-9, (before - after) / (2 * bend.clamp(max=-1e-9)), torch.zeros_like(bend)
    )
    return torch.where(inner, shift.clamp(-0.5, 0.5), torch.zeros_like(shift))


def _without_plateaus(peaks: Tensor) -> Tensor:
    """Of peaks (P, 3), highest first, those that have no earlier one beside them: a flat top is one
    peak."""
    kept: list[Tensor] = []
    for peak in peaks:
        if all((peak[:2] - other[:2]).abs().max() > 1.5 for other in kept):
            kept.append(peak)
    return torch.stack(kept) if kept else peaks[:0]


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
    """How the scores of all places become one: average, as the papers have it, suits ImageNet
    weights; top learns from scratch several times as fast."""
    zoom: float = 1.3
    """Pictures are enlarged by up to this, or made smaller by as much, and cropped; 1 leaves them
    as they are."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.zoom < 1:
            raise ConfigError(
                f'class_maps.steps is {self.steps}, batch {self.batch}, zoom {self.zoom}: expected'
                ' 1 or more, 2 or more, 1 or more, in that order'
            )


class ClassMapsStage(ImageStage):
    """Every step draws pictures, turns and zooms them, and asks what is in them. frozen_norm:
    whether batch norm is ImageNet's."""

    name = 'cam'

    def __init__(self, run: ImageRun, settings: ClassMapsConfig) -> None:
        super().__init__(run, settings)
        images, backbone = run.images, run.config.backbone
        pretrained = imagenet_state(backbone, images.channels)
        self.frozen_norm = pretrained is not None
        network = ClassMapNet(
            backbone, images.channels, len(images.classes), settings.pooling, self.frozen_norm
        )
        if pretrained is not None:
            network.backbone.load_state_dict(pretrained)
        self.set_up_adam(network.to(memory_format=torch.channels_last))
        self.present = torch.from_numpy(images.present).float().to(run.device)

    def step(self, index: int) -> dict[str, Tensor]:
        """One optimisation step; returns the loss, and the share of labels that are right."""
        chosen = self.draw(range(len(self.run.images)))
        turns = draw_turns(len(chosen), self.run.config.above)
        pictures = random_zoom(self.turned(self.read(chosen), turns), self.settings.zoom)
        pictures = vary_colours(pictures, self.run.config.colours)
        logits = self.network(pictures.contiguous(memory_format=torch.channels_last))
        present = self.present[chosen]
        loss = binary_cross_entropy_with_logits(logits, present)
        self.learn(loss)
        return {'loss': loss.detach(), 'right': ((logits > 0) == (present > 0)).float().mean()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Rows of a picture and the maps of what is in it."""
        rows = []
        for index in torch.linspace(0, len(self.run.images) - 1, 4).long().tolist():
            picture = self.read([index])[0].to(self.run.device)
            maps = class_maps(self.network.module, picture, self.present[index] > 0, (1.0,))
            maps = interpolate(maps[None], picture.shape[1:])[0, :5]
            rows += [
                picture[:3].float()[None] / 127.5 - 1,
                maps[:, None].expand(-1, 3, -1, -1) * 2 - 1,
                maps.new_full((5 - len(maps), 3, *picture.shape[1:]), -1),
            ]
        return {'pictures, maps': tile_colour(interpolate(torch.cat(rows), 112), 6)}


def random_zoom(pictures: Tensor, max_zoom: float) -> Tensor:
    """uint8 pictures (B, C, S, S) enlarged, or made smaller, by one factor up to `max_zoom`, then
    cropped or filled up with black at random places."""
    size = pictures.shape[-1]
    side = max(round(size * max_zoom ** float(2 * torch.rand(()) - 1)), 32)
    if side == size:
        return pictures
    sized = interpolate(
        pictures.float(), side, mode='bilinear', align_corners=False, antialias=side < size
    )
    sized = sized.round().to(torch.uint8)
    top, left = (int(torch.randint(abs(side - size) + 1, ())) for _ in range(2))
    if side > size:
        return sized[..., top : top + size, left : left + size]
    out = torch.zeros_like(pictures)
    out[..., top : top + side, left : left + side] = sized
    return out


def train_class_maps(run: ImageRun, settings: ClassMapsConfig) -> None:
    """The classifier into the run's `class_maps/`, a checkpoint of its own. One that is there is
    kept, and counts among what the run took."""
    folder = run.out / 'class_maps'
    if (folder / 'weights.safetensors').is_file():
        run.seconds += float(Checkpoint.load(folder).training['seconds'])
        run.steps['cam'] = settings.steps
        return
    run.seed('weights', 0)
    before = run.seconds
    stage = run.stage(ClassMapsStage(run, settings))
    values = {
        **asdict(run.config),
        'classes': list(run.images.classes),
        'frozen_norm': stage.frozen_norm,
        'channels': run.images.channels,
        'pooling': settings.pooling,
    }
    Checkpoint(
        'class-maps',
        'class-maps',
        run.images.name,
        Scales.none(),
        values,
        {'class_maps': stage.network.state_dict()},
        {'seconds': run.seconds - before},
    ).save(folder)


def load_class_maps(run: Path, device: torch.device) -> ClassMapNet:
    """The classifier of the run in a folder, in evaluation mode. Raises CheckpointError."""
    checkpoint = Checkpoint.load(run / 'class_maps')
    config = checkpoint.config
    backbone, count = checkpoint.settings(BackboneConfig, 'backbone'), len(config['classes'])
    network = checkpoint.restore(
        'class_maps',
        lambda: ClassMapNet(
            backbone, config['channels'], count, config['pooling'], config['frozen_norm']
        ),
    )
    return network.to(device)


def load_backbone(run: Path) -> tuple[dict[str, Tensor], bool]:
    """The backbone's weights of a run's classifier, with which all later stages begin, and whether
    its batch norm is ImageNet's. Raises CheckpointError."""
    checkpoint = Checkpoint.load(run / 'class_maps')
    state = {
        name.removeprefix('backbone.'): value
        for name, value in checkpoint.weights['class_maps'].items()
        if name.startswith('backbone.')
    }
    return state, checkpoint.config['frozen_norm']
