"""What CCGR's multiple instance branch chooses from; and the paper's figure 5: whether boxes get
better on the way of their refinement; by their class, and by how much of the object they begin
with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.methods.image_level.bags import Bag
from insegan_ros.methods.image_level.box_refinement import Box
from insegan_ros.methods.image_level.oriented_boxes import TurnedFrame
from insegan_ros.methods.image_level.proposals import overlaps
from insegan_ros.metrics.average_precision import class_average_precision

# A row of the figure is so many steps of the refinement.
STEPS_SHOWN = 20
# By how much of the object boxes begin with: their IoU with its own box is below these.
BEGUN = (0.25, 0.5, 0.75, 1.01)


def boxes_by_step(truth: MaskSet, chosen: list[list[Box]], way: np.ndarray) -> dict[str, float]:
    """Box AP50 of pseudo-labels on the way (steps + 1, N, 4) px of their refinement, by the number
    of the step. chosen: the boxes of every picture."""
    out = {}
    flat = [
        (number, class_id, score)
        for number, some in enumerate(chosen)
        for class_id, score, _ in some
    ]
    for step in range(0, len(way), STEPS_SHOWN):
        masks: list[list[Mask]] = [[] for _ in truth.masks]
        corners = np.round(way[step]).astype(int)
        for (number, class_id, score), (x1, y1, x2, y2) in zip(flat, corners):
            pixels = np.zeros(truth.sizes[number], bool)
            pixels[y1:y2, x1:x2] = True
            if pixels.any():
                masks[number].append(Mask.of(class_id, score, pixels))
        found = MaskSet(truth.classes, truth.sizes, tuple(map(tuple, masks)))
        out[str(step)] = round(class_average_precision(truth, found, (0.5,), 'bbox')['ap50'], 4)
    return out


def overlap_in_bags(
    truth: MaskSet, bags: list[list[Bag]], boxes: list[np.ndarray], chosen: list[list[Box]]
) -> dict[str, dict[str, float]]:
    """`iou_in_bags`: mean IoU with the box of an object of its class, the one that it overlaps
    most, of the proposal that was chosen from each bag, of the one that is ranked first in it, and
    of all and the best in it. boxes: of every picture those (P, 4) px that its bags' proposals are
    numbers of; chosen: of every picture as many as it has bags. Bags of classes that are not there
    are no part of it."""
    rows = list[tuple[float, float, float, float]]()
    for masks, some, proposals, own in zip(truth.masks, bags, boxes, chosen):
        for bag, (class_id, _, corners) in zip(some, own):
            there = np.array([one.corners for one in masks if one.kind == class_id])
            if not len(there):
                continue
            inside = overlaps(proposals[bag.proposals], there).max(1)
            best = overlaps(corners[None], there).max()
            rows.append((best, inside[0], inside.mean(), inside.max()))
    if not rows:
        return {}
    names = 'chosen', 'ranked first', 'all', 'best'
    return {
        'iou_in_bags': {
            name: round(float(value), 4) for name, value in zip(names, np.mean(rows, 0))
        }
    }


class _Followed(NamedTuple):
    """A chosen box on an object. class_id; begun: the IoU of the two boxes, upright; by_step: the
    IoU on the way, with the object's box along the same axes."""

    class_id: int
    begun: float
    by_step: np.ndarray


