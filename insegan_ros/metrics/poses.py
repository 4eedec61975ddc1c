"""How good 6-DoF poses are (BOP's measures). Poses are (4, 4) object to camera, lengths in
metres."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from insegan_ros.data.scene import visible_fractions
from insegan_ros.frame import Instances
from insegan_ros.metrics.masks import iou_matrix


def transform(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 3) under a pose (4, 4)."""
    return points @ pose[:3, :3].T + pose[:3, 3]


def add_s(truth: np.ndarray, found: np.ndarray, points: np.ndarray) -> float:
    """ADD-S (Hinterstoisser et al., 2012): mean distance of the model's points (N, 3) under one
    pose to the nearest under the other, in their unit."""
    return float(cKDTree(transform(found, points)).query(transform(truth, points))[0].mean())


def mssd(truth: np.ndarray, found: np.ndarray, points: np.ndarray, symmetries: np.ndarray) -> float:
    """Maximum symmetry-aware surface distance (Hodan et al., 2020): the largest distance of a
    point of points (N, 3), in their unit, for the best of the symmetries (S, 3, 3), the identity
    among them."""
    moved = transform(found, points)
    return float(
        min(
            np.linalg.norm(transform(truth, points @ symmetry.T) - moved, axis=1).max()
            for symmetry in symmetries
        )
    )


def errors_of(
    truth: Instances, found: Instances, points: np.ndarray, diameter: float
) -> list[float]:
    """ADD-S in diameters of every true instance that is found (IoU of half or more) and, where
    amodal masks tell, seen by half or more; none where true poses are not known."""
    if truth.poses is None or found.poses is None:
        return []
    visible = visible_fractions(truth) if truth.amodal is not None else np.ones(len(truth))
    return [
        add_s(truth.poses[true], found.poses[own], points) / diameter
        for true, own in match(truth.labels, found.labels)
        if visible[true] >= 0.5
    ]


def match(truth: np.ndarray, predicted: np.ndarray, min_iou: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (true instance, predicted instance), from 0, of labels (H, W), one to one and with IoU
    of min_iou or more."""
    iou = iou_matrix(truth, predicted)
    true_ids, found_ids = (np.unique(labels[labels > 0]) - 1 for labels in (truth, predicted))
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return [
        (int(true_ids[r]), int(found_ids[c])) for r, c in zip(rows, columns) if iou[r, c] >= min_iou
    ]
