"""Numbers that parts keep from frame to frame while they lie still: masks of consecutive frames,
matched by their overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

# Masks are of one part where they share so much (intersection over union). Below a half, so that a
# part whose mask is cut or spills over in one frame keeps its number; two parts that lie still
# share next to nothing.
MIN_IOU = 0.3
# A part that is not found keeps its number, and its place, for so many frames.
KEEP_FRAMES = 10


@dataclass
class _Track:
    """A part: its number, the pixels of its last mask in the flat image, and for how many frames
    it has not been found."""

    number: int
    pixels: np.ndarray
    missed: int = 0


class Tracker:
    """Tells which instances of a frame are those of the frames before.

    Numbers begin at 1 and are never given twice: one that is gone for good means that its part was
    taken or moved. A picture of another size begins anew, with new numbers.

    >>> tracker, labels = Tracker(), np.zeros((4, 6), np.uint16)
    >>> labels[:, :2], labels[:, 4:] = 1, 2
    >>> tracker.update(labels, 2).tolist()
    [1, 2]
    >>> tracker.update(labels[:, ::-1], 2).tolist()
    [2, 1]
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._shape: tuple[int, ...] = ()
        self._last = 0

    def update(self, labels: np.ndarray, count: int) -> np.ndarray:
        """The numbers (count,) int64 of a frame's instances, in the order of their labels (H, W)
        uint16. One without a pixel has 0."""
        if labels.shape != self._shape:
            self._tracks, self._shape = [], labels.shape
        flat = labels.ravel()
        pixels = _pixels(flat, count)
        numbers = np.zeros(count, np.int64)
        kept = []
        pairs = self._matched(flat, np.array([len(one) for one in pixels]))
        for index, track in enumerate(self._tracks):
            if index in pairs:
                numbers[pairs[index]] = track.number
            elif track.missed + 1 < KEEP_FRAMES:
                kept.append(_Track(track.number, track.pixels, track.missed + 1))
        for label, own in enumerate(pixels):
            if len(own) and not numbers[label]:
                self._last += 1
                numbers[label] = self._last
            if len(own):
                kept.append(_Track(int(numbers[label]), own))
        self._tracks = kept
        return numbers

    def _matched(self, flat: np.ndarray, areas: np.ndarray) -> dict[int, int]:
        """Which instance, by its place, each track is, by its: so that they share most in sum."""
        if not self._tracks or not len(areas):
            return {}
        last = len(areas)
        # What nobody knows (IGNORE) counts as one more.
        shared = np.stack(
            [
                np.bincount(flat[one.pixels].clip(max=last + 1), minlength=last + 2)[1 : last + 1]
                for one in self._tracks
            ]
        )
        own = np.array([len(one.pixels) for one in self._tracks])
        iou = shared / (own[:, None] + areas - shared)
        rows, columns = linear_sum_assignment(iou, maximize=True)
        return {
            int(row): int(column)
            for row, column in zip(rows, columns)
            if iou[row, column] >= MIN_IOU
        }


def _pixels(flat: np.ndarray, count: int) -> list[np.ndarray]:
    """The pixels of each of `count` labels in a flat image, as their places in it."""
    found = np.flatnonzero(flat)
    labels = flat[found]
    order = np.argsort(labels, kind='stable')
    ends = np.searchsorted(labels[order], np.arange(1, count + 2))
    return [found[order[a:b]] for a, b in zip(ends, ends[1:])]
