"""Numbers that stay while parts lie still."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from insegan_ros.frame import IGNORE
from insegan_ros.picking import tracks
from insegan_ros.picking.tracks import Tracker


def picture(*boxes: tuple[int, int]) -> np.ndarray:
    """Labels of squares of 10 px whose corners lie at (column, row), in their order."""
    labels = np.zeros((60, 80), np.uint16)
    for label, (left, top) in enumerate(boxes, 1):
        labels[top : top + 10, left : left + 10] = label
    return labels


A, B, C = (5, 5), (30, 5), (30, 40)


def test_numbers_follow_the_masks_whatever_the_labels_are():
    tracker = Tracker()
    assert tracker.update(picture(A, B, C), 3).tolist() == [1, 2, 3]
    assert tracker.update(picture(C, A, B), 3).tolist() == [3, 1, 2]
    # Masks that differ by a few pixels.
    assert tracker.update(picture((31, 41), (6, 5), (30, 7)), 3).tolist() == [3, 1, 2]


def test_a_number_is_never_given_twice_and_outlives_a_few_frames():
    tracker = Tracker()
    tracker.update(picture(A, B, C), 3)
    # B is not found for a while, and something new lies elsewhere.
    for _ in range(tracks.KEEP_FRAMES - 1):
        assert tracker.update(picture(A, C, (60, 20)), 3).tolist() == [1, 3, 4]
    assert tracker.update(picture(A, B, C), 3).tolist() == [1, 2, 3]
    for _ in range(tracks.KEEP_FRAMES):
        assert tracker.update(picture(A, C), 2).tolist() == [1, 3]
    assert tracker.update(picture(A, B, C), 3).tolist() == [1, 5, 3]


def test_a_part_that_moved_has_a_new_number_and_the_others_keep_theirs():
    tracker = Tracker()
    tracker.update(picture(A, B, C), 3)
    assert tracker.update(picture(A, (36, 5), C), 3).tolist() == [1, 4, 3]


def test_the_pairs_are_those_that_share_most_in_sum():
    """Both new masks overlap the first old one best; only one of them can be it."""
    tracker = Tracker()
    tracker.update(picture((10, 10), (14, 10)), 2)
    # The second label lies over the first: of that 4 columns are seen.
    assert tracker.update(picture((10, 10), (14, 10)), 2).tolist() == [1, 2]


def test_empty_pictures_other_sizes_and_unknown_pixels():
    tracker = Tracker()
    assert tracker.update(picture(), 0).tolist() == []
    labels = picture(A, B)
    labels[50:] = IGNORE
    assert tracker.update(labels, 2).tolist() == [1, 2]
    # An instance without a pixel is none that could be followed.
    assert tracker.update(picture(A, B), 3).tolist() == [1, 2, 0]
    assert tracker.update(np.ones((6, 8), np.uint16), 1).tolist() == [3]
    assert tracker.update(picture(A), 1).tolist() == [4]


@pytest.mark.slow
def test_parts_of_a_noisy_pile_keep_their_numbers_and_the_others_when_one_is_taken():
    from insegan_ros.methods.registry import load_segmenter
    from insegan_sim.generate import SimulateConfig
    from insegan_sim.scenes import good_piles, photograph
    from insegan_sim.world import World

    config = SimulateConfig(part='nut', instances='6', fill=0.7, sensor='d435', seed=5)
    setup = config.setup(config.parts())
    with World(setup.container) as world:
        parts, pile = next(good_piles(setup, world, np.random.default_rng(5), Counter()))
    segmenter, tracker = load_segmenter('cutpaste-nut'), Tracker()

    def numbers(left: list[int], seed: int) -> dict[int, int]:
        """What number each part has that was found."""
        scene = photograph(
            setup, [parts[i] for i in left], pile.poses[left], np.random.default_rng(seed)
        )
        found = segmenter.segment(scene.frame, scene.workspace)
        own = tracker.update(found.labels, len(found))
        truth, out = scene.labelled().labels, {}
        for label, number in enumerate(own, 1):
            mask = found.labels == label
            part = int(np.bincount(truth[mask]).argmax())
            if (mask & (truth == part)).sum() > 0.5 * (mask | (truth == part)).sum():
                out[left[part - 1] if part else -1] = int(number)
        return out

    everything = list(range(6))
    first = numbers(everything, 0)
    assert len(first) >= 5
    for seed in range(1, 10):
        now = numbers(everything, seed)
        assert all(now[part] == first[part] for part in now if part in first)
    top = int(pile.poses[:, 2, 3].argmax())
    last = numbers([one for one in everything if one != top], 10)
    assert len(last) >= 4 and all(last[part] == first[part] for part in last if part in first)
