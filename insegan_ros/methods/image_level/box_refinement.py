"""CCGR's boxes: moved until the scores of their class are high within them and low around, and cut
into masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import Mask
from insegan_ros.errors import ConfigError
from insegan_ros.geometry.label_images import drop_fragments
from insegan_ros.methods.image_level.context_gap import Kind, refine_boxes
from insegan_ros.methods.image_level.dense_crf import Edges
from insegan_ros.methods.image_level.mask_rcnn_stage import LEAST_PX
from insegan_ros.methods.image_level.proposals import overlaps
from insegan_ros.methods.image_level.run import padded, to_picture
from insegan_ros.methods.image_level.semantic import SemanticNet, class_shares

# Score maps and boxes are refined at this share of a picture.
STRIDE = 4
# A box: class, score, and (4,) px.
Box = tuple[int, float, np.ndarray]


@dataclass(frozen=True)
class RefinementConfig:
    """How boxes are refined and become masks; the ablations of the paper's Table 3 are switches."""

    choose: Literal['boxes', 'semantic'] = 'boxes'
    """boxes: the multiple instance branch chooses proposals; semantic: boxes around connected
    pieces of the semantic labels instead (no MIL)."""
    steps: int = 200
    """Steps of the refinement; 0 leaves boxes as they are (no CCGR)."""
    rate: float = 0.01
    """Length of a step, in shares of the box."""
    gap: Kind = 'ring'
    """How the context's score is averaged: over its own area (ring), or as the paper prints it."""
    overlap: float = 0.5
    """Of boxes of a class that overlap more (IoU), the one with the lower score is dropped: two
    peaks may be of one object."""
    reach: float = 1.5
    """How far from its box's middle a mask reaches, in half boxes: 1.5 takes in what connects with
    the box in its context, 1 cuts at the box. The box of an object that lies askew holds corners of
    background, so the best box (Eq. 10) is smaller than the object, and what cuts masks there makes
    the next round's boxes smaller still."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.rate <= 0 or not 0 < self.overlap <= 1 or self.reach < 1:
            raise ConfigError(
                'refinement: expected steps of 0 or more, a positive rate, overlap in (0, 1],'
                f' reach of 1 or more, found {self}'
            )


def boxes_of_pieces(
    network: SemanticNet, images: ImageSet, index: int, device: torch.device
) -> list[Box]:
    """Without the multiple instance branch: the box of every connected piece of every class that is
    in the picture."""
    best = best_class(
        score_maps(network, to_picture(images, index, device), images.present[index]).cpu().numpy()
    )
    out = []
    for kind in np.flatnonzero(images.present[index]):
        count, _, stats, _ = cv2.connectedComponentsWithStats(
            (best == kind + 1).astype(np.uint8), connectivity=4
        )
        for left, top, width, height, area in stats[1:count]:
            if area >= LEAST_PX:
                out.append(
                    (
                        int(kind),
                        1.0,
                        STRIDE * np.array([left, top, left + width, top + height], np.float32),
                    )
                )
    return out


@torch.no_grad()
def score_maps(network: SemanticNet, picture: Tensor, present: np.ndarray) -> Tensor:
    """The semantic branch's score maps (K, h, w) of a picture (C, H, W), without the background's,
    at a quarter of its size; shared out among the background and the classes that are in the
    picture, present (K,) bool: their list is known."""
    shares = class_shares(network, padded(picture), (1.0,))
    shares = shares * torch.from_numpy(np.concatenate([[True], present])).to(shares)[:, None, None]
    shares = (shares / shares.sum(0).clamp(min=1e-9))[1:]
    return torch.nn.functional.avg_pool2d(shares, STRIDE)[
        :, : -(-picture.shape[1] // STRIDE), : -(-picture.shape[2] // STRIDE)
    ]


def refine_chosen(
    maps: list[Tensor],
    chosen: list[list[Box]],
    config: RefinementConfig,
    way: list[np.ndarray] | None = None,
) -> list[list[Box]]:
    """The boxes of several pictures, each (class, score, box (4,) px), refined on their class's
    score map (K, h, w); the other boxes' middles of the same class are peaks that none may take in.
    way: is given the boxes (steps + 1, N, 4) px on their way."""
    flat = [(number, *one) for number, some in enumerate(chosen) for one in some]
    if not flat or not config.steps:
        return chosen
    height, width = (max(one.shape[axis] for one in maps) for axis in (1, 2))
    device = maps[0].device
    scores = torch.zeros(len(flat), height, width, device=device)
    boxes = torch.tensor(
        np.stack([box for _, _, _, box in flat]) / STRIDE, device=device, dtype=torch.float32
    )
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    most = max(len(some) for some in chosen)
    peaks = torch.full((len(flat), most, 2), torch.nan, device=device)
    for row, (number, kind, _, _) in enumerate(flat):
        one = maps[number][kind]
        scores[row, : one.shape[0], : one.shape[1]] = one
        same = [
            other
            for other, (their, kind_, _, _) in enumerate(flat)
            if their == number and kind_ == kind
        ]
        # Boxes that lie on each other are of one object: their middles are one peak.
        apart = [row] + [
            other
            for other in same
            if other != row
            and overlaps(flat[row][3][None], flat[other][3][None])[0, 0] <= config.overlap
        ]
        peaks[row, : len(apart)] = middles[apart]
    path, _ = refine_boxes(scores, boxes, config.steps, config.rate, config.gap, peaks)
    if way is not None:
        way.append(path.cpu().numpy() * STRIDE)
    out: list[list[Box]] = [[] for _ in chosen]
    for (number, kind, score, _), box in zip(flat, path[-1].cpu().numpy() * STRIDE):
        out[number].append((kind, score, box))
    return out


def best_class(scores: np.ndarray, edges: Edges | None = None) -> np.ndarray:
    """Of score maps (K, H, W) that sum to 1 with the background's, the best of every pixel (H, W):
    0 background, class + 1. edges: see `synthesise`."""
    kinds = np.flatnonzero(scores.any((1, 2)))
    shares = np.concatenate([1 - scores.sum(0, keepdims=True), scores[kinds]])
    best = edges(shares) if edges and len(kinds) else shares.argmax(0)
    return np.array([0, *(kinds + 1)])[best]


def cut_masks(
    scores: Tensor,
    boxes: list[Box],
    size: tuple[int, int],
    config: RefinementConfig,
    edges: Edges | None = None,
) -> tuple[Mask, ...]:
    """Masks of a picture of `size` (H, W): what within a box, or connected with that in the box's
    reach, is rather of its class than of another, or background. Doubled boxes are dropped; a pixel
    in the reach of two is the nearer middle's. edges: see `synthesise`."""
    kept: list[Box] = []
    for one in sorted(boxes, key=lambda box: -box[1]):
        if all(
            one[0] != other[0] or overlaps(one[2][None], other[2][None])[0, 0] <= config.overlap
            for other in kept
        ):
            kept.append(one)
    best = best_class(
        np.stack(
            [
                cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR)
                for one in scores.cpu().numpy()
            ]
        ),
        edges,
    )
    y, x = np.indices(size) + 0.5
    owner, nearest = np.zeros(size, int), np.full(size, np.inf)
    for number, (kind, _, (x1, y1, x2, y2)) in enumerate(kept, 1):
        aside, along = (
            np.abs(2 * x - x1 - x2) / max(x2 - x1, 1),
            np.abs(2 * y - y1 - y2) / max(y2 - y1, 1),
        )
        far = np.hypot(aside, along)
        mine = (np.maximum(aside, along) <= config.reach) & (best == kind + 1) & (far < nearest)
        owner[mine], nearest[mine] = number, far[mine]
    out = []
    for number, (kind, score, (x1, y1, x2, y2)) in enumerate(kept, 1):
        pixels = owner == number
        _, pieces = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=4)
        within = pieces[pixels & (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)]
        pixels = drop_fragments((pixels & np.isin(pieces, within)).astype(np.uint16), LEAST_PX) > 0
        if pixels.sum() >= LEAST_PX:
            out.append(Mask.of(kind, score, pixels))
    return tuple(out)
