"""Label images: nearest labels, fragments."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.geometry.label_images import (
    drop_fragments,
    fill_foreground,
    largest_piece,
    nearest_resize,
    points,
    to_instances,
)


def test_labels_of_a_window_are_instances_of_the_image_the_surest_first():
    labels = np.array([[1, 1, 0, 2], [3, 3, 3, 2]], np.uint16)
    frame = Frame(np.full((6, 8), 0.5, np.float32), Intrinsics(9.0, 9.0, 3.5, 2.5, 8, 6))
    found = to_instances(frame, (2, 3, 6, 5), labels, np.array([0.2, 0.9, 0.2]))
    assert found.scores == pytest.approx([0.9, 0.2, 0.2])
    assert found.labels[3:5, 2:6].tolist() == [[2, 2, 0, 1], [3, 3, 3, 1]]
    assert np.count_nonzero(found.labels) == 7 and len(found.poses) == 3


@pytest.mark.parametrize('shape', [(4, 9), (2, 4), (6, 10), (1, 1), (3, 5)])
def test_every_pixel_takes_the_label_whose_middle_is_nearest(shape):
    labels = np.arange(15).reshape(3, 5)
    rows, columns = (
        np.abs((np.arange(size)[:, None] + 0.5) / size - (np.arange(old) + 0.5) / old).argmin(1)
        for size, old in zip(shape, labels.shape)
    )
    assert np.array_equal(nearest_resize(labels, shape), labels[rows[:, None], columns])


def test_points_of_a_height_map_are_those_of_its_pixels_middles():
    found = points(np.array([[0.0, 1.0], [2.0, 3.0]]), (0.2, 0.4))
    expected = [[[0.1, 0.2, 0], [0.3, 0.2, 1]], [[0.1, 0.6, 2], [0.3, 0.6, 3]]]
    assert found == pytest.approx(np.array(expected))


def test_the_largest_piece_stays_and_pieces_that_touch_by_a_corner_are_one():
    mask = np.zeros((8, 9), bool)
    mask[0, 0:3], mask[4:6, 4:6], mask[6, 6] = True, True, True
    expected = mask.copy()
    expected[0] = False
    assert np.array_equal(largest_piece(mask), expected)
    assert np.array_equal(largest_piece(expected), expected)
    assert not largest_piece(np.zeros((3, 3), bool)).any()


def test_spreading_gives_every_foreground_pixel_the_nearest_label():
    labels = np.zeros((4, 4), np.uint16)
    labels[0, 0], labels[3, 3] = 1, 2
    foreground = np.ones((8, 8), bool)
    foreground[0, :] = False
    out = fill_foreground(labels, foreground)
    assert (out[0] == 0).all() and out[1, 0] == 1 and out[7, 7] == 2 and (out[foreground] > 0).all()
    assert nearest_resize(labels, (8, 8))[7, 7] == 2


def test_fragments_go_and_numbers_close_up():
    labels = np.zeros((20, 20), np.uint16)
    labels[2:8, 2:8], labels[15, 15], labels[10:14, 2:8] = 1, 2, 3
    labels[18, 18] = 1
    clean = drop_fragments(labels, 4)
    assert set(np.unique(clean)) == {0, 1, 2}
    assert (clean == 1).sum() == 36 and (clean == 2).sum() == 24
    # What is as large as asked for stays, whole or a piece.
    assert (drop_fragments(labels, 24) == 2).sum() == 24 and drop_fragments(labels, 25).max() == 1
    labels[17:19, 1:13] = 1
    assert (drop_fragments(labels, 24) == 1).sum() == 60


def test_numbers_that_no_pixel_has_are_left_out():
    labels = np.array([[0, 3, 3], [5, 0, 0]], np.uint16)
    assert drop_fragments(labels, 0).tolist() == [[0, 1, 1], [2, 0, 0]]
