"""How good masks with classes are: AP by masks and by boxes, class by class, and semantic mIoU."""

from __future__ import annotations

import numpy as np

from insegan_ros.data.mask_sets import IGNORED, MaskSet
from insegan_ros.metrics.average_precision import class_average_precision


def score_masks(truth: MaskSet, found: MaskSet) -> dict[str, float]:
    """ap25, ap50, ap75 of masks and box_ap50 of their boxes in [0, 1], means over the classes."""
    values = {
        **class_average_precision(truth, found),
        'box_ap50': class_average_precision(truth, found, (0.5,), 'bbox')['ap50'],
    }
    return {name: round(value, 4) for name, value in values.items()}


def semantic_of(masks: MaskSet, index: int) -> np.ndarray:
    """The semantic label (H, W) uint8 of a picture's masks: 0 background, class + 1; IGNORED where
    nobody knows. Where they overlap, the one with the highest score is on top."""
    out = np.zeros(masks.sizes[index], np.uint8)
    if index in masks.void:
        out[masks.void[index]] = IGNORED
    for one in sorted(masks.masks[index], key=lambda mask: mask.score):
        out[one.pixels()] = one.kind + 1
    return out


class Confusion:
    """The confusion matrix of pixels over many pictures, for the mean IoU over the classes and the
    background."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes + 1, classes + 1), np.int64)

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        """Count a picture's true and found labels (H, W): 0 background, class + 1. Where the truth
        is IGNORED nothing counts."""
        size, known = len(self.counts), truth != IGNORED
        self.counts += np.bincount(
            truth[known].astype(int) * size + found[known], minlength=size * size
        ).reshape(size, size)

    def miou(self) -> float:
        """The mean IoU in [0, 1] over the classes that are in the truth or were found, background
        among them."""
        both = np.diag(self.counts)
        either = self.counts.sum(0) + self.counts.sum(1) - both
        return round(float((both[either > 0] / either[either > 0]).mean()), 4)
