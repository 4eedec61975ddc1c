"""The floor laid out: rectangles, turns, and what lies beside them, worked out by hand."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from insegan_ros.picking.floor_view import (
    FloorView,
    beside,
    largest_rectangle,
    turn_of,
    with_bounds,
)
from insegan_ros.workspace import Workspace

FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


@pytest.mark.parametrize('seed', range(6))
def test_the_largest_rectangle_is_that_of_a_search_of_all(seed):
    """Of a shape without holes: columns of a histogram, turned each way."""
    rng = np.random.default_rng(seed)
    mask = np.arange(9)[:, None] < rng.integers(1, 9, 11)
    mask = np.rot90(mask, seed)
    best = max(
        (bottom - top) * (right - left)
        for top, bottom in combinations(range(mask.shape[0] + 1), 2)
        for left, right in combinations(range(mask.shape[1] + 1), 2)
        if mask[top:bottom, left:right].all()
    )
    rows, columns = largest_rectangle(mask)
    assert mask[slice(*rows), slice(*columns)].all()
    assert (rows[1] - rows[0]) * (columns[1] - columns[0]) == best


def test_a_hole_in_the_floor_is_closed_and_nothing_has_no_rectangle():
    mask = np.zeros((20, 30), bool)
    mask[4:16, 5:25] = True
    mask[8:11, 10:14] = False
    assert largest_rectangle(mask) == ((4, 16), (5, 25))
    assert largest_rectangle(np.zeros((5, 6), bool)) == ((0, 0), (0, 0))


@pytest.mark.parametrize('degrees', [-40, -10, -2, 0, 3, 20, 44])
def test_a_piece_of_floor_is_turned_as_its_rectangle_is(degrees):
    piece = np.zeros((300, 300), np.uint8)
    corners = cv2.boxPoints(((150, 150), (180, 100), degrees)).astype(np.int32)
    cv2.fillPoly(piece, [corners], 1)
    assert turn_of(piece > 0) == pytest.approx(degrees, abs=0.6)
    # A disc, a triangle and nothing are turned by nothing.
    disc, triangle = np.zeros_like(piece), np.zeros_like(piece)
    cv2.circle(disc, (150, 150), 80, 1, -1)
    cv2.fillPoly(triangle, [corners[:3]], 1)
    assert turn_of(disc > 0) == turn_of(triangle > 0) == turn_of(np.zeros((9, 9), bool)) == 0


def test_bounds_reach_from_the_first_pixels_middle_to_the_last_ones():
    view = FloorView(np.zeros((40, 50)), 0.002, np.array([-0.05, 0.01]), FLOOR)
    bounds = with_bounds(view, (5, 20), (10, 31)).require_bounds()
    assert bounds == pytest.approx((-0.03, 0.02, 0.01, 0.048))


@pytest.mark.parametrize('rim, seen', [(3, (3, 3, 3, 3)), (7, (6, 5, 7, 4))])
def test_beside_a_rectangle_the_nearest_comes_first(rim, seen):
    """Every pixel says which it is; at the picture's border there is less."""
    heights = np.arange(20 * 30).reshape(20, 30)
    found = beside(heights, (5, 16), (6, 20), rim)
    left, top, right, bottom = seen
    assert found['left'].tolist() == [heights[5:16, 5 - at].tolist() for at in range(left)]
    assert found['top'].tolist() == [heights[4 - at, 6:20].tolist() for at in range(top)]
    assert found['right'].tolist() == [heights[5:16, 20 + at].tolist() for at in range(right)]
    assert found['bottom'].tolist() == [heights[16 + at, 6:20].tolist() for at in range(bottom)]
