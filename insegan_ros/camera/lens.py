"""What a lens does to a picture that is taken for a pinhole camera's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isclose

import cv2
import numpy as np

from insegan_ros.frame import Intrinsics

# Of a picture that is not rectified; less than this is lost among the pixels.
SEEN_PX = 1.0
# Coefficients that OpenCV's models have; `equidistant` is its fisheye.
NUMBERS = (4, 5, 8, 12, 14)
FISHEYE = 'equidistant'


@lru_cache(maxsize=8)
def lens_shift_px(camera: Intrinsics, coefficients: tuple[float, ...], model: str = '') -> float:
    """How far distortion moves a pixel of the picture's border at most, in px; 0 for no
    coefficients, and for a model that OpenCV does not know. model: as a CameraInfo names it."""
    d = np.array(coefficients, float)
    fisheye = model == FISHEYE and len(d) == 4
    if not d.any() or not np.isfinite(d).all() or not (fisheye or len(d) in NUMBERS):
        return 0.0
    rays = camera.rays()
    border = np.concatenate([rays[0], rays[-1], rays[:, 0], rays[:, -1]]).astype(float)
    seen = border[:, :2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    zero = np.zeros(3)
    if fisheye:
        moved = cv2.fisheye.projectPoints(border[:, None], zero, zero, camera.matrix, d)[0]
    else:
        moved = cv2.projectPoints(border, zero, zero, camera.matrix, d)[0]
    shift = np.linalg.norm(moved.reshape(-1, 2) - seen, axis=1).max()
    return float(shift) if np.isfinite(shift) else float('inf')


def lens_warning(camera: Intrinsics, coefficients: Sequence[float], model: str = '') -> str:
    """The sentence for a picture that is not rectified; empty where none is needed."""
    shift = lens_shift_px(camera, tuple(float(one) for one in coefficients), model)
    if shift < SEEN_PX:
        return ''
    return (
        f"the camera's lens moves pixels by up to {shift:.3g} px (its distortion coefficients),"
        ' which masks bear and poses do not: expected rectified pictures, such as those of'
        ' image_proc'
    )


def pinhole(
    k: Sequence[float], p: Sequence[float]
) -> tuple[tuple[float, float, float, float], bool]:
    """fx, fy, cx, cy of a camera's rectified picture, and whether that differs from the raw one. k:
    its nine numbers of K, row by row; p: the twelve of P, none or zeros where it does not say."""
    raw = k[0], k[4], k[2], k[5]
    if len(p) != 12 or not (p[0] > 0 and p[5] > 0):
        return raw, False
    rectified = p[0], p[5], p[2], p[6]
    # Every frame of a node asks, and NumPy would take ten times as long.
    same = all(isclose(*pair, rel_tol=1e-6, abs_tol=1e-8) for pair in zip(raw, rectified))
    return rectified, not same
