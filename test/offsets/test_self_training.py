"""The network labels real height maps: only what agrees with itself is learnt from, and turns with
its picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.offsets.labelled_images import LabelledImages
from insegan_ros.offsets.self_training import pseudo_labels
from insegan_ros.offsets.stage import offset_targets


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
