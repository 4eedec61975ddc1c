"""The patches of one picture that the HOC learner is trained on, and a drawing of their size."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from insegan_ros.errors import DatasetError

# A picture of fewer windows shows too few objects to tell one from its neighbours.
MIN_WINDOWS = 12


def draw_size(pixels: np.ndarray, size_px: float, window_px: float) -> np.ndarray:
    """The picture (H, W, C) in [-1, 1] as (H, W, 3) uint8, with circles as wide as an object is
    taken to be and squares as wide as a patch; both widths in px."""
    shown = pixels if pixels.shape[-1] == 3 else np.repeat(pixels[..., -1:], 3, -1)
    picture = np.ascontiguousarray(((np.clip(shown, -1, 1) + 1) * 127.5).astype(np.uint8))
    height, width = picture.shape[:2]
    for x, y in ((0.5, 0.5), (0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        column, row, half = int(x * width), int(y * height), int(window_px / 2)
        radius = max(int(size_px / 2), 1)
        cv2.circle(picture, (column, row), radius, (255, 60, 60), 2, cv2.LINE_AA)
        first, last = (column - half, row - half), (column + half, row + half)
        cv2.rectangle(picture, first, last, (60, 160, 255), 2)
    return picture


def cut_patches(pixels: np.ndarray, window_px: float, size: int, count: int, seed: int) -> Tensor:
    """Random windows of a picture (H, W, C), window_px wide, resized to `size` px: (count, C, size,
    size) float32. Raises DatasetError where the picture holds too few of them."""
    height, width = pixels.shape[:2]
    fitting = int(height * width / window_px**2) if min(height, width) >= window_px else 0
    if fitting < MIN_WINDOWS:
        raise DatasetError(
            f'a picture of {width}x{height} px holds {fitting} windows of {window_px:.0f} px side'
            f' by side: expected {MIN_WINDOWS} or more; give a larger picture, or a smaller'
            ' --instance_px'
        )
    scale = size / window_px
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=interpolation)
    small = small.reshape(*small.shape[:2], -1)
    rng = np.random.default_rng(seed)
    top, left = (rng.integers(0, max(edge - size, 0) + 1, count) for edge in small.shape[:2])
    patches = [small[y : y + size, x : x + size].transpose(2, 0, 1) for y, x in zip(top, left)]
    return torch.from_numpy(np.stack(patches))
