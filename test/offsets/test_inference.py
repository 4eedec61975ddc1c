"""From the dense network's answer to instances, with a network whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.offsets.inference import HeightInference, VoteRule, predict_field, scores_of

SCALES = Scales(0.005, 0.1, 64.0, 4.0)


class Known:
    """A network that answers (K, H, W), whatever it is shown, and keeps what that was."""

    stride, device = 16, torch.device('cpu')

    def __init__(self, answer: np.ndarray, height_votes: bool = False) -> None:
        self.answer, self.config = answer, SimpleNamespace(height_votes=height_votes)

    def __call__(self, image: Tensor) -> Tensor:
        self.shown = image
        rows, columns = image.shape[2:]
        out = torch.full((1, len(self.answer), rows, columns), torch.nan)
        out[0, :, : self.answer.shape[1], : self.answer.shape[2]] = torch.from_numpy(self.answer)
        return out


@pytest.mark.parametrize('edge', [None, -1.0])
def test_a_field_is_the_networks_answer_in_the_pictures_own_pixels(edge):
    answer = np.zeros((4, 10, 21), np.float32)
    answer[0, 3], answer[0, 4], answer[1], answer[2] = 3.0, -3.0, 2.0, -3.5
    answer[3, 5], answer[3, 6] = 9.0, -9.0
    network, image = Known(answer), np.arange(210.0).reshape(10, 21, 1) / 210
    field = predict_field(network, image, edge)
    assert field.shape == (10, 21, 4) and field.dtype == np.float32
    assert field[:, 0, 0][2:5] == pytest.approx([0.5, 1 / (1 + np.exp(-3)), 1 / (1 + np.exp(3))])
    assert field[7, 12, 1:3] == pytest.approx([14, 3.5])
    assert field[4:7, 0, 3] == pytest.approx([1, np.exp(5), np.exp(-3)])
    shown = network.shown[0, 0].numpy()
    assert shown.shape == (16, 32) and np.allclose(shown[:10, :21], image[..., 0])
    if edge is None:
        assert (shown[10:, :21] == shown[9, :21]).all() and (shown[:, 21:] == shown[:, 20:21]).all()
    else:
        assert (shown[10:] == edge).all() and (shown[:, 21:] == edge).all()


def votes_for(places: list[tuple[slice, slice, float, float]], channels: int = 4) -> np.ndarray:
    """The answer (K, 24, 32) in which boxes vote for their centres (x, y), with errors of 1 px."""
    y, x = np.mgrid[:24, :32].astype(np.float32)
    answer = np.zeros((channels, 24, 32), np.float32)
    answer[0] = -8.0
    for rows, columns, at_x, at_y in places:
        answer[0, rows, columns] = 8.0
        answer[1, rows, columns] = (at_x - x)[rows, columns]
        answer[2, rows, columns] = (at_y - y)[rows, columns]
    return answer


BOXES = [(slice(8, 16), slice(4, 12), 7.5, 11.5), (slice(8, 16), slice(12, 20), 15.5, 11.5)]


@pytest.mark.parametrize('zoom', [1, 3, 4])
@pytest.mark.parametrize('cover', [False, True])
def test_parts_that_touch_are_parted_where_their_votes_are(zoom, cover):
    """Two boxes of 8 px side by side, at the field's resolution and at a finer one."""
    answer = votes_for(BOXES)
    answer[3, :, 12:20] = np.log(4.0)
    coarse = 0.05 * (answer[0] > 0)
    # Fragments: one of half a box's area is kept, of a fiftieth dropped.
    coarse[2:6, 4:12], coarse[20, 20] = 0.05, 0.05
    answer[:3, 2:6, 4:12] = votes_for([(slice(2, 6), slice(4, 12), 7.5, 11.5)])[:3, 2:6, 4:12]
    inference = HeightInference(Known(answer), SCALES, VoteRule(cover=cover))
    assert inference.min_height_m == pytest.approx(0.005)
    height = np.kron(coarse, np.ones((zoom, zoom)))
    field = inference.field(coarse)
    assert inference.network.shown.max() == pytest.approx(0.0) and field.shape == (24, 32, 4)
    labels, scores = inference.instances(field, height)
    assert labels.shape == height.shape and len(scores) == 2
    left, right = labels[12 * zoom, 8 * zoom], labels[12 * zoom, 16 * zoom]
    expected = np.zeros((24, 32), int)
    expected[8:16, 4:12], expected[2:6, 4:12], expected[8:16, 12:20] = left, left, right
    # But for corners, which the filter rounds.
    assert (labels != np.kron(expected, np.ones((zoom, zoom)))).sum() <= 12
    assert scores[[left - 1, right - 1]] == pytest.approx([1 / 1.25, 1 / 2], rel=0.1)
    divided, centres = inference.divide(coarse)
    assert np.abs(np.sort(centres[:, 0]) - (7.5, 15.5)).max() < 0.6
    assert np.allclose(centres[:, 1], 11.5, atol=0.2)
    assert divided[12, 8] != divided[12, 16] and divided[20, 20] == 0 == divided[4, 25]


