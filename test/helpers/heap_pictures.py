"""A picture of a heap."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def heap_of_disks(
    path: Path, size: int = 256, width: int = 20, seed: int = 0, depth: int = 8
) -> None:
    """A picture of many equal disks on black."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 10, np.uint8)
    for _ in range(int(0.9 * size * size / width**2)):
        cv2.circle(
            image,
            tuple(int(v) for v in rng.integers(0, size, 2)),
            width // 2,
            (90, 160, int(rng.integers(140, 220))),
            -1,
        )
        cv2.circle(image, (0, 0), 0, (0, 0, 0), -1)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), image if depth == 8 else image.astype(np.uint16) * 200)
