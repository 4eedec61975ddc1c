"""A sampled surface, looked up in tables: what is near a point, without a search.

Space around the surface is cut into cells. Every cell knows how far the surface is and, for each of
some directions of sight, which sample that faces the eye is nearest: the far side of a thin sheet
is as near as its own.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from insegan_ros.geometry.rotations import spread

# Cells a side of the longest edge, and the margin around the surface as a share of its diagonal.
CELLS, MARGIN = 36, 0.1
# Directions of sight that are told apart, and up to which cosine to them a surface still faces the
# eye: a little more than a right angle, since sight lies between the directions.
VIEWS, FACING = 26, 0.2
# What is farther away than this share of the diagonal has no nearest sample.
REACH = 0.2


class SurfaceGrid:
    """Samples of a surface, points (N, 3) with normals (N, 3) of unit length, by the cells near
    them."""

    def __init__(self, points: np.ndarray, normals: np.ndarray) -> None:
        # Normal, and distance from the origin.
        self.plane = np.column_stack([normals, (points * normals).sum(1)]).astype(np.float32)
        low, high = points.min(0), points.max(0)
        size = float(np.linalg.norm(high - low))
        margin = MARGIN * size
        self.cell = float((high - low).max() + 2 * margin) / CELLS
        self.low = (low - margin).astype(np.float32)
        self.shape = np.ceil((high - low + 2 * margin) / self.cell).astype(int)
        self.last = (self.shape - 1).astype(np.float32)
        self.steps = np.array([self.shape[1] * self.shape[2], self.shape[2], 1], np.float32)
        centres = self.low + (np.indices(self.shape).reshape(3, -1).T + 0.5) * self.cell
        self.distances = cKDTree(points).query(centres)[0].astype(np.float32)
        self.views = spread(VIEWS)
        near = np.flatnonzero(self.distances < REACH * size)
        self.tables = np.zeros((VIEWS, len(centres)), np.int32)
        for table, view in zip(self.tables, self.views):
            facing = np.flatnonzero(normals @ view < FACING)
            # An open surface has sides from which it is seen from behind alone.
            facing = facing if len(facing) else np.arange(len(points))
            table[near] = facing[cKDTree(points[facing]).query(centres[near])[1]]

    def cells(self, points: np.ndarray) -> np.ndarray:
        """The numbers (...) of the cells that points (..., 3) lie in; outside, of the nearest."""
        place = np.floor((points - self.low) * np.float32(1 / self.cell))
        return (np.clip(place, 0, self.last) @ self.steps).astype(np.int32)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """How far the surface is from points (..., 3), to within a cell."""
        return self.distances.take(self.cells(points))

    def planes(
        self, points: np.ndarray, sight: np.ndarray, reach: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The planes of the samples that are nearest to points (B, P, 3) when one looks along sight
        (B, 3): their normals (B, P, 3), zero where the surface is farther off than `reach`, and how
        far below the planes the points lie (B, P)."""
        cells = self.cells(points)
        view = (sight @ self.views.T).argmax(-1)
        nearest = self.tables.reshape(-1).take(cells + (view * self.tables.shape[1])[:, None])
        plane = self.plane.take(nearest, axis=0)
        plane *= (self.distances.take(cells) < reach)[..., None]
        return plane[..., :3], plane[..., 3] - (plane[..., :3] * points).sum(-1)