@pytest.mark.parametrize('cover', [False, True])
def test_centres_nearer_than_the_radius_are_two_where_they_are_to_cover_the_votes(cover):
    answer = votes_for(
        [(slice(8, 16), slice(4, 12), 10.5, 11.5), (slice(8, 16), slice(12, 20), 13.5, 11.5)]
    )
    height = 0.05 * (answer[0] > 0)
    inference = HeightInference(Known(answer), SCALES, VoteRule(cover=cover))
    assert len(inference.instances(inference.field(height), height)[1]) == 1 + cover


@pytest.mark.parametrize('height_votes', [False, True])
def test_parts_on_one_another_differ_in_the_height_that_they_vote_for(height_votes):
    """A box of 4 px on the middle of a larger one, their centres one above the other."""
    places = [(slice(6, 18), slice(6, 18), 11.5, 11.5)]
    height = np.zeros((24, 32))
    height[6:18, 6:18], height[8:16, 8:16] = 0.02, 0.05
    inference = HeightInference(
        Known(votes_for(places, 5 if height_votes else 4), height_votes), SCALES
    )
    labels, scores = inference.instances(inference.field(height), height)
    assert len(scores) == 1 + height_votes
    assert (labels[12, 12] != labels[7, 7]) == height_votes and (labels[6:18, 7:17] > 0).all()
    # Votes that lie lower by as much as it is higher meet the others.
    if height_votes:
        answer = votes_for(places, 5)
        answer[3, 8:16, 8:16] = -0.03 / SCALES.pixel_m
        inference = HeightInference(Known(answer, True), SCALES)
        assert len(inference.instances(inference.field(height), height)[1]) == 1


def test_what_the_network_is_sure_is_no_part_is_none_and_what_is_low_is_floor():
    answer = votes_for(BOXES)
    answer[0, 8:16, 4:12] = -2.0
    answer[0, 8:16, 9:12] = -4.0
    height = 0.05 * (votes_for(BOXES)[0] > 0)
    height[8:10] = 0.0049
    inference = HeightInference(Known(answer), SCALES)
    labels, scores = inference.instances(inference.field(height), height)
    # Its votes make no centre, but where it may be a part the depth says that it is.
    assert len(scores) == 1 and labels[11:15, 13:19].all() and labels[11:15, 5:8].all()
    assert not labels[:10].any() and not labels[:, 9:12].any()
    low = HeightInference(Known(answer), SCALES, VoteRule(min_height_m=0.06))
    assert len(low.instances(low.field(height), height)[1]) == 0
    flat = HeightInference(Known(votes_for([])), SCALES)
    labels, scores = flat.instances(flat.field(height), height)
    assert not labels.any() and labels.shape == height.shape and len(scores) == 0


def test_scores_fall_with_the_error_by_the_parts_radius():
    labels = np.array([[1, 1, 0], [3, 3, 0]], np.uint16)
    errors = np.array([[1.0, 3.0, 99.0], [4.0, 4.0, 99.0]])
    assert scores_of(labels, errors, 4.0) == pytest.approx([1 / 1.5, 1, 1 / 2])
    assert len(scores_of(np.zeros((2, 3), np.uint16), errors, 4.0)) == 0
