"""What speaks against a bin that is said to be empty, in its floor laid out."""

from __future__ import annotations

import numpy as np

from insegan_ros.errors import InputError
from insegan_ros.picking.floor_view import Span, beside

# What stands higher above the floor is no floor: four times what a D435 is noisy at half a metre.
FLAT_M = 0.006
# A bin is empty if no more than this share of its inside stands higher than a part would.
PART_M, MAX_OCCUPIED = 0.008, 0.01
# What is so much lower is no bin's floor, but what the bin stands on.
DEEPEST_M = 0.15
# Walls stand along a whole side, but for this share of it.
MIXED = 0.15
# What can be done about a bin that cannot be found.
BY_HAND = 'or give --floor and --bounds by hand'
IN_USE = f'empty it, or let it be found while it is used (--in-use), {BY_HAND}'


def check_empty(heights: np.ndarray) -> None:
    """Raise InputError where something lies on the floor, by the heights of the bin's inside."""
    high = heights[np.isfinite(heights)]
    occupied = float((high > PART_M).mean()) if high.size else 1.0
    if occupied > MAX_OCCUPIED:
        raise InputError(
            f'the bin is not empty: {100 * occupied:.1f} % of its inside stands more than'
            f' {1000 * PART_M:.0f} mm above the floor, up to'
            f' {1000 * float(np.quantile(high, 0.999)):.0f} mm: expected an empty bin; {IN_USE}'
        )


def check_lowest(heights: np.ndarray, rows: Span, columns: Span, rim: int) -> None:
    """Raise InputError where the ground beside the rectangle lies lower by as much as a thing in
    the bin would be high: then it is no floor but something flat that lies on it. A table's edge
    falls deeper, and beyond a wall the ground is what the bin stands on."""
    sides = [_before_walls(side) for side in beside(heights, rows, columns, rim).values()]
    lower = [
        ((side < -PART_M) & (side > -DEEPEST_M)).sum() / max(np.isfinite(side).sum(), 1)
        for side in sides
    ]
    if sorted(lower)[-2] > 0.3:
        around = np.concatenate([side.ravel() for side in sides])
        depth_m = float(np.median(around[(around < -PART_M) & (around > -DEEPEST_M)]))
        raise InputError(
            f'the flat ground in the middle of the image lies {-1000 * depth_m:.0f} mm above what'
            ' is around it: expected the floor of an empty bin (is something flat lying in it?);'
            f' {IN_USE}'
        )


def _before_walls(side: np.ndarray) -> np.ndarray:
    """What lies beside a side of a rectangle (n, along), the nearest first, as far as the first
    wall; NaN behind it."""
    walls = np.nan_to_num(side, nan=0.0) > PART_M
    return np.where(np.logical_or.accumulate(walls, 0), np.nan, side)


def wall_height(heights: np.ndarray, rows: Span, columns: Span, rim: int, in_use: bool) -> float:
    """Metres that the lowest of the walls around the rectangle rises above the floor; 0 where one
    side has none.

    Raises InputError where beside a side there is floor here and something there: no wall, but a
    thing in the bin, unless it is in use.
    """
    tops = []
    for name, side in beside(heights, rows, columns, rim).items():
        if not len(side) or not np.isfinite(side).any():
            tops.append(0.0)
            continue
        side = np.where(np.isfinite(side), side, -np.inf)
        near, highest = (
            some.max(0)[np.isfinite(some.max(0))] for some in (side[: max(rim * 2 // 5, 2)], side)
        )
        if not len(near):
            tops.append(0.0)
            continue
        free = float((near < PART_M).mean())
        if MIXED < free < 1 - MIXED and not in_use:
            raise InputError(
                f'the floor goes on beyond {100 * free:.0f} % of the {name} side of its largest'
                ' free rectangle, and something stands beside the rest: expected an empty bin'
                f' with straight walls; {IN_USE}'
            )
        tops.append(float(np.median(highest)))
    lowest = min(tops)
    return lowest if lowest > 2 * FLAT_M else 0.0
