"""What speaks against an empty bin, on floors that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.errors import InputError
from insegan_ros.picking.emptiness import check_empty, check_lowest, wall_height

ROWS, COLUMNS, RIM = (20, 50), (20, 60), 10
# What lies beside each side, as far as is looked, and a little farther.
BESIDE = {
    'left': np.s_[20:50, 8:20],
    'top': np.s_[8:20, 20:60],
    'right': np.s_[20:50, 60:72],
    'bottom': np.s_[50:62, 20:60],
}


def test_one_in_a_hundred_may_stand_as_high_as_a_part():
    heights = np.zeros((20, 15))
    heights[0, :3], heights[1, 0], heights[5] = 0.05, 0.0079, -0.01
    check_empty(heights)
    heights[5] = np.nan
    with pytest.raises(InputError, match=r'1\.1 % of its inside stands more than 8 mm .* 50 mm'):
        check_empty(heights)


@pytest.mark.parametrize('height_m, said', [(-0.03, '30 mm'), (-0.009, '9 mm')])
def test_ground_that_is_lower_around_says_that_it_is_no_floor(height_m, said):
    heights = np.zeros((70, 80))
    heights[BESIDE['left']] = height_m
    check_lowest(heights, ROWS, COLUMNS, RIM)
    heights[BESIDE['bottom']] = height_m
    with pytest.raises(InputError, match=f'middle of the image lies {said} above what is around'):
        check_lowest(heights, ROWS, COLUMNS, RIM)
    # Behind a wall it may be lower, and a table's edge falls deeper; noise is neither.
    walled = heights.copy()
    walled[20:50, 18:20] = 0.05
    check_lowest(walled, ROWS, COLUMNS, RIM)
    for other in (-0.16, -0.007):
        check_lowest(np.where(heights < 0, other, 0), ROWS, COLUMNS, RIM)
    # Three in ten pixels may lie so.
    some = np.where((np.arange(70) % 4 == 0)[:, None], heights, 0)
    some[BESIDE['bottom']][1:] = 0
    check_lowest(some, ROWS, COLUMNS, RIM)


def test_walls_are_as_high_as_the_lowest_of_them_and_none_where_a_side_has_none():
    heights = np.zeros((70, 80))
    for name, height_m in zip(BESIDE, (0.05, 0.06, 0.03, 0.07)):
        heights[BESIDE[name]] = height_m
    # A wall rises from its foot, and single pixels stand out.
    heights[BESIDE['right']][:, 0] = 0.01
    heights[BESIDE['top']][5, 3] = heights[BESIDE['left']][4, 3] = 0.5
    assert wall_height(heights, ROWS, COLUMNS, RIM, False) == pytest.approx(0.03)
    heights[BESIDE['right']] = 0.011
    assert wall_height(heights, ROWS, COLUMNS, RIM, False) == 0, 'a step that is no wall'
    for nothing in (0.0, np.nan):
        heights[BESIDE['right']] = nothing
        assert wall_height(heights, ROWS, COLUMNS, RIM, False) == 0


@pytest.mark.parametrize('share, refused', [(0.1, False), (0.3, True), (0.7, True), (0.9, False)])
def test_floor_beside_half_of_a_wall_says_that_something_lies_there(share, refused):
    """A side of 40 px, of which so large a share is free."""
    heights = np.full((70, 80), 0.05)
    heights[20:50, 20:60] = 0
    heights[50:62, 20 : 20 + int(40 * share)] = 0
    if refused:
        with pytest.raises(InputError, match=f'beyond {100 * share:.0f} % of the bottom side'):
            wall_height(heights, ROWS, COLUMNS, RIM, False)
    assert wall_height(heights, ROWS, COLUMNS, RIM, True) == (0.05 if share < 0.5 else 0)
