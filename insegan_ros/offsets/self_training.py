"""Self-training: the dense network labels real height maps, and learns from what it is sure of.

A network that was taught by composites or by simulated piles sees real ones. Only those count as
labelled in which it finds the number of parts that is known, or likely, to be there, and finds the
same parts whichever way the picture is turned; or, in bins of many parts, of which some are always
doubtful, those parts alone that it finds again. No label is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from insegan_ros.frame import numbered_anew
from insegan_ros.metrics.masks import honest_miou, iou_matrix
from insegan_ros.offsets.labels import UNSURE

# An instance that covers less, or more, of what a part covers is a sliver, or two parts.
AREAS = 0.3, 1.6

Divide = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def pseudo_labels(
    heights_m: np.ndarray,
    divide: Divide,
    numbers: np.ndarray,
    agreement: float,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers of `divide` (height map in m -> labels, centres) that agree with themselves.

    heights_m (N, S, S); numbers (N, 2), the minimum and the maximum of parts that may be in each.
    An answer is kept if its number is one of these and its mean IoU with the answers for the three
    quarter turns is `agreement` or more. Returns the indices (M,), labels (M, S, S) and centres (M,
    n, 2) px, n the largest number found; the rest of a picture's row is 0.
    """
    kept: list[int] = []
    labels: list[np.ndarray] = []
    centres: list[np.ndarray] = []
    for index, height in enumerate(
        tqdm(heights_m, desc='pseudo-labels', unit='image', disable=not progress)
    ):
        found, centre = divide(height)
        low, high = numbers[index]
        visible = len(np.unique(found[found > 0]))
        if not low <= len(centre) <= high or visible != len(centre):
            continue
        again = _turned_answers(height, divide)
        if np.mean([honest_miou(found, other) for other in again]) >= agreement:
            kept.append(index)
            labels.append(found)
            centres.append(centre)
    return _stacked(kept, labels, centres, heights_m)


class SureInstances(NamedTuple):
    """What a network is sure of: the pictures (M,) with such an instance, their labels (M, S, S)
    with UNSURE pixels, centres (M, n, 2) px, the rest of a picture's row 0; how many instances were
    found in all pictures, sure or not, and how well they agree with themselves on average, 0 to
    1."""

    kept: np.ndarray
    labels: np.ndarray
    centres: np.ndarray
    found: int
    agreement: float

    @property
    def number(self) -> int:
        """How many instances it is sure of."""
        return int(self.labels.max((1, 2)).sum()) if len(self.labels) else 0


def sure_instances(
    heights_m: np.ndarray,
    divide: Divide,
    part_area_px: float,
    floor_m: float,
    agreement: float,
    progress: bool = True,
) -> SureInstances:
    """The instances that `divide` (height map in m -> labels, centres) is sure of, picture by
    picture.

    heights_m (N, S, S); part_area_px, what a part covers: what covers much less or more is not
    kept. An instance is kept if its mean IoU with what is found in its place for the three quarter
    turns is `agreement` or more; all else that stands higher than floor_m is UNSURE.
    """
    every = [np.zeros(0)]
    kept: list[int] = []
    labels: list[np.ndarray] = []
    centres: list[np.ndarray] = []
    for index, height in enumerate(
        tqdm(heights_m, desc='sure instances', unit='image', disable=not progress)
    ):
        found, centre = divide(height)
        areas = np.bincount(found.ravel(), minlength=len(centre) + 1)[1:]
        fit = (areas >= AREAS[0] * part_area_px) & (areas <= AREAS[1] * part_area_px)
        if not fit.any():
            continue
        agreed = agreements(found, len(centre), _turned_answers(height, divide))
        every.append(agreed[fit])
        sure = fit & (agreed >= agreement)
        if sure.any():
            kept.append(index)
            number = numbered_anew(found, sure).astype(np.int64)
            labels.append(np.where((number == 0) & (height > floor_m), UNSURE, number))
            centres.append(centre[sure])
    told = np.concatenate(every)
    mean = float(told.mean()) if len(told) else 0.0
    return SureInstances(*_stacked(kept, labels, centres, heights_m), len(told), mean)


def agreements(found: np.ndarray, count: int, others: Iterable[np.ndarray]) -> np.ndarray:
    """How well each of `count` instances of labels (H, W) is found again in the others, labels (H,
    W) of the same picture: its best IoU, mean over them, (count,); 0 where it has no pixel."""
    ids = np.unique(found[found > 0])
    out = np.zeros(count)
    out[ids - 1] = np.mean([iou_matrix(found, other).max(1, initial=0) for other in others], 0)
    return out


def _turned_answers(height_m: np.ndarray, divide: Divide) -> Iterator[np.ndarray]:
    """The labels (S, S) that are found for the three quarter turns, turned back."""
    for turns in (1, 2, 3):
        yield np.rot90(divide(np.ascontiguousarray(np.rot90(height_m, turns)))[0], -turns)


def _stacked(
    kept: list[int], labels: list[np.ndarray], centres: list[np.ndarray], heights_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers for some of the height maps (N, S, S) as arrays: indices (M,), labels (M, S, S) and
    centres (M, n, 2), the rest of a picture's row 0."""
    slots = max((len(centre) for centre in centres), default=0)
    padded = [np.pad(centre, ((0, slots - len(centre)), (0, 0))) for centre in centres]
    return (
        np.array(kept, int),
        np.array(labels, np.int64).reshape(len(kept), *heights_m.shape[1:]),
        np.array(padded, np.float32).reshape(len(kept), slots, 2),
    )
