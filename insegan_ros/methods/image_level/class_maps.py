"""Class attention maps (CAM): where a classifier that knows image-level labels alone looks for each
class (IRNet, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, max_pool2d

from insegan_ros.methods.image_level.backbone import Backbone, BackboneConfig, normalise

Pooling = Literal['average', 'top']
# The share of places that `top` looks at.
TOP = 0.04
# Maps and all that is made of them are at this share of a picture.
STRIDE = 4


class ClassMapNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> logits (B, K) of what is in them.

    pooling: `average` over all places, without a bias, as the papers have it; `top`, the mean of
    the places that answer most (Durand et al., WILDCAT, CVPR 2017) and a bias: of many small things
    in a picture a network that begins from scratch learns several times as fast.
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
        """See the class."""
        places = self.classifier(self.backbone(normalise(pictures))[-1]).flatten(2)
        if self.pooling == 'top':
            places = places.topk(max(round(TOP * places.shape[2]), 1), 2).values
        return places.mean(2) + self.bias

    def maps(self, pictures: Tensor) -> Tensor:
        """The classifier at every place, its negative answers cut off: (B, K, h, w) at 1/16."""
        return conv2d(self.backbone(normalise(pictures))[-1], self.classifier.weight).relu()


@torch.no_grad()
def class_maps(
    network: ClassMapNet,
    picture: Tensor,
    present: Tensor,
    scales: Sequence[float] = (1.0, 0.5, 1.5, 2.0),
) -> Tensor:
    """M_c (k, ceil(H / 4), ceil(W / 4)) of the k classes that are `present` (K,) bool in one uint8
    picture (C, H, W): summed over scales and mirror images, the largest value of every class 1 (Eq.
    1)."""
    height, width = picture.shape[1:]
    size = (-(-height // STRIDE), -(-width // STRIDE))
    total = torch.zeros(int(present.sum()), *size, device=picture.device)
    for scale in scales:
        at = (max(round(height * scale), 32), max(round(width * scale), 32))
        sized = interpolate(
            picture[None].float(), at, mode='bilinear', align_corners=False, antialias=scale < 1
        )
        for view in (sized, sized.flip(-1)):
            found = interpolate(
                network.maps(view)[:, present], size, mode='bilinear', align_corners=False
            )[0]
            total += found if view is sized else found.flip(-1)
    return total / total.amax((1, 2), keepdim=True).clamp(min=1e-5)


def find_peaks(maps: Tensor, least: float = 0.3) -> list[Tensor]:
    """Peaks of each map (k, H, W): what is highest in its 3×3 neighbourhood and `least` of the
    map's maximum or more. For each map (P, 3) x, y, value, strongest first, in px where pixel i
    covers i to i + 1; a parabola through the neighbours gives the place between pixels."""
    out = []
    for one in maps:
        highest = max_pool2d(one[None, None], 3, 1, 1)[0, 0]
        rows, columns = torch.nonzero(
            (one == highest) & (one >= least * one.max()) & (one > 0), as_tuple=True
        )
        value = one[rows, columns]
        place = torch.stack(
            [
                columns + _vertex(one, rows, columns, 1),
                rows + _vertex(one, rows, columns, 0),
                value,
            ],
            1,
        ).to(one)
        place[:, :2] += 0.5
        out.append(_without_plateaus(place[value.argsort(descending=True, stable=True)]))
    return out


def _vertex(one: Tensor, rows: Tensor, columns: Tensor, axis: int) -> Tensor:
    """Where the parabola through a pixel and its two neighbours has its top, in [-.5, .5] px from
    the pixel; 0 at the rim."""
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
    """Of peaks (P, 3), strongest first, those that have no earlier one beside them: a flat top is
    one peak."""
    kept: list[Tensor] = []
    for peak in peaks:
        if all((peak[:2] - other[:2]).abs().max() > 1.5 for other in kept):
            kept.append(peak)
    return torch.stack(kept) if kept else peaks[:0]
