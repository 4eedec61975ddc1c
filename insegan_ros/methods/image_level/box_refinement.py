"""CCGR's boxes: moved until the scores of their class are high within them and low around, and cut
into masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from insegan_ros.data.mask_sets import Mask
from insegan_ros.errors import ConfigError
from insegan_ros.geometry.label_images import drop_fragments
from insegan_ros.methods.image_level.backbone import padded
from insegan_ros.methods.image_level.context_gap import Kind, refine_boxes
from insegan_ros.methods.image_level.dense_crf import Edges
from insegan_ros.methods.image_level.mask_rcnn_recipe import MIN_PX
from insegan_ros.methods.image_level.oriented_boxes import (
    frame_of,
    part_in,
    piece_in,
    relative_to,
    upright,
    within_box,
)
from insegan_ros.methods.image_level.proposals import overlaps
from insegan_ros.methods.image_level.semantic import SemanticNet, class_probabilities

# Boxes are refined at this share of a picture's resolution, and so are their score maps.
STRIDE = 4
# A box: class id, score, and (x1, y1, x2, y2) px of the picture, (4,), or with an angle (5,), see
# oriented_boxes.
Box = tuple[int, float, np.ndarray]
# The same with the number of its picture before it.
NumberedBox = tuple[int, int, float, np.ndarray]


@dataclass(frozen=True)
class RefinementConfig:
    """How boxes are refined and become masks; the ablations of the paper's Table 3 are switches."""

    choose: Literal['boxes', 'semantic'] = 'boxes'
    """boxes: the multiple instance branch chooses proposals; semantic: boxes around connected
    pieces of the semantic labels instead (no MIL)."""
    steps: int = 200
    """Steps of the refinement; 0 leaves boxes as they are (no CCGR)."""
    rate: float = 0.01
    """Length of a step, as a share of the box's size."""
    gap: Kind = 'ring'
    """How the context's score is averaged: over its own area (ring), or as the paper prints it."""
    axes: Literal['picture', 'principal'] = 'picture'
    """Along what boxes lie: the picture's sides, as the paper has it, or the principal axes of the
    connected piece of its class that a box is on (ours): the area around an upright box on a thing
    that lies askew is full of the thing, which pulls the box in."""
    overlap: float = 0.5
    """Of boxes of a class that overlap more (IoU), the one with the lower score is dropped: two
    peaks may be of one object."""
    reach: float = 1.5
    """How far from its box's centre a mask reaches, in half boxes: 1.5 takes in what connects with
    the box in its context, 1 cuts at the box. The box of an object that lies askew holds corners of
    background, so the best box (Eq. 10) is smaller than the object, and what cuts masks there makes
    the next round's boxes smaller still."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.rate <= 0 or not 0 < self.overlap <= 1 or self.reach < 1:
            raise ConfigError(
                'refinement: expected steps of 0 or more, a positive rate, overlap in (0, 1],'
                f' reach of 1 or more, found {self}'
            )


def corners_of(boxes: list[Box]) -> np.ndarray:
    """The corners (N, 4) px of the upright boxes around them."""
    upright_ones = [upright(corners[None])[0] for _, _, corners in boxes]
    return np.array(upright_ones, np.float32).reshape(-1, 4)


def boxes_of_pieces(scores: Tensor, present: np.ndarray) -> list[Box]:
    """Without the multiple instance branch: of a picture's score maps (K, h, w) the box of every
    connected piece of every class that is in the picture, present (K,) bool."""
    best = best_class(scores.cpu().numpy())
    out = []
    for class_id in np.flatnonzero(present):
        count, _, stats, _ = cv2.connectedComponentsWithStats(
            (best == class_id + 1).astype(np.uint8), connectivity=4
        )
        for left, top, width, height, area in stats[1:count]:
            if area >= MIN_PX:
                box = np.array([left, top, left + width, top + height], np.float32)
                out.append((int(class_id), 1.0, STRIDE * box))
    return out


@torch.no_grad()
def score_maps(network: SemanticNet, picture: Tensor, present: np.ndarray) -> Tensor:
    """The semantic branch's score maps (K, h, w) in [0, 1] of a picture (C, H, W) uint8, without
    the background's, at a quarter of its size; normalised over the background and the classes that
    are in the picture, present (K,) bool: their list is known."""
    scores = class_probabilities(network, padded(picture), (1.0,))
    scores = scores * torch.from_numpy(np.concatenate([[True], present])).to(scores)[:, None, None]
    scores = (scores / scores.sum(0).clamp(min=1e-9))[1:]
    height, width = -(-picture.shape[1] // STRIDE), -(-picture.shape[2] // STRIDE)
    return torch.nn.functional.avg_pool2d(scores, STRIDE)[:, :height, :width]


def refine_chosen(
    maps: list[Tensor],
    chosen: list[list[Box]],
    config: RefinementConfig,
    way: list[np.ndarray] | None = None,
) -> list[list[Box]]:
    """The boxes of several pictures, refined on their class's score map (K, h, w); the centres of
    other boxes of the same class are peaks that none may take in. way: is given the boxes (steps +
    1, N, 4) px on their way, (steps + 1, N, 5) in principal axes."""
    flat = [(number, *one) for number, some in enumerate(chosen) for one in some]
    if not flat or not config.steps:
        return chosen
    scores = _own_maps(maps, flat)
    boxes = torch.tensor(
        np.stack([box for _, _, _, box in flat]) / STRIDE, device=scores.device, dtype=scores.dtype
    )
    peaks = _peaks(boxes, flat, max(len(some) for some in chosen), config.overlap)
    if config.axes == 'principal':
        path = _refine_turned(maps, flat, scores, boxes, peaks, config)
    else:
        found, _ = refine_boxes(scores, boxes, config.steps, config.rate, config.gap, peaks)
        path = found.cpu().numpy() * STRIDE
    if way is not None:
        way.append(path)
    out: list[list[Box]] = [[] for _ in chosen]
    for (number, class_id, score, _), box in zip(flat, path[-1]):
        out[number].append((class_id, score, box))
    return out


def _refine_turned(
    maps: list[Tensor],
    flat: list[NumberedBox],
    scores: Tensor,
    boxes: Tensor,
    peaks: Tensor,
    config: RefinementConfig,
) -> np.ndarray:
    """The way (steps + 1, N, 5) px of boxes (N, 4) in the principal axes of the pieces that they
    are on. Where these are the picture's, a box begins as it was chosen, else around what of the
    piece lies in it."""
    side = 2 * int(np.ceil(np.hypot(*scores.shape[1:]) / 2))
    best = [best_class(one.cpu().numpy()) for one in maps]
    frames, turned, begun, points = [], [], [], []
    for (number, class_id, _, _), score, box, peak in zip(
        flat, scores.cpu().numpy(), boxes.cpu().numpy(), peaks.cpu().numpy()
    ):
        piece = piece_in(best[number] == class_id + 1, box)
        frame = frame_of(box, piece, side)
        frames.append(frame)
        turned.append(frame.map(score))
        points.append(frame.points(peak))
        begun.append(
            frame.bounds(part_in(piece, box))
            if frame.angle
            else frame.points(box.reshape(2, 2)).ravel()
        )
    own, first, around = (
        torch.tensor(np.stack(some)).to(boxes) for some in (turned, begun, points)
    )
    path, _ = refine_boxes(own, first, config.steps, config.rate, config.gap, around)
    found = path.cpu().numpy()
    back = np.stack([frame.back(found[:, row]) for row, frame in enumerate(frames)], 1)
    back[..., :4] *= STRIDE
    return back


def _own_maps(maps: list[Tensor], flat: list[NumberedBox]) -> Tensor:
    """Of every box the score map (N, h, w) of its picture and its class, filled up with 0."""
    height, width = (max(one.shape[axis] for one in maps) for axis in (1, 2))
    scores = torch.zeros(len(flat), height, width, device=maps[0].device)
    for row, (number, class_id, _, _) in zip(scores, flat):
        one = maps[number][class_id]
        row[: one.shape[0], : one.shape[1]] = one
    return scores


def _peaks(boxes: Tensor, flat: list[NumberedBox], count: int, max_overlap: float) -> Tensor:
    """Of every box (N, 4) the peaks (N, count, 2), NaN for none: its own centre, and those of its
    class in its picture. Boxes that overlap more are of one object: their centres are one peak."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    peaks = torch.full((len(flat), count, 2), torch.nan, device=boxes.device)
    for row, (number, class_id, _, box) in enumerate(flat):
        apart = [row] + [
            other
            for other, (their_number, their_id, _, theirs) in enumerate(flat)
            if other != row
            and (their_number, their_id) == (number, class_id)
            and overlaps(box[None], theirs[None])[0, 0] <= max_overlap
        ]
        peaks[row, : len(apart)] = centres[apart]
    return peaks


