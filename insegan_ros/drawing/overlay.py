"""Instances as a picture: depth in grey, every instance in a colour of its own, outlined."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from scipy.ndimage import find_objects

from insegan_ros.frame import IGNORE


def palette(count: int) -> np.ndarray:
    """(count + 1, 3) uint8 RGB, black first; neighbours in number differ clearly (golden-angle
    hues)."""
    colours = [colorsys.hsv_to_rgb((0.08 + i * 0.61803) % 1, 0.75, 1.0) for i in range(count)]
    return np.array(
        [(0, 0, 0), *((round(r * 255), round(g * 255), round(b * 255)) for r, g, b in colours)],
        np.uint8,
    )


def depth_picture(depth_m: np.ndarray) -> np.ndarray:
    """Depth (H, W) in m as (H, W, 3) uint8 grey: near is bright, no reading is black."""
    valid = np.isfinite(depth_m)
    if not valid.any():
        return np.zeros((*depth_m.shape, 3), np.uint8)
    near, far = np.percentile(depth_m[valid][::16], (0.5, 99.5))
    grey = 255 - 215 * np.clip(
        (np.nan_to_num(depth_m, nan=far) - near) / max(far - near, 1e-6), 0, 1
    )
    return cv2.cvtColor(np.where(valid, grey, 0).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def overlay(
    depth_m: np.ndarray,
    labels: np.ndarray,
    colour: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    numbers: bool = False,
) -> np.ndarray:
    """Depth (H, W) in m as a picture, or the colour image (H, W, 3) where there is one, with the
    instances of labels (H, W) tinted and outlined: (H, W, 3) uint8 RGB. classes: the instances'
    names, written on them; numbers: their labels too, where there is room."""
    picture = depth_picture(depth_m) if colour is None else colour.copy()
    # Tables looked up by label: quicker than a pass an instance.
    labels = np.where(labels == IGNORE, 0, labels)
    colours = palette(int(labels.max(initial=0)))[labels]
    inside = labels > 0
    tinted = cv2.addWeighted(picture, 0.45, colours, 0.55, 0)
    picture[inside] = tinted[inside]
    flat = labels.astype(np.uint16)
    edge = cv2.dilate(flat, np.ones((3, 3), np.uint8)) != cv2.erode(flat, np.ones((3, 3), np.uint8))
    picture[edge] = 255
    if classes or numbers:
        _write_all(picture, labels, classes, numbers)
    return picture


def _write_all(
    picture: np.ndarray, labels: np.ndarray, classes: Sequence[str] | None, numbers: bool
) -> None:
    for number, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        name = classes[number - 1] if classes else ''
        text = ' '.join(filter(None, [str(number) if numbers else '', name]))
        rows, columns = np.nonzero(labels[box] == number)
        place = (rows.mean() + box[0].start, columns.mean() + box[1].start)
        # A name may be wider than its part; a number alone would hide what it is to tell.
        room = None if name else (box[0].stop - box[0].start, box[1].stop - box[1].start)
        _write(picture, text, place, room)


def _write(
    picture: np.ndarray, text: str, place: tuple[float, float], room: tuple[int, int] | None
) -> None:
    """Write a text around a place (row, column), white on black so that it can be read on any
    colour, and within the picture; not where it is larger than its room (height, width) in px."""
    height, width = picture.shape[:2]
    size, thick = max(height / 900, 0.4), max(height // 480, 1)
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    if room is not None and (high > room[0] or wide > room[1]):
        return
    left = int(np.clip(place[1] - wide / 2, 2, max(width - wide - 2, 2)))
    bottom = int(np.clip(place[0] + high / 2, high + 2, max(height - 2, high + 2)))
    for colour, more in (((0, 0, 0), 2), ((255, 255, 255), 0)):
        cv2.putText(
            picture,
            text,
            (left, bottom),
            cv2.FONT_HERSHEY_SIMPLEX,
            size,
            colour,
            thick + more,
            cv2.LINE_AA,
        )


def draw_masks(
    picture: np.ndarray, masks: Iterable[tuple[int, np.ndarray]], classes: int
) -> np.ndarray:
    """(H, W, 3) uint8: a picture with masks (H, W) bool outlined and tinted in the colour of their
    class, a number from 0."""
    out, colours = picture[..., :3].copy(), palette(classes)
    for number, pixels in masks:
        colour = colours[number + 1]
        out[pixels] = (0.5 * out[pixels] + 0.5 * colour).astype(np.uint8)
        edges, _ = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, edges, -1, (255, 255, 255), 1)
    return out
