"""The floor that a picture itself shows."""

from __future__ import annotations

import numpy as np

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame

NO_PLANE = (
    "no plane was found in the depth image: expected to see the bin's floor; give the floor that"
    ' `insegan calibrate` finds'
)


def fit_floor(
    frame: Frame, seed: int = 0, tolerance_m: float = 0.004
) -> tuple[float, float, float, float]:
    """The floor's plane as Workspace has it, fitted to the scene itself: the farthest plane that
    many pixels share, to within tolerance_m.

    In inverse depth a plane is linear in the pixel: 1/z = a x + b y + c with x, y of the ray;
    robust to parts in the bin (RANSAC). Raises InputError where too few pixels have a reading.
    """
    valid = np.isfinite(frame.depth_m) & (frame.depth_m > 0)
    if valid.sum() < 100:
        raise InputError(
            f'{int(valid.sum())} pixels have a depth reading: expected at least 100 to fit the'
            " bin's floor (is the lens covered?)"
        )
    points = frame.points()[valid]
    rng = np.random.default_rng(seed)
    points = points[rng.choice(len(points), min(len(points), 5000), replace=False)].astype(float)
    planes = _planes_through(points[rng.integers(len(points), size=(200, 3))])
    if not len(planes):
        raise InputError(NO_PLANE)
    distance = points[:2000] @ planes[:, :3].T + planes[:, 3]
    # Parts stand above the floor, nothing lies below it: what lies below counts against a plane.
    best = planes[
        (
            (np.abs(distance) < tolerance_m).sum(0) - 2 * (distance < -3 * tolerance_m).sum(0)
        ).argmax()
    ]
    inliers = points[np.abs(points @ best[:3] + best[3]) < tolerance_m]
    # Those that it was laid through lie on any plane.
    if len(inliers) <= 3:
        raise InputError(NO_PLANE)
    centre = inliers.mean(0)
    normal = np.linalg.svd(inliers - centre, full_matrices=False)[2][2]
    normal = normal if normal[2] < 0 else -normal
    a, b, c = (float(value) for value in normal)
    return a, b, c, float(-normal @ centre)


def _planes_through(samples: np.ndarray) -> np.ndarray:
    """Planes (M, 4) through triples of points (N, 3, 3), normals towards the camera; those that are
    none are left out."""
    normals = np.cross(samples[:, 1] - samples[:, 0], samples[:, 2] - samples[:, 0])
    length = np.linalg.norm(normals, axis=1)
    # A wall seen at a grazing angle is no floor.
    usable = (length > 1e-12) & (np.abs(normals[:, 2]) > 0.5 * length)
    normals = normals[usable] / (length[usable] * -np.sign(normals[usable, 2]))[:, None]
    return np.column_stack([normals, -(normals * samples[usable, 0]).sum(1)])
