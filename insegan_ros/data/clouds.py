"""Point clouds as depth pictures: what a camera at their origin would see of them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import trimesh

from insegan_ros.data.pcd import read_pcd
from insegan_ros.errors import InputError, InseganWarning
from insegan_ros.files import read_content
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.texts import reason

CLOUDS = ('.ply', '.pcd')
# What lies farther in most of a cloud is in millimetres.
FARTHEST_M = 30.0


def read_cloud(path: Path) -> np.ndarray:
    """The points (N, 3) float64 of a PLY or PCD in m in the optical frame: x right, y down, z
    forward.

    Clouds in millimetres, and those that look along -z with y up, as RealSense's viewer writes
    them, are turned to that, and it is said aloud. Raises InputError where there are none.
    """
    points = read_pcd(path) if path.suffix.lower() == '.pcd' else _read_ply(path)
    points = points[np.isfinite(points).all(1) & points.any(1)]
    if not len(points):
        raise InputError(f'{path} holds no points: expected a cloud of points in metres')
    if np.median(points[:, 2]) < 0:
        _tell(f'{path}: the cloud lies along -z, as in computer graphics; y and z are flipped')
        points = points * np.array([1.0, -1.0, -1.0])
    if np.median(points[:, 2]) > FARTHEST_M:
        _tell(f'{path}: the cloud seems to be in millimetres, and is read as such')
        points = points / 1000
    return points


def _read_ply(path: Path) -> np.ndarray:
    try:
        # From its bytes, so that nothing else that the file names is opened.
        content = io.BytesIO(read_content(path))
        loaded = trimesh.load(content, file_type='ply', process=False, skip_materials=True)
        return np.array(getattr(loaded, 'vertices', ()), dtype=np.float64).reshape(-1, 3)
    # Any: the reader raises whatever a broken file makes it stumble over.
    except Exception as error:
        raise InputError(
            f'{path} cannot be read as a cloud ({reason(error)}): expected a PLY of points in'
            ' metres'
        ) from error


def depth_of_cloud(points: np.ndarray, intrinsics: Intrinsics) -> Frame:
    """The nearest of the points (N, 3) in m at every pixel as a frame without colour. An organised
    cloud of the same camera becomes its depth picture again; NaN where no point falls. Raises
    InputError where the camera sees none."""
    before = points[points[:, 2] > 0]
    k = intrinsics
    columns = np.rint(before[:, 0] / before[:, 2] * k.fx + k.cx)
    rows = np.rint(before[:, 1] / before[:, 2] * k.fy + k.cy)
    seen = (columns >= 0) & (columns < k.width) & (rows >= 0) & (rows < k.height)
    if not seen.any():
        raise InputError(
            f'none of {len(points)} points is seen in {k.width}x{k.height} px: expected a cloud in'
            " its camera's optical frame (x right, y down, z forward)"
        )
    depth = np.full((k.height, k.width), np.inf, np.float32)
    place = rows[seen].astype(int), columns[seen].astype(int)
    np.minimum.at(depth, place, before[seen, 2].astype(np.float32))
    return Frame(np.where(np.isfinite(depth), depth, np.nan).astype(np.float32), intrinsics)


def _tell(text: str) -> None:
    warnings.warn(text, InseganWarning, stacklevel=3)
