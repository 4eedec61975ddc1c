"""From centre offsets to instances: every foreground pixel votes for its instance's centre; peaks
of votes are instances.

The rule that IRNet has for its displacement field (Ahn et al., CVPR 2019, Eqs. 14 and 15: refine,
candidate centroids, components), with votes in place of "pixels whose displacement is small", since
a nut's centre lies in its hole.
"""

from __future__ import annotations

import cv2
import numpy as np

# Peaks looked at in one picture, so that clutter cannot hold a node up.
MAX_PEAKS = 300
# Layers of the vote map's height.
MAX_LAYERS = 64


def vote_map(
    places: np.ndarray, weights: np.ndarray, shape: tuple[int, ...], blur: float
) -> np.ndarray:
    """Histogram of votes at places (M, 2 or 3), as (row, column) or (row, column, layer), with
    weights (M,), shared out linearly among neighbouring cells and blurred in the plane by a
    Gaussian: float32 of `shape`. Votes beyond it are lost."""
    first = np.floor(places).astype(int)
    heat = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(*(2,) * len(shape)):
        cell = first + corner
        share = weights * (1 - np.abs(places - cell)).prod(1)
        inside = ((cell >= 0) & (cell < shape)).all(1)
        heat += np.bincount(np.ravel_multi_index(cell[inside].T, shape), share[inside], len(heat))
    # Layers are channels: OpenCV blurs them all at once.
    return cv2.GaussianBlur(
        heat.reshape(shape).astype(np.float32), (0, 0), blur, borderType=cv2.BORDER_CONSTANT
    )


def find_centres(
    targets: np.ndarray,
    weights: np.ndarray,
    shape: tuple[int, int],
    radius_px: float,
    min_votes: float,
) -> np.ndarray:
    """Centres (K, 2 or 3) that targets (M, 2 or 3) with weights (M,) vote for in a picture of
    `shape` (H, W), as (x, y) or (x, y, z) px, z from 0 up; strongest first.

    A centre is a peak of the vote map whose votes within radius_px weigh min_votes or more. Votes
    that a stronger peak has taken do not count again, so one instance is found once; no number of
    instances is given.
    """
    if not len(targets) or weights.sum() < min_votes:
        return np.zeros((0, targets.shape[1]), np.float32)
    order = [1, 0, 2][: targets.shape[1]]
    cell = np.ones(len(order))
    grid: tuple[int, ...] = shape
    if len(order) == 3:
        # Layers half a radius apart, two of them beyond the highest vote.
        cell[2] = max(radius_px / 2, 0.5)
        layers = int(np.clip(targets[:, 2].max() / cell[2] + 3, 1, MAX_LAYERS))
        grid = (*shape, layers)
    places = targets[:, order]
    heat = vote_map(places / cell, weights, grid, max(radius_px / 2, 0.5))
    if len(order) == 3:
        heat = heat @ _blurring(grid[2])
    remaining = weights.copy()
    reach = int(np.ceil(radius_px))
    # A peak changes few rows of the map, and few votes are near it: neither is searched as a whole.
    rows, within_row = np.ascontiguousarray(places[:, 0]), tuple(range(1, len(grid)))
    highest = heat.max(within_row)
    centres: list[np.ndarray] = []
    for _ in range(MAX_PEAKS):
        if remaining.sum() < min_votes:
            break
        row = int(highest.argmax())
        peak = np.array([row, *np.unravel_index(int(heat[row].argmax()), grid[1:])])
        if heat[tuple(peak)] <= 1e-6:
            break
        near = np.flatnonzero(np.abs(rows - row) <= radius_px)
        near = near[((places[near] - peak * cell) ** 2).sum(1) < radius_px**2]
        if remaining[near].sum() >= min_votes:
            centres.append(np.average(targets[near], axis=0, weights=remaining[near] + 1e-9))
        remaining[near] = 0
        # Nothing else may stand within one radius of a peak, taken or too light.
        low = np.ceil(peak - reach / cell).clip(0).astype(int)
        high = np.minimum(np.floor(peak + reach / cell) + 1, grid).astype(int)
        window = tuple(slice(*ends) for ends in zip(low, high))
        away = sum(((axis - p) * c) ** 2 for axis, p, c in zip(np.ogrid[window], peak, cell))
        heat[window][away <= reach**2] = 0
        highest[window[0]] = heat[window[0]].max(within_row)
    return np.array(centres, np.float32).reshape(-1, targets.shape[1])


def _blurring(layers: int) -> np.ndarray:
    """A Gaussian of one layer's width as a matrix (layers, layers)."""
    index = np.arange(layers)
    return np.exp(-((index[:, None] - index) ** 2) / 2).astype(np.float32)


def assign(targets: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For every vote target (M, D) the index of the nearest of the centres (K, D)."""
    axes = np.ascontiguousarray(targets.T, np.float32)
    nearest, owner = np.full(len(targets), np.inf, np.float32), np.zeros(len(targets), int)
    # One centre after another: all distances at once are gigabytes for a large picture of clutter.
    for number, centre in enumerate(centres):
        distance = sum((axis - c) ** 2 for axis, c in zip(axes, centre))
        closer = distance < nearest
        nearest[closer], owner[closer] = distance[closer], number
    return owner
