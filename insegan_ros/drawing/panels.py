"""Pictures side by side with a line of text above each: scenes of an evaluation, sheets of a
training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from insegan_ros.drawing.overlay import overlay
from insegan_ros.files import write_png

# Side of each picture in a sheet, in px.
SIDE = 168


def compared(title: str, depth_m: np.ndarray, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """One scene as a picture (h, W, 3) uint8 RGB: depth (H, W) in m, found and true labels (H, W)
    below each other, each with a line of text above."""
    panels = {f'{title}: depth': np.zeros_like(truth), 'found': found, 'truth': truth}
    return np.vstack([titled(text, overlay(depth_m, labels)) for text, labels in panels.items()])


def titled(title: str, panel: np.ndarray) -> np.ndarray:
    """A panel (H, W, 3) uint8 with a line of text above it, (H + 30, W, 3)."""
    bar = np.full((30, panel.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, title, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([bar, panel])


def sheet(rows: list[dict[str, np.ndarray]], path: Path) -> None:
    """Write rows of pictures (H, W, 3) uint8 RGB as PNG, each made SIDE px wide and high, the names
    of the first row above the columns."""

    def square(cell: np.ndarray) -> np.ndarray:
        return cv2.resize(cell, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)

    lines = [np.hstack([square(cell) for cell in row.values()]) for row in rows]
    above = np.hstack([titled(name, np.zeros((0, SIDE, 3), np.uint8)) for name in rows[0]])
    write_png(path, np.vstack([above, *lines]))
