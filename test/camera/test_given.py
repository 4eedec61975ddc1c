"""Cameras that are given by hand, or guessed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from insegan_ros.camera.given import (
    GivenCamera,
    given_camera,
    usual_colour_camera,
    usual_depth_camera,
)
from insegan_ros.errors import InputError
from insegan_ros.frame import metres


def test_numbers_and_files_say_the_same_camera(tmp_path):
    assert given_camera('') is None
    assert given_camera('600,601,320,240') == GivenCamera(600.0, 601.0, 320.0, 240.0)
    sized = given_camera('600,601,320,240,640,480')
    assert sized == GivenCamera(600.0, 601.0, 320.0, 240.0, 640, 480)
    (tmp_path / 'a.yaml').write_text('fx: 600\nfy: 601\ncx: 320\ncy: 240\ndepth_unit_m: 0.0001\n')
    (tmp_path / 'b.json').write_text(json.dumps({'K': [600, 0, 320, 0, 601, 240, 0, 0, 1]}))
    assert given_camera(str(tmp_path / 'a.yaml')) == GivenCamera(600, 601, 320, 240, 0, 0, 1e-4)
    assert given_camera(str(tmp_path / 'b.json')) == GivenCamera(600, 601, 320, 240)
    k = sized.intrinsics(480, 640)
    assert (k.fx, k.fy, k.cx, k.cy, k.width, k.height) == (600, 601, 320, 240, 640, 480)


@pytest.mark.parametrize('text', ['1,2,3', 'a,b,c,d', 'missing.yaml', '1,2,3,4,5'])
def test_what_is_no_camera_is_refused_with_what_is_expected(text):
    with pytest.raises(InputError, match='cannot be read .*expected fx,fy,cx,cy in px'):
        given_camera(text)


def test_a_camera_of_another_size_or_of_none_is_refused():
    with pytest.raises(InputError, match='a picture is 640x480 but the camera given has 848x480'):
        GivenCamera(422, 422, 424, 240, 848, 480).intrinsics(480, 640)
    with pytest.raises(InputError, match='a cloud has no size'):
        GivenCamera(422, 422, 424, 240).intrinsics()


def test_the_usual_depth_and_colour_cameras_differ():
    # librealsense, issue 3474 (a D435i): the printed fx of its depth profiles.
    for width, height, focal in ((424, 240, 211.4), (480, 270, 239.32), (640, 360, 319.1)):
        assert usual_depth_camera(height, width).fx == pytest.approx(focal, rel=2e-3)
    assert usual_depth_camera(480, 848).fx == pytest.approx(422, abs=2)
    assert usual_depth_camera(480, 640).fx == pytest.approx(383, abs=3)
    assert usual_colour_camera(480, 640).fx == 615.0
    assert usual_colour_camera(720, 1280).fx == pytest.approx(921, abs=3)


@pytest.mark.parametrize('unit', [0.0, -1.0, float('nan'), float('inf'), 1.0])
def test_a_step_of_depth_is_a_length(unit):
    with pytest.raises(InputError, match='a step of depth is .* m: expected'):
        GivenCamera(422, 422, 424, 240, depth_unit_m=unit)
    with pytest.raises(InputError, match='a step of depth is'):
        metres(np.ones((2, 2), np.uint16), unit)
