"""What is in a data set, counted and drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from box_scenes import CAMERA, box_scene

from insegan_ros.data.coco import write_coco
from insegan_ros.data.convert import open_dataset
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.metrics.inspect import describe, inspect


def test_inspect_counts_what_is_there(d435_data, nut_data, tmp_path):
    result = inspect(d435_data, tmp_path / 'sheet.png')
    scenes = list(open_dataset(d435_data)[1])
    assert (
        result['scenes'] == 5
        and (result['width'], result['height']) == (80, 64)
        and result['colour']
    )
    assert (
        result['instances']
        == sum(len(scene.truth) for scene in scenes)
        == sum(result['classes'].values())
    )
    assert result['occlusion'] == pytest.approx(
        1 - np.mean(np.concatenate([visible_fractions(scene.truth) for scene in scenes])), abs=1e-3
    )
    assert (
        0.1 < result['fill'] < 1
        and 0 < result['no_reading_share'] < 0.5
        and result['fastest_mm_s'] < 2
        and result['deepest_mm'] < 0.5
    )
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    assert sheet.shape == (128 + 4, 5 * (2 * 160 + 4), 3) and sheet.std() > 20
    with pytest.raises(DatasetError, match='already exists'):
        inspect(d435_data, tmp_path / 'sheet.png')
    text = describe(inspect(nut_data))
    assert (
        '6 scenes of 128x128, depth' in text
        and '30 instances, 5 to 5 a scene' in text
        and 'no part faster than' in text
    )


def test_a_sheet_has_room_for_pictures_of_every_shape(tmp_path):
    wide = box_scene(CAMERA, [(20, 20, 50, 60)])
    tall = Frame(wide.depth_m.T.copy(), Intrinsics(200.0, 200.0, 59.5, 79.5, 120, 160))
    some = [Scene(frame, None, None, ('nut',)) for frame in (wide, tall)]
    write_coco(some, ('nut',), tmp_path / 'set', None)
    assert inspect(tmp_path / 'set', tmp_path / 'sheet.png')['scenes'] == 2
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape == (160 + 4, 2 * (160 + 4), 3)
