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


def wall_readings(workspace: Workspace, points: np.ndarray, height_m: np.ndarray) -> np.ndarray:
    """(H, W) bool: which points (H, W, 3) in m, of that height (H, W) above the floor, may be
    readings of the walls that stand at the workspace's bounds. NaN is none.

    A stereo camera's error lies along the line of sight and grows with the square of depth: seen
    from the camera, a wall is as thick as that error. Across the wall that is the less, the more
    the line of sight runs along it, so that next to nothing is lost of a part that lies at a wall
    and is seen from above.
    """
    depth = points[..., 2]
    error = SURE * workspace.wall_noise_m * (depth / workspace.floor_distance_m) ** 2
    # How far a reading moves across the walls for every metre of depth, (H, W, 2).
    across = np.abs(points @ workspace.axes.T.astype(points.dtype)) / depth[..., None]
    free = workspace.wall_distances(points) - (error[..., None] * across)[..., [0, 1, 0, 1]]
    nearest = free.min(-1)
    # Comparisons with NaN are false: what has no reading is no wall's.
    on_wall = nearest < 0
    stands = (nearest >= 0) & (height_m > STANDS_M)
    count, pieces = cv2.connectedComponents(stands.astype(np.uint8), connectivity=8)
    reaches = np.zeros(count, bool)
    reaches[pieces[stands & (nearest > STRIP_M)]] = True
    return on_wall | (stands & ~reaches[pieces])
