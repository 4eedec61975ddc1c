"""What is sure."""

from __future__ import annotations

import inspect

import numpy as np
from mask_pictures import mask_iou
from scipy.ndimage import gaussian_filter

from insegan_ros.data.mask_sets import IGNORED
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig, confident_areas
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig

H, W = 40, 60


def test_confident_areas_follow_the_pictures_edges_and_the_rest_is_unknown():
    """Attention is a blur about a square; the CRF brings it to the square's outline. Only maps,
    classes and the picture go in: no mask can."""
    picture = np.full((4 * H, 4 * W, 3), (60, 120, 60), np.uint8)
    picture[40:120, 60:140] = (200, 60, 50)
    square = np.zeros((H, W), bool)
    square[10:30, 15:35] = True
    maps = gaussian_filter(square.astype(np.float32), 4)[None]
    maps /= maps.max()
    rough = confident_areas(
        maps, np.array([2]), picture, ConfidentAreasConfig(), DenseCrfConfig(relations=False)
    )
    fine = confident_areas(maps, np.array([2]), picture, ConfidentAreasConfig(), DenseCrfConfig())
    assert set(np.unique(rough)) == {0, 3, IGNORED} and rough.shape == (H, W)
    assert mask_iou(fine == 3, square) > 0.93 > mask_iou(rough == 3, square)
    assert rough[0, 0] == 0 and (rough == IGNORED).sum() > 100
    assert list(inspect.signature(confident_areas).parameters) == [
        'maps',
        'class_ids',
        'picture',
        'config',
        'crf',
    ]


def test_labels_lie_where_the_attention_does():
    """The middle of a disc's label is that of its attention, by a fifth of a cell; with the upper
    left pixel of every cell it would be .375 cells off."""
    y, x = np.mgrid[:H, :W]
    maps = np.exp(-((y - 19.3) ** 2 + (x - 30.2) ** 2) / 100)[None].astype(np.float32)
    picture = np.zeros((4 * H, 4 * W, 3), np.uint8)
    label = confident_areas(
        maps, np.array([0]), picture, ConfidentAreasConfig(), DenseCrfConfig(relations=False)
    )
    assert np.abs(np.argwhere(label == 1).mean(0) - (19.3, 30.2)).max() < 0.2
