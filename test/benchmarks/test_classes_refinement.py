"""Figure 5 of CCGR, on boxes whose way is known."""

from __future__ import annotations

import numpy as np
import pytest
from mask_pictures import one_picture, square

from insegan_ros.benchmarks.classes_refinement import (
    boxes_by_step,
    overlap_by_step,
    overlap_in_bags,
    step_lines,
)
from insegan_ros.data.mask_sets import Mask
from insegan_ros.methods.image_level.bags import Bag

SMALL, WHOLE = np.array([26.0, 26, 34, 34]), np.array([20.0, 20, 40, 40])


def way_from(begin: np.ndarray) -> np.ndarray:
    """From a box to the whole object in 40 steps, (41, 4)."""
    return np.stack([begin + share * (WHOLE - begin) for share in np.linspace(0, 1, 41)])


def test_figure_five_counts_boxes_on_their_way():
    truth = one_picture(Mask.of(0, 1, square(20, 20)))
    assert boxes_by_step(truth, [[(0, 0.9, SMALL)]], way_from(SMALL)[:, None]) == {
        '0': 0.0,
        '20': pytest.approx(0.0 if 14**2 / 400 <= 0.5 else 1.0),
        '40': 1.0,
    }


def test_boxes_are_followed_by_class_and_by_what_they_begin_with():
    truth = one_picture(Mask.of(0, 1, square(20, 20)), Mask.of(1, 1, square(50, 30)))
    beside = np.array([0.0, 0, 5, 5])
    chosen = [[(0, 0.9, SMALL), (0, 0.8, WHOLE), (1, 0.7, beside)]]
    way = np.stack([way_from(SMALL), way_from(WHOLE), np.tile(beside, (41, 1))], 1)
    found = overlap_by_step(truth, chosen, way)
    assert found['iou_by_class'] == {
        'nut': {'boxes': 2, '0': pytest.approx((0.16 + 1) / 2), '20': 0.745, '40': 1.0}
    }, 'the third lies on nothing of its class'
    assert found['iou_by_begun'] == {
        '0.00 to 0.25': {'boxes': 1, '0': 0.16, '20': 0.49, '40': 1.0},
        '0.75 to 1.00': {'boxes': 1, '0': 1.0, '20': 1.0, '40': 1.0},
    }
    lines = step_lines({'method': 'CCGR', **found})
    assert '| 0.00 to 0.25 | 1 | 0.160 | 0.490 | 1.000 |' in lines
    assert step_lines({'method': 'CAM'}) == []


def test_what_is_chosen_from_a_bag_is_held_against_what_is_in_it():
    truth = one_picture(Mask.of(0, 1, square(20, 20)))
    proposals = np.stack([WHOLE, SMALL, WHOLE]).astype(np.float32)
    bags = [Bag(0, 30.0, 30.0, np.array([1, 2])), Bag(1, 30.0, 30.0, np.array([0]))]
    chosen = [[(0, 0.9, WHOLE), (1, 0.9, WHOLE)]]
    found = overlap_in_bags(truth, [bags], [proposals], chosen)
    assert found['iou_in_bags'] == {
        'chosen': 1.0,
        'ranked first': pytest.approx(0.16),
        'all': pytest.approx(0.58),
        'best': 1.0,
    }, 'nothing of the second class is there'
    assert 'ranked first 0.160, all 0.580' in step_lines({'method': 'CCGR', **found})[0]


def test_a_box_that_lies_askew_is_held_against_the_objects_box_along_its_axes():
    y, x = np.indices((60, 80)) + 0.5
    diamond = np.abs(x - 40) + np.abs(y - 30) <= 15
    truth = one_picture(Mask.of(0, 1, diamond))
    half = 15 / np.sqrt(2)
    tight = np.array([40 - half, 30 - half, 40 + half, 30 + half])
    upright = np.array([25.0, 15, 55, 45])
    way = np.tile([*tight, np.pi / 4], (1, 1, 1))
    found = overlap_by_step(truth, [[(0, 0.9, upright)]], way)['iou_by_begun']
    assert found['0.75 to 1.00']['0'] > 0.9
    # The same without its angle is only half of the upright box.
    found = overlap_by_step(truth, [[(0, 0.9, upright)]], way[..., :4])['iou_by_begun']
    assert found['0.75 to 1.00']['0'] == pytest.approx(0.5, abs=0.05)
