"""From displacements to instances: every foreground pixel votes for its instance's centre; peaks of votes are instances.

The rule that IRNet has for its displacement field (Ahn et al., CVPR 2019, Eqs. 14 and 15: refine, candidate centroids,
components), with votes in place of "pixels whose displacement is small", since a nut's centre lies in its hole.
"""
from __future__ import annotations

import cv2
import numpy as np


def vote_map(targets: np.ndarray, weights: np.ndarray, shape: tuple[int, int], blur_px: float) -> np.ndarray:
    """Bilinear histogram of vote targets (M, 2) as (x, y) px with weights (M,), blurred; (H, W) float32."""
    height, width = shape
    x, y = targets[:, 0], targets[:, 1]
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    heat = np.zeros(shape, np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            share = weights * (1 - np.abs(x - x0 - dx)) * (1 - np.abs(y - y0 - dy))
            inside = (x0 + dx >= 0) & (x0 + dx < width) & (y0 + dy >= 0) & (y0 + dy < height)
            np.add.at(heat, (y0[inside] + dy, x0[inside] + dx), share[inside])
    return cv2.GaussianBlur(heat, (0, 0), blur_px, borderType=cv2.BORDER_CONSTANT)


def find_centres(targets: np.ndarray, weights: np.ndarray, shape: tuple[int, int], radius_px: float, min_votes: float) -> np.ndarray:
    """Centres (K, 2) as (x, y) px, strongest first.

    A centre is a peak of the vote map whose votes within radius_px weigh min_votes or more. Votes that a stronger peak
    has taken do not count again, so one instance is found once; no number of instances is given.
    """
    heat = vote_map(targets, weights, shape, max(radius_px / 2, 0.5))
    remaining, centres = weights.copy(), []
    while True:
        y, x = np.unravel_index(int(heat.argmax()), shape)
        near = np.hypot(targets[:, 0] - x, targets[:, 1] - y) < radius_px
        mass = remaining[near].sum()
        if heat[y, x] <= 1e-6:
            break
        if mass >= min_votes:
            centres.append(np.average(targets[near], axis=0, weights=remaining[near] + 1e-9))
        remaining[near] = 0
        # Nothing else may stand within one radius of a peak, taken or too light.
        cv2.circle(heat, (int(x), int(y)), int(np.ceil(radius_px)), 0.0, -1)
    return np.array(centres, np.float32).reshape(-1, 2)


def assign(targets: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For every vote target (..., 2) the index of the nearest centre."""
    distance = ((targets[..., None, :] - centres) ** 2).sum(-1)
    return distance.argmin(-1)


def drop_fragments(labels: np.ndarray, min_area_px: float) -> np.ndarray:
    """Remove from every instance the pieces smaller than min_area_px, and renumber so that no number is left out."""
    out = np.zeros_like(labels)
    count = 0
    for label in range(1, int(labels.max(initial=0)) + 1):
        components, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8), connectivity=8)
        kept = [i for i in range(1, components) if stats[i, cv2.CC_STAT_AREA] >= min_area_px]
        if kept:
            count += 1
            out[np.isin(pieces, kept)] = count
    return out