def overlap_by_step(
    truth: MaskSet, chosen: list[list[Box]], way: np.ndarray
) -> dict[str, dict[str, dict[str, float]]]:
    """Mean IoU with the object's own box on the way (steps + 1, N, 4 or 5) px of the boxes that
    were chosen: `iou_by_class` and `iou_by_begun`, each the number of boxes and the IoU by the
    number of the step. An object's own box is that along the same axes, so that 1 is the tightest
    there is; boxes that touch no object of their class are no part of it."""
    shown = range(0, len(way), STEPS_SHOWN)
    followed, number = list[_Followed](), 0
    for index, some in enumerate(chosen):
        objects = [(one.kind, one.pixels()) for one in truth.masks[index]]
        for class_id, _, corners in some:
            one = _follow(class_id, corners, way[shown, number], objects)
            followed += [one] if one else []
            number += 1
    by_class = {
        name: [one for one in followed if one.class_id == class_id]
        for class_id, name in enumerate(truth.classes)
    }
    by_begun = {
        f'{low:.2f} to {min(high, 1):.2f}': [one for one in followed if low <= one.begun < high]
        for low, high in zip((0.0, *BEGUN), BEGUN)
    }
    return {
        'iou_by_class': {name: _means(some, shown) for name, some in by_class.items() if some},
        'iou_by_begun': {name: _means(some, shown) for name, some in by_begun.items() if some},
    }


def _follow(
    class_id: int, corners: np.ndarray, way: np.ndarray, objects: list[tuple[int, np.ndarray]]
) -> _Followed | None:
    """A box on its way (S, 4 or 5) px, held against the object of its class, (class id, pixels),
    that it begins on; None where it touches none."""
    own = [pixels for kind, pixels in objects if kind == class_id]
    if not own:
        return None
    begun = [_overlap(corners[None], pixels)[0] for pixels in own]
    best = int(np.argmax(begun))
    return _Followed(class_id, begun[best], _overlap(way, own[best])) if begun[best] > 0 else None


def _overlap(boxes: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The IoU (S,) of boxes (S, 4 or 5) px, all of one angle, with the box around pixels (H, W)
    along their axes."""
    angle = float(boxes[0, 4]) if boxes.shape[1] == 5 else 0.0
    frame = TurnedFrame(np.zeros(2), angle, 0)
    middle, half = (boxes[:, :2] + boxes[:, 2:4]) / 2, (boxes[:, 2:4] - boxes[:, :2]) / 2
    centre = frame.points(middle)
    turned = np.concatenate([centre - half, centre + half], 1)
    return overlaps(turned.astype(np.float32), frame.bounds(pixels)[None].astype(np.float32))[:, 0]


def _means(followed: list[_Followed], shown: range) -> dict[str, float]:
    values = np.mean([one.by_step for one in followed], 0)
    steps = {str(step): round(float(value), 4) for step, value in zip(shown, values)}
    return {'boxes': len(followed), **steps}


def draw_steps(values: dict[str, float], path: Path) -> None:
    """The curve of boxes_by_step as PNG."""
    figure = Figure(figsize=(5, 3), layout='constrained')
    axes = figure.subplots()
    axes.plot([int(step) for step in values], list(values.values()), marker='o')
    axes.set(xlabel='steps of the refinement', ylabel='box AP50 of pseudo-labels')
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def step_lines(result: dict[str, Any]) -> list[str]:
    """Markdown of what a row says about its boxes and their way; nothing for other rows."""
    lines = list[str]()
    if in_bags := result.get('iou_in_bags'):
        shown = ', '.join(f'{name} {value:.3f}' for name, value in in_bags.items())
        lines += [f'Mean IoU of the proposals of a bag with the box of the object: {shown}.', '']
    if by_step := result.get('box_ap50_by_step'):
        shown = ', '.join(f'{step}: {value:.3f}' for step, value in by_step.items())
        lines += [
            f'Box AP50 of pseudo-labels on the way of the refinement (CCGR figure 5): {shown}.',
            '',
        ]
    for key, what in (('iou_by_begun', 'IoU at the start'), ('iou_by_class', 'class')):
        if means := result.get(key):
            first = next(iter(means.values()))
            lines += [
                f'{result["method"]}, mean IoU with the box of the object by {what} and step:',
                '',
                f'| | {" | ".join(first)} |',
                '|---' * (len(first) + 1) + '|',
            ]
            for name, one in means.items():
                numbers = [f'{value:.3f}' for step, value in one.items() if step != 'boxes']
                lines.append(f'| {name} | {one["boxes"]:.0f} | {" | ".join(numbers)} |')
            lines.append('')
    return lines
