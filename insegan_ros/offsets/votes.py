"""From centre offsets to instances: every foreground pixel votes for its instance's centre; peaks
of votes are instances.

The rule that IRNet has for its displacement field (Ahn et al., CVPR 2019, Eqs. 14 and 15: refine,
candidate centroids, components), with votes in place of "pixels whose displacement is small", since
a nut's centre lies in its hole.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from insegan_ros.limits import check_time

# Peaks looked at in one picture that are too light for a centre, so that clutter cannot hold a node
# up; and centres found in one: a heap has hundreds.
MAX_PEAKS, MAX_CENTRES = 300, 1000
# Layers of the vote map's height.
MAX_LAYERS = 64
# Of more votes every second, third, ... is asked; cells of the vote map along each side, and in
# all: eight times a full bin's.
MAX_VOTES, MAX_SIDE, MAX_CELLS = 4000, 256, 400_000
# Cells along each side of the space of votes, each of which is looked up at once where it is surely
# one centre's.
LOOKUP_SIDE = 32
# The smallest error that is believed, as a share of the radius, and the errors off at which a vote
# is nobody's.
SUREST, WORST = 0.2, 3.0


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
    light = 0
    while light < MAX_PEAKS and len(centres) < MAX_CENTRES:
        check_time()
        if remaining.sum() < min_votes:
            break
        row = int(highest.argmax())
        peak = np.array([row, *np.unravel_index(int(heat[row].argmax()), grid[1:])])
        if heat[tuple(peak)] <= 1e-6:
            break
        near = np.flatnonzero(np.abs(rows - row) <= radius_px)
        near = near[((places[near] - peak * cell) ** 2).sum(1) < radius_px**2]
        # Where a damaged checkpoint asks for none, there may be none.
        if near.size and remaining[near].sum() >= min_votes:
            centres.append(np.average(targets[near], axis=0, weights=remaining[near] + 1e-9))
        else:
            light += 1
        remaining[near] = 0
        # Nothing else may stand within one radius of a peak, taken or too light.
        low = np.ceil(peak - reach / cell).clip(0).astype(int)
        high = np.minimum(np.floor(peak + reach / cell) + 1, grid).astype(int)
        window = tuple(slice(*ends) for ends in zip(low, high))
        away = sum(((axis - p) * c) ** 2 for axis, p, c in zip(np.ogrid[window], peak, cell))
        heat[window][away <= reach**2] = 0
        highest[window[0]] = heat[window[0]].max(within_row)
    return np.array(centres, np.float32).reshape(-1, targets.shape[1])


def covering_centres(
    targets: np.ndarray, errors: np.ndarray, radius_px: float, min_gain: float
) -> np.ndarray:
    """Centres (K, 2 or 3) that explain targets (M, 2 or 3) with expected errors (M,) in px, as few
    as do it; strongest first.

    A vote costs its distance to the nearest centre in expected errors, at most WORST. Centres are
    added while the best lowers the sum by min_gain or more, and taken away again whose loss costs
    less: facility location. Two parts may lie nearer to one another than votes that are unsure
    scatter: those cost little wherever they are. radius_px: within a quarter of it are no two.
    """
    if not len(targets):
        return np.zeros((0, targets.shape[1]), np.float32)
    step = math.ceil(len(targets) / MAX_VOTES)
    votes, min_gain = targets[::step].astype(np.float32), min_gain / step
    errors = np.maximum(errors[::step], SUREST * radius_px).astype(np.float32)
    candidates = _peaks(votes, 1 / errors, radius_px / 4)
    costs = np.minimum(_distances(votes, candidates) / errors[:, None], WORST)
    centres = candidates[_cheapest(np.ascontiguousarray(costs.T), min_gain)]
    for _ in range(3 if len(centres) else 0):
        away = _distances(votes, centres)
        own = away == away.min(1, keepdims=True)
        centres = _gathered(votes, centres, 1 / errors, own & (away < 2 * errors[:, None]))
    return centres


def _peaks(votes: np.ndarray, weights: np.ndarray, cell_px: float) -> np.ndarray:
    """At most MAX_CENTRES places (K, D), cells of cell_px apart, around which votes (M, D) with
    weights (M,) gather most; strongest first. Clutter that fills more than MAX_CELLS of them has
    larger ones."""
    reach, middle = MAX_SIDE / 2 * cell_px, np.median(votes, 0)
    inside = (np.abs(votes - middle) < reach).all(1)
    votes, weights = votes[inside], weights[inside]
    if not len(votes):
        return np.zeros((0, len(middle)), np.float32)
    low = np.maximum(votes.min(0), middle - reach)
    while ((votes.max(0) - low) / cell_px + 1).prod() > MAX_CELLS:
        cell_px *= 1.1
    cells = ((votes - low) / cell_px).round().astype(int)
    heat = np.zeros(cells.max(0) + 1, np.float32)
    np.add.at(heat, tuple(cells.T), weights)
    heat = gaussian_filter(heat, 1.0)
    peaks = np.argwhere((heat == maximum_filter(heat, 3)) & (heat > 1e-6))
    order = np.argsort(-heat[tuple(peaks.T)], kind='stable')[:MAX_CENTRES]
    return np.asarray(peaks[order] * cell_px + low, np.float32)


def _gathered(
    votes: np.ndarray, centres: np.ndarray, weights: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Centres (K, D) moved to the mean of their own votes, (M, K) bool, of votes (M, D) with
    weights (M,); where there are none they stay."""
    shares = own * weights[:, None]
    total = shares.sum(0)[:, None]
    return np.where(total > 0, shares.T @ votes / np.maximum(total, 1e-9), centres).astype(
        np.float32
    )


