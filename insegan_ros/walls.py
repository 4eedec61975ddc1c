"""Readings of a bin's walls, which are neither part nor floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from insegan_ros.workspace import Workspace

# Readings within so many standard deviations of a wall's plane may be the wall's.
SURE = 3.0
# What stands at least so high is part or wall; a piece of it that reaches no farther than this from
# where a wall may be read is what is left of the wall's edges.
STANDS_M, STRIP_M = 0.005, 0.004


def inside_of_walls(workspace: Workspace, sides: np.ndarray, height_m: np.ndarray) -> np.ndarray:
    """Metres (...) along the floor to the nearest wall, as far as it reaches at that height,
    negative beyond it: of points at these distances (..., 4) from the sides of the bounds, inwards,
    and of these heights (...).

    The walls' outline on the floor is a rectangle with round corners; higher up they lean outwards
    by the slope, all around alike; below, a quarter of a circle leads from the floor to the wall.
    """
    free = sides.min(-1)
    if radius := workspace.corner_radius_m:
        into = radius - np.minimum(sides[..., :2], sides[..., 2:])
        free = np.where((into > 0).all(-1), radius - np.hypot(into[..., 0], into[..., 1]), free)
    if workspace.wall_slope_deg:
        free = free + height_m * np.tan(np.radians(workspace.wall_slope_deg))
    if foot := workspace.foot_radius_m:
        below = foot - np.clip(height_m, 0, foot)
        free = free - (foot - np.sqrt(np.maximum(foot**2 - below**2, 0)))
    return free


def wall_readings(workspace: Workspace, points: np.ndarray, height_m: np.ndarray) -> np.ndarray:
    """(H, W) bool: which points (H, W, 3) in m, of that height (H, W) above the floor, may be
    readings of the walls that stand at the workspace's bounds. NaN is none.

    A stereo camera's error lies along the line of sight and grows with the square of depth: seen
    from the camera, a wall is as thick as that error. Across the wall that is the less, the more
    the line of sight runs along it, so that next to nothing is lost of a part that lies at a wall
    and is seen from above. At a round foot it is the more, the flatter the foot is there.
    """
    depth = points[..., 2]
    error = SURE * workspace.wall_noise_m * (depth / workspace.floor_distance_m) ** 2
    # How far a reading moves across the walls for every metre of depth, (H, W, 2).
    across = np.abs(points @ workspace.axes.T.astype(points.dtype)) / depth[..., None]
    free = workspace.wall_distances(points) - (error[..., None] * across)[..., [0, 1, 0, 1]]
    nearest = inside_of_walls(workspace, free, height_m - error)
    # Comparisons with NaN are false: what has no reading is no wall's.
    on_wall = nearest < 0
    stands = (nearest >= 0) & (height_m > STANDS_M)
    count, pieces = cv2.connectedComponents(stands.astype(np.uint8), connectivity=8)
    reaches = np.zeros(count, bool)
    reaches[pieces[stands & (nearest > STRIP_M)]] = True
    return on_wall | (stands & ~reaches[pieces])
