"""Masks as COCO has them: what is right comes back, what is wrong never reaches the library, which
writes beyond its memory."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.data.run_lengths import (
    check_count,
    check_run_lengths,
    decode,
    encode,
    picture_shape,
)
from insegan_ros.errors import DatasetError

SHAPE = (40, 50)


def runs_of(mask: np.ndarray) -> list[int]:
    """Run lengths, column by column, background first."""
    flat = np.r_[0, mask.ravel(order='F').astype(int), 1 - int(mask[-1, -1])]
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.r_[0, edges, mask.size][: len(edges) + 1]).tolist()


@pytest.mark.parametrize('share', [0.0, 0.01, 0.5, 0.99, 1.0])
def test_masks_come_back_compressed_and_not(share):
    rng = np.random.default_rng(3)
    for shape in (SHAPE, (1, 1), (1, 300), (700, 3)):
        mask = rng.uniform(size=shape) < share
        packed = encode(mask)
        assert np.array_equal(decode(packed, shape), mask)
        assert np.array_equal(decode({**packed, 'counts': runs_of(mask)}, shape), mask)


def test_long_runs_come_back():
    mask = np.zeros((3000, 4000), bool)
    mask[1000:2000, 500:3500] = True
    assert np.array_equal(decode(encode(mask), mask.shape), mask)


def test_polygons_become_pixels():
    square = [[10, 5, 30, 5, 30, 25, 10, 25]]
    mask = decode(square, SHAPE)
    assert mask[6:24, 11:29].all() and not mask[:5].any() and not mask[:, 32:].any()
    # COCO's own polygons reach a little beyond their picture.
    assert decode([[-3.5, -2, 53, -2, 53, 44, -3, 44]], SHAPE).all()


@pytest.mark.parametrize(
    'segmentation',
    [
        {'size': [40, 50], 'counts': [10**9, 10**9]},
        {'size': [40, 50], 'counts': [-5, 2005]},
        {'size': [40, 50], 'counts': [2**32 + 2000]},
        {'size': [40, 50], 'counts': [1999]},
        {'size': [40, 50], 'counts': [[2000]]},
        {'size': [40, 50], 'counts': ['2000']},
        {'size': [40, 50], 'counts': []},
        {'size': [40, 50], 'counts': ''},
        {'size': [40, 50], 'counts': 'ooooooooooo0'},
        {'size': [40, 50], 'counts': 'oo'},
        {'size': [40, 50], 'counts': 'é'},
        {'size': [40, 50], 'counts': '\0'},
        {'size': [40, 50], 'counts': None},
        {'size': [40, 50]},
        {'size': [10**9, 10**9], 'counts': [10**18]},
        {'size': [-40, -50], 'counts': [2000]},
        {'size': 2000, 'counts': [2000]},
        [],
        [[]],
        [[1, 2, 3]],
        [[1, 2, 3, 4]],
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, float('nan'), 0, 5, 5]],
        [[0, 0, float('inf'), 0, 5, 5]],
        [[0, 0, 50, 40] * 200_000],
        [['a', 'b', 'c', 'd', 'e', 'f']],
        [{'size': [40, 50], 'counts': [2000]}],
        'polygon',
        7,
        None,
    ],
    ids=lambda one: str(one)[:40],
)
def test_what_is_no_mask_is_one_line(segmentation):
    with pytest.raises(DatasetError, match="a mask cannot be read .*picture's 50x40 px") as caught:
        decode(segmentation, SHAPE)
    assert '\n' not in str(caught.value)


def test_a_mask_of_another_size_says_so():
    with pytest.raises(DatasetError, match='its size is 30x20 px'):
        decode(encode(np.ones((20, 30), bool)), SHAPE)
    check_run_lengths(encode(np.ones(SHAPE, bool)), SHAPE)


@pytest.mark.parametrize('text', ['', '/4', 'd0/', 'p4', 'd0P', 'PPPPPPPP0', 'd1', 'c0'])
def test_compressed_text_that_is_none_is_refused_before_it_is_unpacked(text):
    """Twenty pixels are a run of 20: 20 is d0 in fives of bits, the sixth for more."""
    assert not decode({'size': [4, 5], 'counts': 'd0'}, (4, 5)).any()
    with pytest.raises(DatasetError, match='a mask cannot be read'):
        decode({'size': [4, 5], 'counts': text}, (4, 5))


@pytest.mark.parametrize(
    'corners, fine',
    [
        ([0, 0, 3, 0, 3, 3], True),
        ([0, 0, 3, 3], False),
        ([0, 0, 10, 0, 0, 8], True),
        ([0, 0, 10.1, 0, 0, 8], False),
        ([0, 0, 5, 0, 0, 8.1], False),
        ([-5, 0, 5, 0, 0, -4], True),
        ([-5.1, 0, 5, 0, 0, 4], False),
        ([0, 0, 5, 0, 0, -4.1], False),
        ([0, 0, float('nan'), 0, 0, 4], False),
    ],
)
def test_polygons_reach_no_farther_than_a_picture_around_it(corners, fine):
    """A picture of 5 x 4 px, and as much again beyond each side."""
    if fine:
        assert decode([corners], (4, 5)).shape == (4, 5)
    else:
        with pytest.raises(DatasetError, match='a mask cannot be read'):
            decode([corners], (4, 5))


def test_sizes_that_no_picture_has_are_refused():
    assert picture_shape('4', 5.0) == (4, 5) and picture_shape(1, 1) == (1, 1)
    assert picture_shape(2**15, 2**15) == (2**15, 2**15)
    for height, width in ((0, 5), (5, 0), (-4, 5), (2**15, 2**15 + 1)):
        with pytest.raises(ValueError, match='expected the size of a picture'):
            picture_shape(height, width)
    check_count(2, (2**15, 2**14))
    with pytest.raises(ValueError, match='3 masks of 16384x32768 px are more than any picture has'):
        check_count(3, (2**15, 2**14))
