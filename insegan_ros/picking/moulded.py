"""The shape of a moulded bin, found in pictures of it: round corners, a round foot, walls that lean
outwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares

from insegan_ros.frame import Frame
from insegan_ros.picking.floor_view import Span
from insegan_ros.workspace import Workspace, four

# A floor is a rectangle with round corners where it covers so much of one, and the corners of one
# of its sides lack alike, to within this share, the others no more: a tilted camera sees two of
# them cut straight by the nearest rim. Radii are at most this share of the shorter side.
COVERED, ALIKE, LARGEST = 0.96, 0.5, 0.4
# Points of walls: so high at least, so near to where walls are expected; more than so many are not
# needed. What differs by more than the last is none of the wall, and a shape from which most of
# them differ by twice that is not the walls'.
LOW_M, NEAR_M, POINTS, STRAY_M = 0.003, 0.02, 4000, 0.001
# Less is what a camera's noise makes of upright walls; more is no wall.
LEAST_CORNER_M, LEAST_FOOT_M, LEAST_SLOPE_DEG, STEEPEST_DEG = 0.006, 0.008, 1.5, 30.0


def rounded_rectangle(mask: np.ndarray) -> tuple[Span, Span, float] | None:
    """Rows and columns (first, last + 1) of an upright rectangle with round corners that a mask (H,
    W) is, and their radius in px; None where it is another shape, or its corners are sharp."""
    rows, columns = (_middle_span(side) for side in (mask, mask.T))
    inside = mask[slice(*rows), slice(*columns)]
    shorter = min(inside.shape)
    reach = int(LARGEST * shorter)
    if reach < 2 or mask.sum() - inside.sum() > (1 - COVERED) * mask.sum():
        return None
    around = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    corners = [inside[::down, ::across][:reach, :reach] for down, across in around]
    lacking = np.array([float((~corner).sum()) for corner in corners])
    pairs = np.stack([lacking, np.roll(lacking, -1)])
    pair = pairs[:, pairs.min(0).argmax()]
    radius = float(np.sqrt(pair.mean() / (1 - np.pi / 4)))
    covered = inside.sum() + lacking.sum()
    alike = max(np.ptp(pair) / 2, lacking.max() - pair.mean()) < ALIKE * pair.mean()
    if radius < 0.03 * shorter or not alike or covered < COVERED * inside.size:
        return None
    return rows, columns, radius


def _middle_span(mask: np.ndarray) -> Span:
    """From where to where (first, last + 1) most of the middle columns of a mask (H, W) reach."""
    columns = np.flatnonzero(mask.any(0))
    quarter = len(columns) // 4
    middle = mask[:, columns[quarter : len(columns) - quarter]]
    first, last = middle.argmax(0), len(mask) - middle[::-1].argmax(0)
    return int(np.median(first)), int(np.median(last))


def without_corners(heights: np.ndarray, radius: float) -> np.ndarray:
    """Heights (H, W) of a rectangle, NaN beyond its round corners (px)."""
    away = [np.arange(side) + 0.5 for side in heights.shape]
    into = [radius - np.minimum(one, one[::-1]) for one in away]
    beyond = np.hypot(*np.meshgrid(*(np.maximum(one, 0) for one in into), indexing='ij')) > radius
    return np.where(beyond, np.nan, heights)


def fit_moulding(picture: Frame, walls: Workspace, tops_m: np.ndarray) -> Workspace:
    """The workspace with its bounds where the walls' faces meet the floor, and the walls' shape, by
    what is read of their faces; the workspace itself where they are upright boards.

    walls: bounds at the walls as far as they are known; tops_m (4,): how high each rises. Raises
    InputError without bounds.
    """
    # Of a wall that is looked at from its outside only the inner edge of its rim is known.
    faces = walls.wall_distances(np.zeros(3)) > 0
    points = _face_points(picture, walls, np.where(faces, 0.9 * tops_m, 0.0))
    if len(points) < POINTS // 10:
        return walls
    bounds = np.array(walls.require_bounds())
    largest = LARGEST * min(bounds[2] - bounds[0], bounds[3] - bounds[1])
    inwards = np.where(faces, 0.0, [1.0, 1.0, -1.0, -1.0]) * tops_m

    def made(values: np.ndarray) -> Workspace:
        corner_m, foot_m, slope_deg = (float(value) for value in values[4:])
        leaning = inwards * np.tan(np.radians(slope_deg))
        return replace(
            walls,
            bounds=four(bounds + np.where(faces, values[:4], leaning)),
            corner_radius_m=corner_m,
            foot_radius_m=foot_m,
            wall_slope_deg=slope_deg,
        )

    begun = [0.0] * 4 + [min(NEAR_M, largest / 2), LEAST_FOOT_M, LEAST_SLOPE_DEG]
    low, high = [-NEAR_M] * 4 + [0.0] * 3, [NEAR_M] * 4 + [largest, largest, STEEPEST_DEG]
    least = np.array([LEAST_CORNER_M, LEAST_FOOT_M, LEAST_SLOPE_DEG])
    found = least_squares(
        lambda values: made(values).wall_distance(points),
        begun,
        bounds=(low, high),
        x_scale=[0.001] * 6 + [0.5],
        loss='soft_l1',
        f_scale=STRAY_M,
    ).x
    moulded = made(found)
    off_m = float(np.median(np.abs(moulded.wall_distance(points))))
    return moulded if (found[4:] > least).any() and off_m < 2 * STRAY_M else walls


def _face_points(picture: Frame, walls: Workspace, tops_m: np.ndarray) -> np.ndarray:
    """Readings (N, 3) in m of walls, each wall's up to a height of tops_m (4,)."""
    points = picture.points().reshape(-1, 3).astype(float)
    points = points[np.isfinite(points[:, 2])]
    distances, height = walls.wall_distances(points), walls.height_of(points)
    near = np.abs(distances.min(-1)) < NEAR_M
    points = points[near & (height > LOW_M) & (height < tops_m[distances.argmin(-1)])]
    rng = np.random.default_rng(0)
    return points[rng.choice(len(points), min(len(points), POINTS), replace=False)]