def _distances(votes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Distances (M, K) of votes (M, D) from centres (K, D)."""
    squared = (votes**2).sum(1)[:, None] - 2 * votes @ centres.T + (centres**2).sum(1)
    return np.sqrt(np.maximum(squared, 0))


def _cheapest(costs: np.ndarray, min_gain: float) -> list[int]:
    """Which of K centres explain M votes, costs (K, M), see covering_centres."""
    chosen, left = list[int](), np.full(costs.shape[1], WORST, np.float32)
    # What a centre saves only falls as others are chosen. So one whose gain of now is above what
    # the others once saved is the best, and few are computed anew.
    gain, fresh = (WORST - costs).sum(1), set(range(len(costs)))
    while len(chosen) < len(costs):
        check_time()
        best = int(gain.argmax())
        if gain[best] < min_gain:
            break
        if best in fresh:
            chosen.append(best)
            np.minimum(left, costs[best], out=left)
            fresh = set()
        gain[best] = np.maximum(left - costs[best], 0).sum()
        fresh.add(best)
    return _needed(costs, chosen, min_gain)


def _needed(costs: np.ndarray, chosen: list[int], min_gain: float) -> list[int]:
    """Those of the chosen centres whose loss costs min_gain or more, costs (K, M) of all."""
    left, votes = costs[chosen], np.arange(costs.shape[1])
    while len(chosen) > 1:
        own = left.argmin(0)
        nearest = left[own, votes]
        left[own, votes] = np.inf
        loss = np.bincount(own, left.min(0) - nearest, len(chosen))
        least = int(loss.argmin())
        if loss[least] >= min_gain:
            break
        left[own, votes] = nearest
        left = np.delete(left, least, 0)
        chosen = chosen[:least] + chosen[least + 1 :]
    return chosen


def _blurring(layers: int) -> np.ndarray:
    """A Gaussian of one layer's width as a matrix (layers, layers)."""
    index = np.arange(layers)
    return np.exp(-((index[:, None] - index) ** 2) / 2).astype(np.float32)


def assign(targets: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For every vote target (M, D) the index of the nearest of the centres (K, D)."""
    axes = np.ascontiguousarray(targets.T, np.float32)
    owner = _looked_up(axes, centres)
    unsure = np.flatnonzero(owner < 0)
    owner[unsure] = _nearest(axes[:, unsure], centres)[0]
    return owner


def _nearest(axes: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every place, axes (D, M), the index of the nearest of the centres (K, D), its squared
    distance and that of the second nearest."""
    count = axes.shape[1]
    owner = np.zeros(count, np.int32)
    nearest, second = np.full(count, np.inf, axes.dtype), np.full(count, np.inf, axes.dtype)
    # One centre after another: all distances at once are gigabytes for a large picture of clutter.
    for number, centre in enumerate(centres):
        check_time()
        distance = sum((axis - c) ** 2 for axis, c in zip(axes, centre))
        np.minimum(second, np.maximum(nearest, distance), out=second)
        owner[distance < nearest] = number
        np.minimum(nearest, distance, out=nearest)
    return owner, nearest, second


def _looked_up(axes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The index of the nearest of the centres (K, D) for every vote, axes (D, M); -1 where it is
    not sure. Votes gather at centres, so most are in cells of space all of which is nearest to
    one."""
    low = axes.min(1, initial=np.inf)
    size = np.maximum((axes.max(1, initial=-np.inf) - low) / LOOKUP_SIDE, 1e-6)
    if not np.isfinite(size).all():
        return np.full(axes.shape[1], -1, np.int32)
    shape = (LOOKUP_SIDE + 1,) * len(axes)
    cells = np.zeros(axes.shape[1], np.int32)
    for axis, start, step in zip(axes, low, size):
        cells *= shape[0]
        cells += ((axis - start) / step).astype(np.int32)
    table = np.zeros(np.prod(shape), np.int32)
    table[cells] = 1
    used = np.flatnonzero(table)
    middles = (np.stack(np.unravel_index(used, shape), 1) + 0.5) * size + low
    owner, *squared = _nearest(np.ascontiguousarray(middles.T, float), centres.astype(float))
    nearest, second = np.sqrt(squared)
    # The distances of a vote differ from those of its cell's middle by half a diagonal at most.
    sure = second - nearest > 1.001 * np.linalg.norm(size) + 1e-5 * nearest
    table[used] = np.where(sure, owner, -1)
    return table[cells]
