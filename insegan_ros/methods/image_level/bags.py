"""CCGR's bags: for every object that is thought to be there, the proposals that may show it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from insegan_ros.data.mask_sets import Mask
from insegan_ros.methods.image_level.class_maps import STRIDE, find_peaks
from insegan_ros.methods.image_level.proposals import Proposals, overlaps

# A place of the classifier, in px of the maps; the least height of a peak, in shares of its map's.
# Chosen with the labels of 40 training bins.
CELL, PEAK = 4.0, 0.5
# Proposals of a bag; how much (IoU) one overlaps a box that was found before.
MOST, LEAST_OVERLAP = 10, 0.5
# How much a proposal's rank falls where it holds background (Eq. 4).
BACKGROUND_COST = 0.1
# Peaks of two classes so near, in px, are of one object; only one of them is right, and neither
# speaks against a proposal.
SAME_PLACE = 8.0


@dataclass(frozen=True)
class Bag:
    """kind, the class's index; x, y of the peak, in px; proposals (R,), their numbers."""

    kind: int
    x: float
    y: float
    proposals: np.ndarray


def peaks_of(maps: np.ndarray, kinds: np.ndarray, least: float = PEAK) -> np.ndarray:
    """Peaks (P, 3) of attention maps (k, h, w): class, x, y in px of the picture. Maps are blurred
    by as much as the classifier sees at a time: what is finer comes of adding up scales, and would
    make several peaks of an object."""
    found = find_peaks(
        torch.from_numpy(np.stack([cv2.GaussianBlur(one, (0, 0), CELL) for one in maps])), least
    )
    rows = [
        (kind, STRIDE * float(x), STRIDE * float(y))
        for kind, peaks in zip(kinds, found)
        for x, y, _ in peaks
    ]
    return np.array(rows, np.float32).reshape(-1, 3)


def bags_of_peaks(peaks: np.ndarray, proposals: Proposals, scores: np.ndarray) -> list[Bag]:
    """A bag for every peak (P, 3): of the proposals that hold it and no other, the ten of highest
    rank. scores (K, H, W), the semantic score maps that Eq. 4 asks, by class. A peak in no such
    proposal has no bag."""
    x1, y1, x2, y2 = proposals.boxes.T[:, :, None]
    inside = (peaks[:, 1] >= x1) & (peaks[:, 1] <= x2) & (peaks[:, 2] >= y1) & (peaks[:, 2] <= y2)
    out = []
    for number, (kind, x, y) in enumerate(peaks):
        beside = (peaks[:, 0] != kind) & (np.hypot(peaks[:, 1] - x, peaks[:, 2] - y) < SAME_PLACE)
        others = inside[:, ~beside].sum(1) - inside[:, number]
        holding = np.flatnonzero(inside[:, number] & (others == 0))
        if len(holding):
            rank = [
                proposals.objectness[one]
                - BACKGROUND_COST * float((1 - scores[int(kind)])[proposals.masks[one]].mean())
                for one in holding
            ]
            out.append(
                Bag(
                    int(kind),
                    float(x),
                    float(y),
                    holding[np.argsort(-np.array(rank), kind='stable')[:MOST]],
                )
            )
    return out


def bags_of_masks(masks: tuple[Mask, ...], proposals: np.ndarray) -> tuple[list[Bag], np.ndarray]:
    """A bag for every box that the instance branch found: that box, and the proposals (P, 4) that
    overlap it most. Returns them and the boxes (P + M, 4) that their numbers are of: proposals,
    then what was found. A proposal that overlaps less than by half is no view of the object but a
    part of it: with those in its bags, boxes shrink from round to round."""
    found = np.array(
        [(x, y, x + width, y + height) for x, y, width, height in (one.box for one in masks)],
        np.float32,
    ).reshape(-1, 4)
    boxes, out = np.concatenate([proposals, found]), []
    for number, (one, box) in enumerate(zip(masks, found), len(proposals)):
        share = overlaps(proposals, box[None])[:, 0]
        best = np.argsort(-share, kind='stable')[: MOST - 1]
        out.append(
            Bag(
                one.kind,
                float(box[::2].mean()),
                float(box[1::2].mean()),
                np.array([number, *best[share[best] >= LEAST_OVERLAP]]),
            )
        )
    return out, boxes
