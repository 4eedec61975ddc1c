"""Measures of masks on squares whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import adjusted_rand_score

from insegan_ros.metrics.masks import (
    count_error,
    foreground_iou,
    foreground_scores,
    honest_miou,
    iou_matrix,
    paper_miou,
)


def two_squares():
    truth = np.zeros((40, 40), np.uint16)
    truth[5:15, 5:15], truth[5:15, 20:30] = 1, 2
    return truth


def test_equal_labels_score_one_whatever_their_numbers():
    truth = two_squares()
    renumbered = np.where(truth > 0, 9 - truth, 0)
    assert (
        honest_miou(truth, renumbered)
        == paper_miou(truth, renumbered)
        == foreground_iou(truth, renumbered)
        == 1.0
    )


def test_one_prediction_serves_one_truth_only_in_the_honest_protocol():
    truth = two_squares()
    merged = (truth > 0).astype(np.uint16)
    assert iou_matrix(truth, merged).tolist() == [[0.5], [0.5]]
    assert honest_miou(truth, merged) == 0.25
    assert paper_miou(truth, merged) == 0.5
    assert count_error(truth, merged) == -1


def test_the_papers_protocol_forgives_spilt_background():
    truth = two_squares()
    distance, index = distance_transform_edt(truth == 0, return_indices=True)
    dilated = np.where(distance <= 2, truth[tuple(index)], 0)
    assert paper_miou(truth, dilated) == 1.0
    assert honest_miou(truth, dilated) < 0.6


def test_nothing_found_scores_zero():
    assert honest_miou(two_squares(), np.zeros((40, 40), np.uint16)) == 0
    assert paper_miou(two_squares(), np.zeros((40, 40), np.uint16)) == 0


def test_an_empty_truth_has_no_score():
    assert np.isnan(honest_miou(np.zeros((4, 4), int), np.zeros((4, 4), int)))
    assert foreground_iou(two_squares(), np.roll(two_squares(), 5, 1)) == pytest.approx(100 / 300)


def test_foreground_scores_of_a_half_found_square():
    truth, found = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    truth[:4, :5], found[:2, :5] = True, True
    scores = foreground_scores(truth, found)
    assert scores['iou'] == 0.5 and scores['acc'] == 0.9 and scores['msc'] == 0.5
    assert scores['miou'] == pytest.approx((0.5 + 80 / 90) / 2)
    assert scores['ari'] == pytest.approx(adjusted_rand_score(truth.ravel(), found.ravel()))
    perfect = foreground_scores(truth, truth)
    nothing = foreground_scores(truth, np.zeros_like(truth))
    assert (
        set(perfect.values()) == {1.0}
        and nothing['iou'] == 0
        and nothing['ari'] == pytest.approx(0)
    )
    # Swapped sides are the same partition, but not the same foreground.
    swapped = foreground_scores(truth, ~truth)
    assert (
        swapped['ari'] == 1 and swapped['msc'] == 1 and swapped['iou'] == 0 and swapped['acc'] == 0
    )
    assert foreground_scores(np.zeros_like(truth), np.zeros_like(truth))['iou'] == 1
