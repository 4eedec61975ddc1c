"""Self-training: the dense network labels real height maps, and learns from what it is sure of.

A network that was taught by composites sees real piles. Only those count as labelled in which it
finds the number of parts that is known, or likely, to be there, and finds the same parts whichever
way the picture is turned. No label is used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from insegan_ros.metrics.masks import honest_miou

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
        again = (
            np.rot90(divide(np.ascontiguousarray(np.rot90(height, turns)))[0], -turns)
            for turns in (1, 2, 3)
        )
        if np.mean([honest_miou(found, other) for other in again]) >= agreement:
            kept.append(index)
            labels.append(found)
            centres.append(centre)
    slots = max((len(centre) for centre in centres), default=0)
    padded = [np.pad(centre, ((0, slots - len(centre)), (0, 0))) for centre in centres]
    return (
        np.array(kept, int),
        np.array(labels, np.int64).reshape(len(kept), *heights_m.shape[1:]),
        np.array(padded, np.float32).reshape(len(kept), slots, 2),
    )
