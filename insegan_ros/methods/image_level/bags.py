"""CCGR's bags: for every object that is thought to be there, the proposals that may show it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from insegan_ros.data.mask_sets import Mask
from insegan_ros.methods.image_level.class_maps import STRIDE, find_peaks
from insegan_ros.methods.image_level.proposals import Proposals, overlaps

# How far the classifier sees at a time, in px of the maps; the minimum height of a peak, as a share
# of its map's maximum. Chosen with the labels of 40 training bins.
CELL, PEAK = 4.0, 0.5
# The maximum number of proposals in a bag; the minimum IoU of one with a box that was found before.
MAX_PROPOSALS, MIN_OVERLAP = 10, 0.5
# How much a proposal's rank falls where it holds background (Eq. 4).
BACKGROUND_COST = 0.1
# Peaks of two classes so near, in px, are of one object; only one of them is right, and neither
# speaks against a proposal.
SAME_PLACE = 8.0


@dataclass(frozen=True)
class Bag:
    """class_id; x, y of the peak, in px of the picture; proposals (R,), their numbers."""

    class_id: int
    x: float
    y: float
    proposals: np.ndarray


def peaks_of(maps: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """Peaks (P, 3) float32 of attention maps (k, h, w) of the classes (k,): class id, x, y in px of
    the picture. Maps are blurred by as much as the classifier sees at a time: what is finer comes
    of adding up scales, and would make several peaks of an object."""
    blurred = np.stack([cv2.GaussianBlur(one, (0, 0), CELL) for one in maps])
    found = find_peaks(torch.from_numpy(blurred), PEAK)
    rows = [
        (class_id, STRIDE * float(x), STRIDE * float(y))
        for class_id, peaks in zip(class_ids, found)
        for x, y, _ in peaks
    ]
    return np.array(rows, np.float32).reshape(-1, 3)


def bags_of_peaks(peaks: np.ndarray, proposals: Proposals, scores: np.ndarray) -> list[Bag]:
    """A bag for every peak (P, 3): of the proposals that hold it and no other, the ten of highest
    rank. scores (K, H, W), the semantic score maps in [0, 1] that Eq. 4 asks for, by class. A peak
    in no such proposal has no bag."""
    x1, y1, x2, y2 = proposals.boxes.T[:, :, None]
    inside = (peaks[:, 1] >= x1) & (peaks[:, 1] <= x2) & (peaks[:, 2] >= y1) & (peaks[:, 2] <= y2)
    out = []
    for number, (class_id, x, y) in enumerate(peaks):
        near = np.hypot(peaks[:, 1] - x, peaks[:, 2] - y) < SAME_PLACE
        beside = (peaks[:, 0] != class_id) & near
        others = inside[:, ~beside].sum(1) - inside[:, number]
        holding = np.flatnonzero(inside[:, number] & (others == 0))
        if len(holding):
            background = 1 - scores[int(class_id)]
            rank = [
                proposals.objectness[one]
                - BACKGROUND_COST * float(background[proposals.masks[one]].mean())
                for one in holding
            ]
            best = holding[np.argsort(-np.array(rank), kind='stable')[:MAX_PROPOSALS]]
            out.append(Bag(int(class_id), float(x), float(y), best))
    return out


def bags_of_masks(masks: tuple[Mask, ...], proposals: np.ndarray) -> tuple[list[Bag], np.ndarray]:
    """A bag for every box that the instance branch found: that box, and the proposals (P, 4) px
    that overlap it most. Returns them and the boxes (P + M, 4) px that their numbers are of:
    proposals, then what was found. A proposal that overlaps by less than half is no view of the
    object but a part of it: with those in its bags, boxes shrink from round to round."""
    found = np.array([one.corners for one in masks], np.float32).reshape(-1, 4)
    out = []
    for number, (one, box) in enumerate(zip(masks, found), len(proposals)):
        overlap = overlaps(proposals, box[None])[:, 0]
        best = np.argsort(-overlap, kind='stable')[: MAX_PROPOSALS - 1]
        own = np.array([number, *best[overlap[best] >= MIN_OVERLAP]])
        out.append(Bag(one.kind, float(box[::2].mean()), float(box[1::2].mean()), own))
    return out, np.concatenate([proposals, found])
