"""How good instance masks are. Labels are (H, W) integers, 0 = background."""
from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def iou_matrix(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(T, P) intersection over union of every true with every predicted instance that has a pixel."""
    true_ids, true_flat = np.unique(truth, return_inverse=True)
    pred_ids, pred_flat = np.unique(predicted, return_inverse=True)
    shape = len(true_ids), len(pred_ids)
    counts = np.bincount(true_flat.ravel() * shape[1] + pred_flat.ravel(), minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    union = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    return (counts / union)[true_ids > 0][:, pred_ids > 0]


def honest_miou(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean IoU over the visible true instances, matched one to one (Hungarian); an unmatched one counts 0.

    NaN where the truth has no instance.
    """
    iou = iou_matrix(truth, predicted)
    if iou.shape[0] == 0:
        return float('nan')
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return float(iou[rows, columns].sum() / iou.shape[0])


def paper_miou(truth: np.ndarray, predicted: np.ndarray) -> float:
    """InSeGAN's protocol: the best IoU of every true instance, predictions cut to the true foreground, duplicates allowed.

    It flatters (a random Voronoi partition has about .44): quote it beside honest_miou only.
    """
    iou = iou_matrix(truth, np.where(truth > 0, predicted, 0))
    if iou.shape[0] == 0:
        return float('nan')
    return float(iou.max(1, initial=0).mean())


def foreground_iou(truth: np.ndarray, predicted: np.ndarray) -> float:
    """IoU of everything that is not background."""
    union = ((truth > 0) | (predicted > 0)).sum()
    return float(((truth > 0) & (predicted > 0)).sum() / union) if union else float('nan')


def count_error(truth: np.ndarray, predicted: np.ndarray) -> int:
    """Predicted minus true number of visible instances."""
    return int(len(np.unique(predicted[predicted > 0])) - len(np.unique(truth[truth > 0])))
