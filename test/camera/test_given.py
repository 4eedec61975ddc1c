"""Cameras that are given by hand, or guessed."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from insegan_ros.camera.given import (
    GivenCamera,
    given_camera,
    usual_colour_camera,
    usual_depth_camera,
)
from insegan_ros.camera.lens import lens_shift_px, lens_warning
from insegan_ros.errors import InputError, InseganWarning
from insegan_ros.frame import Intrinsics, metres


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
    # The axis goes through the middle, between two pixels.
    for camera in (usual_depth_camera(480, 848), usual_colour_camera(480, 848)):
        assert (camera.cx, camera.cy, camera.width, camera.height) == (423.5, 239.5, 848, 480)
        assert camera.fx == camera.fy
    assert usual_colour_camera(480, 640).fx == 615.0
    assert usual_colour_camera(720, 1280).fx == pytest.approx(921, abs=3)


@pytest.mark.parametrize('unit', [0.0, -1.0, float('nan'), float('inf'), 1.0])
def test_a_step_of_depth_is_a_length(unit):
    with pytest.raises(InputError, match='a step of depth is .* m: expected'):
        GivenCamera(422, 422, 424, 240, depth_unit_m=unit)
    with pytest.raises(InputError, match='a step of depth is'):
        metres(np.ones((2, 2), np.uint16), unit)


# The middle of a calibration by camera_calibration: its folder's ost.yaml.
CALIBRATED = """image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [600.0, 0.0, 320.0, 0.0, 601.0, 240.0, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.2, 0.05, 0.0, 0.0, 0.0]
projection_matrix:
  rows: 3
  cols: 4
  data: PROJECTION
"""


def test_a_calibrations_file_gives_the_rectified_pictures_camera(tmp_path):
    file = tmp_path / 'ost.yaml'
    rectified = '[560.0, 0.0, 321.0, 0.0, 0.0, 580.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]'
    file.write_text(CALIBRATED.replace('PROJECTION', rectified))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        camera = given_camera(str(file)).intrinsics(480, 640)
    assert camera == Intrinsics(560.0, 580.0, 321.0, 241.0, 640, 480)


def test_a_lens_that_distorts_is_said(tmp_path):
    file = tmp_path / 'ost.yaml'
    raw = '[600.0, 0.0, 320.0, 0.0, 0.0, 601.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]'
    file.write_text(CALIBRATED.replace('PROJECTION', raw))
    # At the farthest corner r = .667, and the point moves by .2 r^2 - .05 r^4 of its distance.
    moved = 400 * (0.2 * 0.4438 - 0.05 * 0.4438**2)
    with pytest.warns(
        InseganWarning, match=r"the camera's lens moves pixels by up to 31\."
    ) as said:
        given_camera(str(file)).intrinsics(480, 640)
    assert moved == pytest.approx(31.5, abs=0.5) and 'expected rectified pictures' in str(said[0])


def test_a_lens_is_said_of_a_camera_that_is_given_by_its_numbers_too(tmp_path):
    file = tmp_path / 'camera.yaml'
    file.write_text('fx: 600\nfy: 601\ncx: 320\ncy: 240\nD: [-0.2, 0.05, 0, 0, 0]\n')
    with pytest.warns(InseganWarning, match=r"the camera's lens moves pixels by up to 31\."):
        given_camera(str(file)).intrinsics(480, 640)


def test_a_lens_that_hardly_distorts_is_not_said():
    camera = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
    assert lens_warning(camera, (0.0,) * 5) == '' == lens_warning(camera, ())
    assert 0 < lens_shift_px(camera, (0.002, 0.0, 0.0, 0.0, 0.0)) < 1
    assert lens_warning(camera, (0.002, 0.0, 0.0, 0.0, 0.0)) == ''
    assert lens_shift_px(camera, (0.1, 0.0, 0.0, 0.0), 'equidistant') > 10
    # Four numbers are a fisheye's or plumb bob's; five are no fisheye's.
    plumb = lens_shift_px(camera, (0.1, 0.0, 0.0, 0.0))
    assert plumb == pytest.approx(400 * 0.1 * (320**2 + 240**2) / 600**2, rel=1e-3)
    assert lens_shift_px(camera, (0.1, 0.0, 0.0, 0.0, 0.0), 'equidistant') == plumb
    assert lens_shift_px(camera, (0.1, 0.0, 0.0, 0.0), 'equidistant') != plumb
    # A model that nobody here knows is not guessed at.
    assert lens_shift_px(camera, (0.1,) * 6, 'thin_prism') == 0
