"""Measures of masks on squares whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import adjusted_rand_score

from insegan_ros.frame import IGNORE, Instances
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.masks import (
    count_error,
    covering,
    foreground_iou,
    foreground_rand,
    foreground_scores,
    honest_miou,
    iou_matrix,
    numbered_as,
    paper_miou,
    score,
    score_seen,
    seen_summary,
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


def test_covering_takes_what_lies_on_the_floor_into_account_and_rand_does_not():
    truth = two_squares()
    one_takes_all = np.ones_like(truth)
    assert foreground_rand(truth, truth) == covering(truth, truth) == 1
    assert covering(truth, one_takes_all) == 100 / truth.size
    assert foreground_rand(truth, one_takes_all) == 0
    grown = np.where(truth, truth, 1)
    assert foreground_rand(truth, grown) == 1
    assert covering(truth, grown) == pytest.approx((100 / (truth.size - 100) + 1) / 2)
    halves = truth * 2 - (np.arange(40) % 2)[:, None] * (truth > 0)
    inside = truth > 0
    expected = adjusted_rand_score(truth[inside], halves[inside])
    assert foreground_rand(truth, halves) == pytest.approx(expected) and covering(
        truth, halves
    ) == pytest.approx(0.5)
    assert np.isnan(foreground_rand(0 * truth, truth)) and np.isnan(covering(0 * truth, truth))


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


def test_what_is_asked_for_are_the_parts_that_can_be_seen():
    """One found whole, one to six tenths, a sliver that nobody asks for, one that is invented."""
    labels = np.zeros((40, 40), np.uint16)
    labels[5:15, 5:15], labels[5:15, 20:30], labels[30, 30:34] = 1, 2, 4
    found = np.where(labels == 1, 7, 0)
    found[5:15, 20:26], found[35:38, 5:8] = 3, 9
    # The third is hidden altogether.
    visible = np.array([1.0, 0.5, 0.0, 0.1])
    one = score_seen(Instances(labels, np.ones(4, np.float32)), visible, found)
    assert one.ious == pytest.approx([1.0, 0.6]) and (one.predicted, one.right) == (3, 2)
    none = score_seen(Instances(labels, np.ones(4, np.float32)), visible, np.zeros_like(labels))
    assert none.ious.tolist() == [0.0, 0.0] and (none.predicted, none.right) == (0, 0)
    summary = seen_summary([one, none])
    assert summary == pytest.approx(
        {'seen_miou': 0.4, 'found50': 0.5, 'found75': 0.25, 'precision': 2 / 3}
    )


def test_ignored_pixels_count_neither_way():
    truth, found = np.zeros((10, 10), np.uint16), np.zeros((10, 10), np.uint16)
    truth[:4, :4], truth[6:] = 1, IGNORE
    found[:4, :4], found[6:8, :5], found[8:, 5:] = 1, 2, 3
    same = np.where(truth == IGNORE, 0, truth)
    true, own, answer = (Instances(one, np.ones(3, np.float32)) for one in (truth, same, found))
    told = score(true, answer)
    assert (told.honest_miou, told.foreground_iou, told.count_error) == (1.0, 1.0, 0)
    assert score(own, answer).count_error == 2
    assert average_precision([true], [answer])['ap50'] == pytest.approx(1.0)
    # The surest answer lies where nothing is known: it is no false alarm.
    sure = replace(answer, scores=np.array([0.5, 0.9, 0.9], np.float32))
    assert average_precision([true], [sure])['ap50'] == pytest.approx(1.0)
    assert average_precision([own], [sure])['ap50'] < 0.7


def test_the_same_part_has_the_same_number_wherever_it_is_drawn():
    truth = np.zeros((4, 12), np.uint16)
    truth[:, 0:3], truth[:, 3:6], truth[:, 6:9] = 1, 2, 3
    found = np.zeros_like(truth)
    found[:, 0:3], found[:, 4:6], found[:, 3:4], found[:, 10:11] = 4, 1, 2, 3
    numbered = numbered_as(truth, found)
    # A second piece of part 2 and what is no part come after the true numbers; part 3 is missed.
    assert numbered[0].tolist() == [1, 1, 1, 4, 2, 2, 0, 0, 0, 0, 5, 0]
    truth[:, 9:] = IGNORE
    assert np.array_equal(numbered_as(truth, found), numbered)
