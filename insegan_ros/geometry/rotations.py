"""Directions and rotations that are spread evenly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation


def spread(count: int) -> np.ndarray:
    """Directions (count, 3) spread evenly over the sphere (Fibonacci)."""
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    return np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1
    )


def looking_along(directions: np.ndarray, turns: int) -> np.ndarray:
    """(N * turns, 3, 3): views along directions (N, 3) of an object, each turned about the line of
    sight."""
    polar = np.arccos(directions[:, 2].clip(-1, 1))
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    tilt = Rotation.from_euler('ZY', np.stack([azimuth, polar], -1)).inv()
    spins = Rotation.from_rotvec(np.outer(np.arange(turns) * 2 * np.pi / turns, (0, 0, 1)))
    return (spins.as_matrix() @ tilt.as_matrix()[:, None]).reshape(-1, 3, 3)


@lru_cache(maxsize=4)
def all_rotations(count: int) -> np.ndarray:
    """Rotations (count, 3, 3) spread evenly over all there are (Alexa, "Super-Fibonacci Spirals",
    CVPR 2022); read-only."""
    index = np.arange(count) + 0.5
    t, d = index / count, 2 * np.pi * index
    alpha, beta = d / np.sqrt(2), d / 1.533751168755204288118041
    r, s = np.sqrt(t), np.sqrt(1 - t)
    quaternions = np.stack(
        [r * np.sin(alpha), r * np.cos(alpha), s * np.sin(beta), s * np.cos(beta)], 1
    )
    out = Rotation.from_quat(quaternions).as_matrix()
    out.flags.writeable = False
    return out
