"""Masks by hand."""

from __future__ import annotations

import numpy as np

from insegan_ros.data.mask_sets import Mask, MaskSet


def square(left: int, top: int, side: int = 20) -> np.ndarray:
    out = np.zeros((60, 80), bool)
    out[top : top + side, left : left + side] = True
    return out


def one_picture(*masks: Mask) -> MaskSet:
    return MaskSet(('nut', 'bolt'), ((60, 80),), (masks,))


def mask_iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()
