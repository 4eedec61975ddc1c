"""The alternate training's later rounds: the segmenter labels real height maps, and learns from what it is sure of.

A network that was taught by composites sees real piles. Only those count as labelled in which it finds the number of
parts that is known to be there, and finds the same parts whichever way the picture is turned. No label is used.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from insegan_ros.evaluation.metrics import honest_miou

Divide = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def relabel(heights_m: np.ndarray, divide: Divide, instances: int, agreement: float, progress: bool = True
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers of `divide` (height map in m -> labels, centres) that agree with themselves.

    heights_m (N, S, S). An answer is kept if it has `instances` parts and its mean IoU with the answers for the three
    quarter turns is `agreement` or more. Returns the indices (M,), labels (M, S, S) and centres (M, n, 2) px.
    """
    kept, labels, centres = [], [], []
    for index, height in enumerate(tqdm(heights_m, desc='relabel', unit='image', disable=not progress)):
        found, centre = divide(height)
        if len(centre) != instances or len(np.unique(found[found > 0])) != instances:
            continue
        again = (np.rot90(divide(np.ascontiguousarray(np.rot90(height, turns)))[0], -turns) for turns in (1, 2, 3))
        if np.mean([honest_miou(found, other) for other in again]) >= agreement:
            kept.append(index)
            labels.append(found)
            centres.append(centre)
    shape = heights_m.shape[1:]
    return (np.array(kept, int), np.array(labels, np.int64).reshape(-1, *shape), np.array(centres, np.float32).reshape(-1, instances, 2))
