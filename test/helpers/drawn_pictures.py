"""Pictures of one checked disk each, and foreground recipes of seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from insegan_ros.engine.loop import LoopConfig
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.foreground.independence_recipe import (
    IndependenceGanConfig,
    TrainIndependenceConfig,
)
from insegan_ros.methods.foreground.layered import LayeredConfig
from insegan_ros.methods.foreground.layered_recipe import LayeredGanConfig, TrainLayeredGanConfig
from insegan_ros.methods.foreground.network import ForegroundConfig
from insegan_ros.methods.foreground.stage import ForegroundTrainConfig

UNET = ForegroundTrainConfig(ForegroundConfig(8, 3), steps=4, batch=4, validate_every=4)


LOOP = LoopConfig(device='cpu', save_every=2)


def draw(count: int, size: int, seed: int, objects: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures (N, S, S, 3), each with a checked disk of the same mean grey on it; their
    masks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = np.clip(
        128 + rng.normal(0, 6, (count, size, size, 3)) + rng.uniform(-25, 25, (count, 1, 1, 1)),
        0,
        255,
    )
    masks = np.zeros((count, size, size), bool)
    for image, mask in zip(images, masks):
        middle, radius = rng.uniform(0.3 * size, 0.7 * size, 2), rng.uniform(0.16, 0.24) * size
        mask |= (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
        if objects:
            image[mask] = (image.mean() + np.where((x // 3 + y // 3) % 2, 55, -55)[mask])[:, None]
    return images.astype(np.uint8), masks


def layered(data: Path, out: Path) -> TrainLayeredGanConfig:
    """A recipe of seconds."""
    return TrainLayeredGanConfig(
        data=str(data),
        out=str(out),
        rounds=2,
        generator=LayeredConfig(size=32, z=8, codes=12, group=3, width=8),
        gan=LayeredGanConfig(steps=4, batch=4, discriminator_width=8, snapshots=4),
        unet=UNET,
        loop=LOOP,
    )


def independence(data: Path, empty: Path, out: Path) -> TrainIndependenceConfig:
    """A recipe of seconds."""
    return TrainIndependenceConfig(
        data=str(data),
        backgrounds=str(empty),
        out=str(out),
        size=32,
        provider=UNET.network,
        gan=IndependenceGanConfig(steps=4, batch=4, discriminator_width=8),
        student=UNET,
        loop=LOOP,
    )


def frame(seed: int = 1) -> Frame:
    """A colour picture of 64x48 without depth."""
    image = cv2.resize(draw(1, 32, seed)[0][0], (64, 48))
    return Frame(
        np.full((48, 64), np.nan, np.float32), Intrinsics(60, 60, 31.5, 23.5, 64, 48), image
    )


SMALL_LAYERED = LayeredConfig(size=32, z=8, codes=12, group=3, width=8)
