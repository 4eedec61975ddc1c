"""Boxes are refined."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mask_pictures import mask_iou
from scipy.ndimage import gaussian_filter

from insegan_ros.methods.image_level.box_refinement import (
    RefinementConfig,
    cut_masks,
    refine_chosen,
)
from insegan_ros.methods.image_level.oriented_boxes import within_box


def test_two_objects_of_a_class_that_touch_stay_two_masks():
    """Toy: the box of the thresholded map. Boxes begin small, on either of two squares side by
    side."""
    scores = np.zeros((2, 24, 32), np.float32)
    scores[1, 6:18, 4:28] = 1
    maps = [torch.from_numpy(gaussian_filter(scores, (0, 1, 1)))]
    chosen = [
        [
            (1, 0.9, np.array([24.0, 32, 56, 64], np.float32)),
            (1, 0.8, np.array([72.0, 32, 104, 64], np.float32)),
        ]
    ]
    refined = refine_chosen(maps, chosen, RefinementConfig())
    masks = cut_masks(maps[0], refined[0], (96, 128), RefinementConfig())
    truth = [np.zeros((96, 128), bool) for _ in range(2)]
    truth[0][24:72, 16:64], truth[1][24:72, 64:112] = True, True
    assert len(masks) == 2 and all(
        max(mask_iou(one.pixels(), square) for one in masks) > 0.75 for square in truth
    )
    # Left as they are, boxes keep to what was chosen.
    assert refine_chosen(maps, chosen, RefinementConfig(steps=0)) is chosen
    twice = [[chosen[0][0], (1, 0.5, chosen[0][0][2] + 2)]]
    assert len(cut_masks(maps[0], twice[0], (96, 128), RefinementConfig())) == 1, (
        'two peaks on one object are one mask'
    )


def test_a_box_on_a_part_of_a_bar_that_lies_askew_becomes_the_bars_own_box():
    """Begun on two thirds of it. Upright, the area around is full of the bar, which pulls the box
    in; in its principal axes it reaches the ends."""
    bar = np.zeros((48, 48), np.uint8)
    corners = cv2.boxPoints(((24, 24), (32, 8), 40)).round().astype(int)
    scores = cv2.fillPoly(bar, [corners], 1).astype(np.float32)
    maps = [torch.from_numpy(gaussian_filter(scores, 1))[None]]
    chosen = [[(0, 0.9, np.array([15.0, 15, 33, 33], np.float32) * 4)]]
    truth = cv2.resize(bar, (192, 192), interpolation=cv2.INTER_NEAREST) > 0
    y, x = np.indices(truth.shape) + 0.5
    own, way = {}, list[np.ndarray]()
    for axes in ('picture', 'principal'):
        config = RefinementConfig(axes=axes, reach=1.0)
        ((refined,),) = refine_chosen(maps, chosen, config, way)
        own[axes] = mask_iou(within_box(refined[2], x, y), truth)
        (mask,) = cut_masks(maps[0], [refined], (192, 192), config)
        own[f'{axes} mask'] = mask_iou(mask.pixels(), truth)
    assert own['principal'] > 0.75 > 0.6 > own['picture'], own
    assert own['principal mask'] > own['picture mask'] + 0.03, own
    assert way[0].shape == (201, 1, 4) and way[1].shape == (201, 1, 5)
