"""Boxes that lie askew, and frames in which they are upright."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from insegan_ros.methods.image_level.oriented_boxes import (
    frame_of,
    part_in,
    piece_in,
    principal_angle,
    relative_to,
    upright,
    within_box,
)


def bar(angle_deg: float, size: tuple[int, int] = (40, 12)) -> np.ndarray:
    """A filled rectangle (width, height) about (50, 40) px, turned from x to y."""
    out = np.zeros((80, 100), np.uint8)
    points = cv2.boxPoints(((50, 40), size, angle_deg)).round().astype(int)
    return cv2.fillPoly(out, [points], 1) > 0


@pytest.mark.parametrize('angle', [-40, -15, 0, 30])
def test_the_angle_is_that_of_the_longer_axis_or_its_normal(angle: float):
    assert np.rad2deg(principal_angle(bar(angle))) == pytest.approx(angle, abs=2)
    assert np.rad2deg(principal_angle(bar(angle + 90))) == pytest.approx(angle, abs=2)


def test_what_is_round_has_no_angle():
    disc = cv2.circle(np.zeros((80, 80), np.uint8), (40, 40), 20, 1, -1) > 0
    assert principal_angle(disc) == principal_angle(np.zeros((4, 4), bool)) == 0


def test_a_frame_shows_a_bar_upright_and_gives_its_box_back():
    pixels = bar(30)
    frame = frame_of(np.array([30.0, 20, 70, 60]), pixels, 128)
    shown = frame.map(pixels.astype(np.float32)) > 0.5
    rows, columns = np.nonzero(shown.any(1))[0], np.nonzero(shown.any(0))[0]
    seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    bounds = frame.bounds(pixels)
    assert bounds == pytest.approx(seen, abs=1)
    assert (bounds[2:] - bounds[:2]) == pytest.approx([41, 13], abs=2)
    box = frame.back(bounds)
    assert (box[:2] + box[2:4]) / 2 == pytest.approx([50.5, 40.5], abs=0.7)
    y, x = np.indices(pixels.shape) + 0.5
    inside = within_box(box, x, y)
    assert (inside & pixels).sum() / (inside | pixels).sum() > 0.9
    # Points come out where the map shows them.
    assert frame.points(np.array([50.5, 40.5])) == pytest.approx(
        (bounds[:2] + bounds[2:]) / 2, abs=1
    )


def test_an_upright_frame_moves_nothing():
    image = np.random.default_rng(0).random((20, 24)).astype(np.float32)
    frame = frame_of(np.array([6.0, 4, 12, 10]), np.zeros((20, 24), bool), 40)
    assert np.array_equal(frame.map(image)[13:33, 11:35], image)
    box = np.array([6.0, 4, 12, 10])
    assert frame.back(frame.points(box.reshape(2, 2)).ravel()) == pytest.approx([*box, 0])


def test_boxes_with_an_angle_and_without():
    box = np.array([10.0, 10, 30, 20])
    across, down = relative_to(box, np.array([30.0]), np.array([15.0]))
    assert (across, down) == (1, 0)
    quarter = np.append(box, np.pi / 2)
    across, down = relative_to(quarter, np.array([20.0]), np.array([25.0]))
    assert (across[0], down[0]) == pytest.approx((1, 0))
    assert upright(quarter[None])[0] == pytest.approx([15, 5, 25, 25])
    assert upright(box[None]) is not None and np.array_equal(upright(box[None])[0], box)


def test_the_piece_that_most_of_a_box_is_of():
    own = np.zeros((10, 20), bool)
    own[2:8, 1:6], own[2:8, 8:18] = True, True
    box = np.array([4.0, 0, 14, 10])
    piece = piece_in(own, box)
    assert np.array_equal(piece, own & (np.arange(20) > 6))
    assert part_in(piece, box).sum() == 6 * 6
    assert not piece_in(own, np.array([0.0, 8, 20, 10])).any()
