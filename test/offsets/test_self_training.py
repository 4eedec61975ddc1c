"""The network labels real height maps: only what agrees with itself is learnt from, and turns with
its picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.labels import UNSURE
from insegan_ros.offsets.self_training import agreements, pseudo_labels, sure_instances
from insegan_ros.offsets.stage import offset_loss, offset_targets


def truth_of(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A perfect segmenter of height maps whose parts have the heights 0.1, 0.2, 0.3."""
    labels = np.rint(height * 10).astype(np.uint16)
    ids = [i for i in (1, 2, 3) if (labels == i).any()]
    middle = np.array([np.argwhere(labels == i).mean(0)[::-1] for i in ids], np.float32)
    return labels, middle


def three(height: float = 0.3) -> np.ndarray:
    image = np.zeros((64, 64), np.float32)
    image[4:12, 4:30], image[20:40, 20:26], image[50:60, 40:60] = 0.1, 0.2, height
    return image


def test_only_answers_that_agree_and_have_the_known_number_are_learnt_from():
    def fickle(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels, middle = truth_of(height)
        if (
            height.max() > 0.28
            and labels[4:12, 4:30].any()
            and height[0, 0] == 0
            and labels[8, 8] != 1
        ):
            labels = np.roll(labels, 20, 0)
        return labels, middle

    heights = np.stack([three(), np.where(three() > 0.25, 0, three()).astype(np.float32)])
    kept, labels, centres_ = pseudo_labels(
        heights, truth_of, np.full((2, 2), 3), 0.9, progress=False
    )
    assert (
        kept.tolist() == [0]
        and (labels[0] == truth_of(heights[0])[0]).all()
        and centres_.shape == (1, 3, 2)
    )
    assert pseudo_labels(heights, fickle, np.full((2, 2), 3), 0.9, progress=False)[0].tolist() == []


def test_relabelled_targets_turn_with_their_image():
    labels, middle = truth_of(three())
    factory = LabelledImages(
        torch.from_numpy(three())[None, None], labels[None].astype(np.int64), middle[None]
    )
    torch.manual_seed(0)
    for _ in range(8):
        batch = factory.sample(2)
        _, displacement = offset_targets(batch)
        for slot in range(3):
            own = batch.labels[0] == slot + 1
            y, x = torch.where(own)
            # The displacement's end is the mean of the part, whichever way it is turned.
            assert displacement[0, 0][own].sum() == pytest.approx(0, abs=0.5) and displacement[
                0, 1
            ][own].sum() == pytest.approx(0, abs=0.5)
            assert torch.allclose(
                x + displacement[0, 0][own], x.float().mean().expand(len(x)), atol=1e-3
            )


def test_a_range_of_numbers_lets_answers_of_different_length_pass():
    heights = np.stack([three(), np.where(three() > 0.25, 0, three()).astype(np.float32)])
    kept, labels, centres_ = pseudo_labels(
        heights, truth_of, np.array([[2, 4], [1, 2]]), 0.9, progress=False
    )
    assert (
        kept.tolist() == [0, 1]
        and centres_.shape == (2, 3, 2)
        and not centres_[1, 2].any()
        and labels[1].max() == 2
    )
    assert pseudo_labels(heights, truth_of, np.array([[2, 4], [3, 4]]), 0.9, progress=False)[
        0
    ].tolist() == [0]


def test_instances_that_are_found_again_are_labels_and_the_others_are_unknown():
    def fickle(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels, middle = truth_of(height)
        if labels[4:12, 4:30].all():
            return labels, middle
        # Turned, the second part is found elsewhere.
        return np.where(labels == 2, 0, labels).astype(np.uint16), middle

    heights = np.stack([three(), np.zeros((64, 64), np.float32)])
    heights[0, 62, 2:5] = 0.05
    found = sure_instances(heights, fickle, 450.0, 0.01, 0.8, progress=False)
    assert (found.kept.tolist(), found.number, found.found) == ([0], 2, 2)
    assert found.agreement == 1.0, 'the second part is too small to count'
    labels = found.labels[0]
    assert (labels[4:12, 4:30] == 1).all() and (labels[50:60, 40:60] == 2).all()
    assert (labels[20:40, 20:26] == UNSURE).all() and (labels[62, 2:5] == UNSURE).all()
    assert (labels[heights[0] == 0] == 0).all()
    assert found.centres[0].tolist() == truth_of(three())[1][[0, 2]].tolist()
    all_sizes = sure_instances(heights, fickle, 200.0, 0.01, 0.8, progress=False)
    assert all_sizes.number == 2 and all_sizes.agreement == pytest.approx(2 / 3)
    assert sure_instances(heights, fickle, 1e6, 0.01, 0.8, progress=False).number == 0


def test_how_well_an_instance_is_found_again():
    found = np.zeros((4, 8), int)
    found[:, :4], found[:, 4:6] = 1, 3
    half = np.where(np.arange(8) < 2, 5, 0) * np.ones((4, 1), int)
    assert agreements(found, 4, [found, half]).tolist() == [0.75, 0.0, 0.5, 0.0]


def test_what_is_unknown_teaches_nothing():
    torch.manual_seed(0)
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, :4], labels[0, 6:] = 1, UNSURE
    known = (labels != UNSURE).float()
    output = torch.randn(1, 5, 8, 8, requires_grad=True)
    target = (labels > 0).float()
    losses = offset_loss(output, target, torch.zeros(1, 3, 8, 8), known=known)
    (losses['foreground'] + losses['offsets']).backward()
    assert output.grad is not None
    assert not output.grad[0, :, 6:].any() and output.grad[0, 0, :6].all()
