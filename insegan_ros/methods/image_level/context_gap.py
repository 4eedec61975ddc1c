"""Center-context-gap refinement of weakly supervised instance segmentation (CCGR): a box is moved
by gradient descent until scores are high within it and low around it.

Boxes (N, 4) are (x1, y1, x2, y2) px; the pixel in column i covers i to i + 1, so whole coordinates
lie between pixels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from insegan_ros.errors import ConfigError

# The context box is so many times as wide and as high as the box, about the same centre.
CONTEXT = 1.5
# Minimum width and height of a box.
MIN_PX = 2.0
# How the context's score is averaged: over its own area, or as Eq. 3 is printed, a difference of
# averages over different areas.
Kind = Literal['ring', 'printed']


def box_sums(scores: Tensor, boxes: Tensor) -> Tensor:
    """Exact integrals (N,) over boxes (N, 4) px of scores (H, W), or (N, H, W) one a box, constant
    within a pixel and 0 outside. Differentiable by coordinates that lie within pixels, where the
    derivative is what lies along the moved edge."""

    def covered(low: Tensor, high: Tensor, length: int) -> Tensor:
        cell = torch.arange(length, dtype=scores.dtype, device=scores.device)
        return (torch.minimum(high[:, None], cell + 1) - torch.maximum(low[:, None], cell)).clamp(
            min=0
        )

    height, width = scores.shape[-2:]
    columns = covered(boxes[:, 0], boxes[:, 2], width)
    rows = covered(boxes[:, 1], boxes[:, 3], height)
    along = rows @ scores if scores.dim() == 2 else (rows[:, None] @ scores)[:, 0]
    return (along * columns).sum(1)


def areas(boxes: Tensor) -> Tensor:
    """Areas (N,) in px² of boxes (N, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def context_boxes(boxes: Tensor) -> Tensor:
    """The larger boxes (N, 4) about the same centres."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * CONTEXT
    return torch.cat([middle - half, middle + half], 1)


def context_gap(scores: Tensor, boxes: Tensor, kind: Kind = 'ring') -> Tensor:
    """L_CCGR of every box (N,), Eq. 3: the mean score of its context less its own. `printed`: the
    context's mean as in the paper's text, Φ(larger box) - Φ(box), which is the difference of two
    averages over different areas."""
    inner, outer = box_sums(scores, boxes), box_sums(scores, wide := context_boxes(boxes))
    own = inner / areas(boxes)
    if kind == 'printed':
        return outer / areas(wide) - own - own
    return (outer - inner) / (areas(wide) - areas(boxes)) - own


def refine_boxes(
    scores: Tensor,
    boxes: Tensor,
    steps: int = 200,
    rate: float = 0.01,
    kind: Kind = 'ring',
    peaks: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The path (steps + 1, N, 4) of boxes (N, 4) px by gradient descent on Eq. 3, in steps of about
    `rate` box sizes, and the losses (steps + 1, N).

    scores (H, W), or (N, H, W) one a box. peaks (P, 2) as (x, y) px, or (N, P, 2) one set a box,
    NaN for none: a box stops where it would take in a second one. Boxes stay in the picture. Raises
    ConfigError for boxes without area.
    """
    if (areas(boxes) <= 0).any() or (boxes[:, 2] <= boxes[:, 0]).any():
        raise ConfigError('a box has no area: expected x1 < x2 and y1 < y2')
    height, width = scores.shape[-2:]
    limit = boxes.new_tensor([width, height, width, height])
    # Corners in units of the first box's size, so that a step is the same share of a small box and
    # of a large one.
    size = torch.cat([boxes[:, 2:] - boxes[:, :2]] * 2, 1)
    corners = (boxes / size).detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([corners], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=rate / 20)
    stopped = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    losses, way = [], [boxes.detach()]
    for _ in range(steps):
        loss = context_gap(scores, corners * size, kind)
        losses.append(loss.detach())
        optimiser.zero_grad()
        loss.sum().backward()
        before = corners.detach().clone()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            moved = (corners * size).clamp(min=0).minimum(limit)
            small = (moved[:, 2:] - moved[:, :2] < MIN_PX).any(1)
            if peaks is not None:
                stopped |= (peaks_in(moved, peaks) > 1) & (peaks_in(before * size, peaks) <= 1)
            corners.copy_(torch.where((stopped | small)[:, None], before, moved / size))
            way.append((corners * size).detach())
    return torch.stack(way), torch.stack([*losses, context_gap(scores, way[-1], kind)])


def peaks_in(boxes: Tensor, peaks: Tensor) -> Tensor:
    """How many of the peaks (P, 2), or (N, P, 2) of each box's own, lie in each box (N,)."""
    x, y = peaks[..., 0].expand(len(boxes), -1), peaks[..., 1].expand(len(boxes), -1)
    return (
        (x >= boxes[:, :1]) & (x <= boxes[:, 2:3]) & (y >= boxes[:, 1:2]) & (y <= boxes[:, 3:])
    ).sum(1)
