"""Plastic boxes as they come out of their mould: round corners, a round foot, walls that lean
outwards. World frame: origin at the floor's centre, z up, metres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

# Radii of corners and foot as shares of the narrower side, up to these; how far walls lean.
CORNER_SHARE, CORNER_M, FOOT_SHARE, FOOT_M, SLOPE_DEG = 0.15, 0.03, 0.05, 0.01, 4.0
# Of the physics: how thick walls are, and how far beyond what is seen of them they rise.
THICK_M, TALL_M = 0.05, 1.0
# Angles of a quarter of a circle: as it is seen, and of the planes that are it in the physics.
SEEN_DEG, FACETS_DEG = np.linspace(0, 90, 9), np.array([0.0, 22.5, 45.0, 67.5])


class Guide(NamedTuple):
    """A box of the physics that parts cannot enter: half extents and centre in m, turn as a
    quaternion x, y, z, w."""

    half_extents: list[float]
    centre: list[float]
    turn: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Moulding:
    """Inner width (x) and depth (y) in m where the faces of its walls would meet the floor, and
    height (z)."""

    width_m: float
    depth_m: float
    height_m: float

    @property
    def corner_m(self) -> float:
        """Radius of the corners of its outline on the floor."""
        return min(CORNER_SHARE * min(self.width_m, self.depth_m), CORNER_M)

    @property
    def foot_m(self) -> float:
        """Radius by which the floor rises into the walls."""
        return min(FOOT_SHARE * min(self.width_m, self.depth_m), FOOT_M)

    def mesh(self, wall_m: float) -> trimesh.Trimesh:
        """The walls' surface, its foot on the floor, with a rim of wall_m."""
        lean = self.height_m * np.tan(np.radians(SLOPE_DEG))
        beyond, height = self._foot(SEEN_DEG)
        beyond = np.r_[beyond, lean, lean + wall_m, lean + wall_m]
        height = np.r_[height, self.height_m, self.height_m, 0.0]
        centres, outwards = self._outline(SEEN_DEG)
        rings = centres + (self.corner_m + beyond)[:, None, None] * outwards
        vertices = np.concatenate(
            [rings, np.broadcast_to(height[:, None, None], (*rings.shape[:2], 1))], -1
        )
        around = len(centres)
        first = (np.arange(len(beyond) - 1)[:, None] * around + np.arange(around)).ravel()
        after = first - first % around + (first + 1) % around
        faces = np.concatenate(
            [
                np.stack([first, first + around, after + around], 1),
                np.stack([first, after + around, after], 1),
            ]
        )
        return trimesh.Trimesh(vertices.reshape(-1, 3), faces, process=False)

    def guides(self) -> Iterator[Guide]:
        """Boxes that touch the walls and the foot from behind. What they enclose is convex, so none
        stands in another's way however long it is."""
        slope = np.radians(SLOPE_DEG)
        for index, (centre, out) in enumerate(zip(*self._outline(FACETS_DEG))):
            straight = index % len(FACETS_DEG) == 0
            long = max(self.width_m, self.depth_m) if straight else self.corner_m
            x, y = centre + self.corner_m * out
            normal = np.array([*np.cos(slope) * out, -np.sin(slope)])
            up = np.array([*np.sin(slope) * out, np.cos(slope)])
            yield _behind(np.array([x, y, 0.0]) + TALL_M * up, normal, (long, THICK_M, TALL_M))
            angles = FACETS_DEG[1:]
            for angle, beyond, height in zip(np.radians(angles), *self._foot(angles)):
                normal = np.array([*np.sin(angle) * out, -np.cos(angle)])
                touched = np.array([x + beyond * out[0], y + beyond * out[1], height])
                yield _behind(touched, normal, (long, THICK_M, self.foot_m))

    def _outline(self, angles_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Around the box, at these angles (K,) of every corner: the corner's centre (4 K, 2) and
        the direction outwards (4 K, 2)."""
        angles = np.radians(np.add.outer(np.arange(0, 360, 90), angles_deg).ravel())
        signs = np.repeat([(1, 1), (-1, 1), (-1, -1), (1, -1)], len(angles_deg), 0)
        half = np.array([self.width_m, self.depth_m]) / 2
        return signs * (half - self.corner_m), np.stack([np.cos(angles), np.sin(angles)], 1)

    def _foot(self, angles_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The foot at these angles (K,), 0 where it leaves the floor: metres beyond the outline,
        and height."""
        angles = np.radians(angles_deg)
        height = self.foot_m * (1 - np.cos(angles))
        lean = height * np.tan(np.radians(SLOPE_DEG))
        return lean - self.foot_m * (1 - np.sin(angles)), height


def _behind(
    touched: np.ndarray, normal: np.ndarray, half_extents: tuple[float, float, float]
) -> Guide:
    """A box behind a surface, of which it touches a point (3,): its first axis lies level, the
    second is the normal (3,) into the solid."""
    level = np.cross([0.0, 0.0, 1.0], normal)
    level /= np.linalg.norm(level)
    turn = Rotation.from_matrix(np.stack([level, normal, np.cross(level, normal)], 1)).as_quat()
    x, y, z, w = (float(value) for value in turn)
    return Guide(list(half_extents), (touched + half_extents[1] * normal).tolist(), (x, y, z, w))
