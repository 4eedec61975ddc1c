"""Boxes are refined."""

from __future__ import annotations

import numpy as np
import torch
from mask_pictures import mask_iou
from scipy.ndimage import gaussian_filter

from insegan_ros.methods.image_level.box_refinement import (
    RefinementConfig,
    cut_masks,
    refine_chosen,
)


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
