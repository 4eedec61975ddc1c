"""Boxes that lie askew. A box is (x1, y1, x2, y2) px, or these and an angle in rad, (5,): the same
box turned about its own centre, from x to y."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Pieces whose longer axis is less than this times the shorter are round: they have no angle.
ROUND = 1.2


def relative_to(box: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far points x, y px (any shape) are from a box's centre along its two sides, in half
    boxes: up to 1 is within."""
    x1, y1, x2, y2, *angle = box
    across, down = 2 * x - x1 - x2, 2 * y - y1 - y2
    if angle:
        cos, sin = np.cos(angle[0]), np.sin(angle[0])
        across, down = cos * across + sin * down, cos * down - sin * across
    return np.abs(across) / max(x2 - x1, 1), np.abs(down) / max(y2 - y1, 1)


def within_box(box: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which of the points x, y px lie in a box, its sides included."""
    if len(box) == 4:
        x1, y1, x2, y2 = box
        return (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
    across, down = relative_to(box, x, y)
    return (across <= 1) & (down <= 1)


def upright(boxes: np.ndarray) -> np.ndarray:
    """The upright boxes (N, 4) px around boxes (N, 4) or (N, 5)."""
    if boxes.shape[-1] == 4:
        return boxes
    cos, sin = np.abs(np.cos(boxes[:, 4])), np.abs(np.sin(boxes[:, 4]))
    middle, size = (boxes[:, :2] + boxes[:, 2:4]) / 2, boxes[:, 2:4] - boxes[:, :2]
    width, height = size.T
    half = np.stack([width * cos + height * sin, width * sin + height * cos], 1) / 2
    return np.concatenate([middle - half, middle + half], 1)


def principal_angle(pixels: np.ndarray) -> float:
    """By how much, in rad from -π/4 to π/4, the principal axes of pixels (H, W) bool are turned
    against the picture's; 0 for what is round."""
    y, x = np.nonzero(pixels)
    if len(x) < 3:
        return 0.0
    (short, long), axes = np.linalg.eigh(np.cov(np.stack([x, y])))
    # A pixel itself has a variance of 1/12.
    if long + 1 / 12 < ROUND**2 * (short + 1 / 12):
        return 0.0
    angle = np.arctan2(axes[1, 1], axes[0, 1])
    return float((angle + np.pi / 4) % (np.pi / 2) - np.pi / 4)


@dataclass(frozen=True)
class TurnedFrame:
    """A square of `side` px whose centre is the pixel corner `pivot` (2,) of a picture, and whose
    sides are turned by `angle` rad against the picture's."""

    pivot: np.ndarray
    angle: float
    side: int

    @property
    def _turn(self) -> np.ndarray:
        """From the frame's directions to the picture's."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) px of the picture in the frame."""
        return (points - self.pivot) @ self._turn + self.side / 2

    def map(self, image: np.ndarray) -> np.ndarray:
        """What of a picture (H, W) the frame shows, (side, side); 0 outside of it."""
        turn = self._turn.T
        # OpenCV's pixel i has its centre at i, ours at i + .5.
        shift = self.points(np.full(2, 0.5)) - 0.5
        matrix = np.concatenate([turn, shift[:, None]], 1)
        return cv2.warpAffine(image, matrix, (self.side, self.side), flags=cv2.INTER_LINEAR)

    def bounds(self, pixels: np.ndarray) -> np.ndarray:
        """The box (4,) px in the frame around pixels (H, W) bool of the picture."""
        y, x = np.nonzero(pixels)
        placed = self.points(np.stack([x, y], 1) + 0.5)
        return np.concatenate([placed.min(0) - 0.5, placed.max(0) + 0.5])

    def back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) px of the frame in the picture, (..., 5)."""
        middle, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
        centre = (middle - self.side / 2) @ self._turn.T + self.pivot
        angle = np.full((*boxes.shape[:-1], 1), self.angle)
        return np.concatenate([centre - half, centre + half, angle], -1)


def frame_of(box: np.ndarray, piece: np.ndarray, side: int) -> TurnedFrame:
    """The frame about a box (4,) px in the principal axes of a piece (H, W) bool."""
    pivot = np.round([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    return TurnedFrame(pivot, principal_angle(piece), side)


def piece_in(own: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Of what is of a class, own (H, W) bool, the connected piece that most of a box (4,) px is
    of; nothing where it holds none."""
    _, pieces = cv2.connectedComponents(own.astype(np.uint8), connectivity=4)
    counts = np.bincount(pieces[part_in(own, box)], minlength=2)
    counts[0] = 0
    best = int(counts.argmax())
    return (pieces == best) & bool(counts[best])


def part_in(piece: np.ndarray, box: np.ndarray) -> np.ndarray:
    """What of a piece (H, W) bool lies in a box (4,) px."""
    y, x = np.indices(piece.shape) + 0.5
    return piece & within_box(box, x, y)
