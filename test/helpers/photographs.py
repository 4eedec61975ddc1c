"""Pictures of one red thing, as photographs are laid out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

RED, GREEN = (200, 30, 30), (30, 120, 30)


def photo(
    path: Path,
    box: tuple[int, int, int, int],
    size: tuple[int, int] = (90, 60),
    mask: Path | None = None,
) -> None:
    """A green picture (width, height) with a red box (left, top, right, bottom), and its mask."""
    left, top, right, bottom = box
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size[1], size[0], 3), GREEN, np.uint8)
    image[top:bottom, left:right] = RED
    cv2.imwrite(str(path), image[..., ::-1])
    if mask is not None:
        mask.parent.mkdir(parents=True, exist_ok=True)
        drawn = np.zeros((size[1], size[0]), np.uint8)
        drawn[top:bottom, left:right] = 255
        cv2.imwrite(str(mask), drawn)


def red(image: np.ndarray) -> np.ndarray:
    """Where a picture is red."""
    return image[..., 0] > 120
