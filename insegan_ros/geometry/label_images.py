"""Label images (H, W): cleaned, resized, numbered anew, made instances of a frame."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.principal_axes import poses_from_points
from insegan_ros.limits import check_time


def to_instances(
    frame: Frame, window: tuple[int, int, int, int], labels: np.ndarray, scores: np.ndarray
) -> Instances:
    """Instances of the whole image from labels (h, w) of a window (left, top, right, bottom) in px
    and scores (N,), the highest score first; poses are principal axes, see poses_from_points."""
    left, top, right, bottom = window
    order = np.argsort(-scores, kind='stable')
    rank = np.zeros(len(scores) + 1, np.uint16)
    rank[order + 1] = np.arange(1, len(scores) + 1)
    whole = np.zeros(frame.depth_m.shape, np.uint16)
    whole[top:bottom, left:right] = rank[labels]
    return Instances(
        whole, scores[order].astype(np.float32), poses=poses_from_points(frame, whole, len(scores))
    )


def clean(labels: np.ndarray, min_area_px: float) -> np.ndarray:
    """Small filters on labels (H, W): a median that closes single pixels, then fragments smaller
    than min_area_px go. Returns uint16."""
    return drop_fragments(cv2.medianBlur(labels.astype(np.uint16), 3), min_area_px)


def drop_fragments(labels: np.ndarray, min_area_px: float) -> np.ndarray:
    """Labels (H, W) without the pieces of instances that are smaller than min_area_px, numbered
    anew so that no number is left out."""
    out = np.zeros_like(labels)
    count = 0
    for label, box in enumerate(find_objects(labels), start=1):
        check_time()
        if box is None:
            continue
        own = labels[box] == label
        number, pieces = cv2.connectedComponents(own.view(np.uint8), connectivity=8)
        # Most instances are whole, and a count of all pieces takes longer than to find them.
        if number > 2:
            own &= (np.bincount(pieces.ravel()) >= min_area_px)[pieces]
        if np.count_nonzero(own) >= max(min_area_px, 1):
            count += 1
            out[box][own] = count
    return out


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask (H, W) bool; an empty mask stays one."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    if count < 2:
        return mask
    return pieces == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


def points(height: np.ndarray, pixel_m: tuple[float, float]) -> np.ndarray:
    """The points (H, W, 3) float32 in m as (x, y, height) of a height map (H, W) in m, whose pixels
    are pixel_m = (x, y) wide and high."""
    y, x = np.mgrid[: height.shape[0], : height.shape[1]]
    return np.stack([(x + 0.5) * pixel_m[0], (y + 0.5) * pixel_m[1], height], -1).astype(np.float32)


def nearest_resize(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) at another resolution `shape` (H, W), by the nearest pixel."""
    rows = np.minimum(
        (np.arange(shape[0]) + 0.5) * labels.shape[0] / shape[0], labels.shape[0] - 1
    ).astype(int)
    columns = np.minimum(
        (np.arange(shape[1]) + 0.5) * labels.shape[1] / shape[1], labels.shape[1] - 1
    ).astype(int)
    return labels[rows[:, None], columns[None]]


def fill_foreground(labels: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Labels (h, w), 0 = none, brought to a foreground (H, W): every pixel of it takes the nearest
    label that there is."""
    if not labels.any():
        return np.zeros(foreground.shape, np.uint16)
    rows, columns = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    filled = nearest_resize(labels[rows, columns], foreground.shape)
    return np.where(foreground, filled, 0).astype(np.uint16)
