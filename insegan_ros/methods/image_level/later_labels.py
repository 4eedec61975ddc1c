"""The semantic labels of CCGR's later rounds, made of the masks that its instance branch found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from insegan_ros.data.mask_sets import Mask
from insegan_ros.methods.image_level.dense_crf import Edges

# How sure a pixel of a label is of its class where labels are laid along a picture's edges.
SURE = 0.7


def union_of(found: Sequence[Mask], size: tuple[int, int]) -> np.ndarray:
    """The semantic label (H, W) uint8 of all masks of a class together: 0 background, class + 1.
    Where classes overlap, the one with the highest score."""
    out = np.zeros(size, np.uint8)
    for one in sorted(found, key=lambda mask: mask.score):
        out[one.pixels()] = one.kind + 1
    return out


def keep_unfound(label: np.ndarray, before: np.ndarray, present: np.ndarray) -> np.ndarray:
    """A label (H, W) in which the classes that are in the picture, present (K,) bool, and not in
    the label have the pixels of the label before (H, W), where nothing else is found."""
    unfound = [number for number in np.flatnonzero(present) + 1 if not (label == number).any()]
    return np.where((label == 0) & np.isin(before, unfound), before, label)


def along_edges(label: np.ndarray, edges: Edges) -> np.ndarray:
    """A label (H, W) moved to the picture's edges."""
    numbers = np.union1d(label, [0]).astype(np.uint8)
    if len(numbers) < 2:
        return label
    rest = (1 - SURE) / (len(numbers) - 1)
    scores = np.where(label == numbers[:, None, None], SURE, rest).astype(np.float32)
    return numbers[edges(scores)]
