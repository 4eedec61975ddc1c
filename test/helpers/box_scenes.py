"""Frames of boxes whose answer is known."""

from __future__ import annotations

import numpy as np

from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.workspace import Workspace

CAMERA = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)
FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


def box_scene(
    intrinsics: Intrinsics,
    boxes: list[tuple[int, int, int, int]],
    floor_m: float = 0.5,
    height_m: float = 0.04,
) -> Frame:
    """A flat floor with flat boxes (left, top, right, bottom) in px on it."""
    depth = np.full((intrinsics.height, intrinsics.width), floor_m, np.float32)
    for left, top, right, bottom in boxes:
        depth[top:bottom, left:right] = floor_m - height_m
    return Frame(depth, intrinsics)


def box_masks(*places: tuple[int, int, int, int], scores: tuple[float, ...] = ()) -> Instances:
    """The masks of boxes (left, top, right, bottom) in px of CAMERA."""
    labels = np.zeros((120, 160), np.uint16)
    for number, (left, top, right, bottom) in enumerate(places, start=1):
        labels[top:bottom, left:right] = number
    return Instances(labels, np.array(scores or (1.0,) * len(places), np.float32))


def blue_and_red() -> tuple[Frame, np.ndarray]:
    """A blue box and a red box of the same height on a grey floor; the mask of the red one."""
    depth, colour = np.full((120, 160), 0.5, np.float32), np.full((120, 160, 3), 120, np.uint8)
    for left, paint in ((30, (20, 20, 230)), (100, (230, 20, 20))):
        depth[40:80, left : left + 30] -= 0.04
        colour[40:80, left : left + 30] = paint
    red = np.zeros((120, 160), bool)
    red[40:80, 100:130] = True
    return Frame(depth, CAMERA, colour), red
