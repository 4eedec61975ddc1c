"""From displacements to instances: every foreground pixel votes for its instance's centre; peaks of votes are instances.

The rule that IRNet has for its displacement field (Ahn et al., CVPR 2019, Eqs. 14 and 15: refine, candidate centroids,
components), with votes in place of "pixels whose displacement is small", since a nut's centre lies in its hole.
"""
from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import find_objects


# Peaks looked at in one picture, so that clutter cannot hold a node up.
MOST_PEAKS = 300


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
    for _ in range(MOST_PEAKS):
        if remaining.sum() < min_votes:
            break
        y, x = np.unravel_index(int(heat.argmax()), shape)
        if heat[y, x] <= 1e-6:
            break
        near = (targets[:, 0] - x) ** 2 + (targets[:, 1] - y) ** 2 < radius_px ** 2
        if remaining[near].sum() >= min_votes:
            centres.append(np.average(targets[near], axis=0, weights=remaining[near] + 1e-9))
        remaining[near] = 0
        # Nothing else may stand within one radius of a peak, taken or too light.
        cv2.circle(heat, (int(x), int(y)), int(np.ceil(radius_px)), 0.0, -1)
    return np.array(centres, np.float32).reshape(-1, 2)


def assign(targets: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For every vote target (M, 2) the index of the nearest centre."""
    x, y = np.ascontiguousarray(targets.T, np.float32)
    return np.stack([(x - cx) ** 2 + (y - cy) ** 2 for cx, cy in centres]).argmin(0)


def drop_fragments(labels: np.ndarray, min_area_px: float) -> np.ndarray:
    """Remove from every instance the pieces smaller than min_area_px, and renumber so that no number is left out."""
    out = np.zeros_like(labels)
    count = 0
    for label, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((labels[box] == label).astype(np.uint8), connectivity=8)
        large = stats[:, cv2.CC_STAT_AREA] >= min_area_px
        large[0] = False
        if large.any():
            count += 1
            out[box][large[pieces]] = count
    return out