def best_class(scores: np.ndarray, edges: Edges | None = None) -> np.ndarray:
    """Of score maps (K, H, W) that sum to 1 with the background's, the best of every pixel (H, W):
    0 background, class + 1. edges: see `synthesise`."""
    class_ids = np.flatnonzero(scores.any((1, 2)))
    all_scores = np.concatenate([1 - scores.sum(0, keepdims=True), scores[class_ids]])
    best = edges(all_scores) if edges and len(class_ids) else all_scores.argmax(0)
    return np.array([0, *(class_ids + 1)])[best]


def cut_masks(
    scores: Tensor,
    boxes: list[Box],
    size: tuple[int, int],
    config: RefinementConfig,
    edges: Edges | None = None,
) -> tuple[Mask, ...]:
    """Masks of a picture of `size` (H, W), from its score maps (K, h, w): what within a box, or
    connected with that in the box's reach, is rather of its class than of another, or background.
    Duplicate boxes are dropped; a pixel in the reach of two is the nearer centre's. edges: see
    `synthesise`."""
    kept = _without_duplicates(boxes, config.overlap)
    large = [
        cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in scores.cpu().numpy()
    ]
    owner = _owners(kept, best_class(np.stack(large), edges), config.reach)
    y, x = np.indices(size) + 0.5
    out = []
    for number, (class_id, score, box) in enumerate(kept, 1):
        pixels = owner == number
        _, pieces = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=4)
        within = pieces[pixels & within_box(box, x, y)]
        pixels = drop_fragments((pixels & np.isin(pieces, within)).astype(np.uint16), MIN_PX) > 0
        if pixels.sum() >= MIN_PX:
            out.append(Mask.of(class_id, score, pixels))
    return tuple(out)


def _without_duplicates(boxes: list[Box], max_overlap: float) -> list[Box]:
    """Those that overlap no box of their class with a higher score by more than this IoU, highest
    score first."""
    kept: list[Box] = []
    for one in sorted(boxes, key=lambda box: -box[1]):
        if all(
            one[0] != other[0]
            or overlaps(upright(one[2][None]), upright(other[2][None]))[0, 0] <= max_overlap
            for other in kept
        ):
            kept.append(one)
    return kept


def _owners(boxes: list[Box], best: np.ndarray, reach: float) -> np.ndarray:
    """For every pixel (H, W) the number of the box, from 1, whose it is, 0 for none: of those of
    its class `best` (H, W) in whose reach it lies the one with the nearest centre, in half
    boxes."""
    y, x = np.indices(best.shape) + 0.5
    owner, nearest = np.zeros(best.shape, int), np.full(best.shape, np.inf)
    for number, (class_id, _, box) in enumerate(boxes, 1):
        across, down = relative_to(box, x, y)
        far = np.hypot(across, down)
        reached = np.maximum(across, down) <= reach
        mine = reached & (best == class_id + 1) & (far < nearest)
        owner[mine], nearest[mine] = number, far[mine]
    return owner
