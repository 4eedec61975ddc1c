"""How good instance masks are. truth and predicted are labels (H, W) of integers, 0 =
background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from insegan_ros.frame import IGNORE, Instances, counted


def iou_matrix(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Intersection over union (T, P) of every true with every predicted instance that has a pixel,
    of labels (H, W)."""
    true_ids, true_flat = np.unique(truth, return_inverse=True)
    pred_ids, pred_flat = np.unique(predicted, return_inverse=True)
    shape = len(true_ids), len(pred_ids)
    counts = (
        np.bincount(true_flat.ravel() * shape[1] + pred_flat.ravel(), minlength=shape[0] * shape[1])
        .reshape(shape)
        .astype(float)
    )
    union = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    return (counts / union)[true_ids > 0][:, pred_ids > 0]


def numbered_as(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Found labels (H, W) with the numbers of the true instances that they are, matched one to one
    by their overlap; those that are none of them come after."""
    # What nobody knows is no part, and its number has none above it.
    truth = np.where(truth == IGNORE, 0, truth)
    true_ids, found_ids = (np.unique(labels[labels > 0]) for labels in (truth, found))
    iou = iou_matrix(truth, found)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    number = {
        int(found_ids[column]): int(true_ids[row])
        for row, column in zip(rows, columns)
        if iou[row, column] > 0
    }
    others = [int(one) for one in found_ids if int(one) not in number]
    number |= {one: int(truth.max(initial=0)) + place for place, one in enumerate(others, 1)}
    table = np.zeros(int(found.max(initial=0)) + 1, np.uint16)
    for one, new in number.items():
        table[one] = new
    return table[found]


def honest_miou(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean IoU in [0, 1] over the visible true instances, matched one to one (Hungarian); an
    unmatched one counts 0.

    NaN where the truth has no instance.
    """
    iou = iou_matrix(truth, predicted)
    if iou.shape[0] == 0:
        return float('nan')
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return float(iou[rows, columns].sum() / iou.shape[0])


def paper_miou(truth: np.ndarray, predicted: np.ndarray) -> float:
    """InSeGAN's protocol: the best IoU of every true instance, predictions cut to the true
    foreground, duplicates allowed.

    It flatters (a random Voronoi partition has about .44): quote it beside honest_miou only.
    """
    return covering(truth, np.where(truth > 0, predicted, 0))


def covering(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean segmentation covering in [0, 1] (Engelcke et al., GENESIS, without weights): the best
    IoU that any predicted instance has with every true one, duplicates allowed; NaN where the truth
    has no instance."""
    iou = iou_matrix(truth, predicted)
    return float(iou.max(1, initial=0).mean()) if len(iou) else float('nan')


def foreground_rand(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Adjusted Rand index of the true instances' pixels (Hubert and Arabie, 1985), as Slot
    Attention is judged: 1 for the true partition, 0 for chance; what is predicted of the floor
    does not count. NaN where the truth has no instance."""
    inside = truth > 0
    return _adjusted_rand(truth[inside], predicted[inside]) if inside.any() else float('nan')


def foreground_iou(truth: np.ndarray, predicted: np.ndarray) -> float:
    """IoU in [0, 1] of everything that is not background; NaN where both are empty."""
    union = ((truth > 0) | (predicted > 0)).sum()
    return float(((truth > 0) & (predicted > 0)).sum() / union) if union else float('nan')


def count_error(truth: np.ndarray, predicted: np.ndarray) -> int:
    """The number of instances that are predicted, less the number of visible true ones."""
    return int(len(np.unique(predicted[predicted > 0])) - len(np.unique(truth[truth > 0])))


def foreground_scores(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """What the foreground papers quote, of two masks (H, W) bool: `acc`, share of pixels that are
    right; `iou` of the foreground; `miou`, mean IoU of foreground and background; `ari`, adjusted
    Rand index of the two-way partitions (Hubert and Arabie, 1985); `msc`, mean segmentation
    covering (Engelcke et al., GENESIS: the best IoU that any found segment has with the true
    object). A foreground that is empty in both counts 1."""
    both, either = int((truth & found).sum()), int((truth | found).sum())
    neither, size = truth.size - either, truth.size
    iou = both / either if either else 1.0
    background = neither / (size - both) if size > both else 1.0
    inverted = (truth & ~found).sum() / (truth | ~found).sum() if (truth | ~found).any() else 0.0
    return {
        'acc': (both + neither) / size,
        'iou': iou,
        'miou': (iou + background) / 2,
        'ari': _adjusted_rand(truth.ravel(), found.ravel()),
        'msc': max(iou, float(inverted)),
    }


def _adjusted_rand(truth: np.ndarray, found: np.ndarray) -> float:
    # Nodes read this module, and scikit-learn takes a second to import.
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(truth, found))


@dataclass(frozen=True)
class SceneScore:
    """One scene's measures, as the functions of these names give them."""

    honest_miou: float
    paper_miou: float
    foreground_iou: float
    count_error: int


def score(truth: Instances, found: Instances) -> SceneScore:
    """All measures of one scene: its true instances and those that were found, of one size. Pixels
    that the truth ignores count neither way."""
    true, own = counted(truth.labels, found.labels)
    return SceneScore(
        honest_miou(true, own),
        paper_miou(true, own),
        foreground_iou(true, own),
        count_error(true, own),
    )


# A part of which so much is seen can be asked for; less of it is another's to hide.
SEEN = 0.5


@dataclass(frozen=True)
class SeenScore:
    """One scene of a deep bin, its instances matched one to one (Hungarian). ious (N,): of every
    true part of which half or more is seen, 0 where none was matched; predicted: instances found;
    right: those that match any part with an IoU of .5 or more."""

    ious: np.ndarray
    predicted: int
    right: int


def score_seen(truth: Instances, visible: np.ndarray, found: np.ndarray) -> SeenScore:
    """The parts that can be seen, told from what is found, labels (H, W). visible (N,): the share
    of every true part that is seen, as visible_fractions gives it."""
    labels, found = counted(truth.labels, found)
    present = np.unique(labels[labels > 0])
    iou = iou_matrix(labels, found)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    best = np.zeros(len(present))
    best[rows] = iou[rows, columns]
    return SeenScore(best[visible[present - 1] >= SEEN], iou.shape[1], int((best >= 0.5).sum()))


def seen_summary(scenes: Sequence[SeenScore]) -> dict[str, float]:
    """Over all scenes, of the parts of which half or more is seen: `seen_miou`, mean IoU;
    `found50`, `found75`, shares of them with an IoU of .5 and .75 or more. `precision`: the share
    of what is found that is a part, with an IoU of .5 or more."""
    ious = np.concatenate([one.ious for one in scenes])
    predicted = sum(one.predicted for one in scenes)
    return {
        'seen_miou': float(ious.mean()),
        'found50': float((ious >= 0.5).mean()),
        'found75': float((ious >= 0.75).mean()),
        'precision': sum(one.right for one in scenes) / max(predicted, 1),
    }
