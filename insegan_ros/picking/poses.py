"""Poses as people write them in YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

# An optical frame (z along the view, x to the right) in one of REP 103 (x along the view, y left).
OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)


def numbers(values: Any, count: int) -> np.ndarray:
    """So many finite numbers (count,). Raises one of MALFORMED for anything else."""
    found = np.array([float(value) for value in values])
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f'{values} is not {count} finite numbers')
    return found


def pose_of(values: Mapping[str, Any]) -> np.ndarray:
    """A pose (4, 4) from `position` in m and `quaternion` (x, y, z, w) or `rpy_deg` (turns about
    the fixed x, y and z, one after another). Raises one of MALFORMED for anything else."""
    pose = np.eye(4)
    pose[:3, 3] = numbers(values['position'], 3)
    pose[:3, :3] = (
        Rotation.from_quat(numbers(values['quaternion'], 4))
        if 'quaternion' in values
        else Rotation.from_euler('xyz', numbers(values['rpy_deg'], 3), degrees=True)
    ).as_matrix()
    return pose


def values_of(pose: np.ndarray) -> dict[str, list[float]]:
    """The inverse of pose_of: position in m, quaternion (x, y, z, w)."""
    turned = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return {
        'position': np.round(pose[:3, 3], 6).tolist(),
        'quaternion': np.round(turned, 7).tolist(),
    }
