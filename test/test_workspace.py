"""The bin: floor, bounds, heights."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import CAMERA, box_scene

from insegan_ros.errors import InputError
from insegan_ros.floors import fit_floor
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace


def test_height_is_measured_from_the_floor_not_the_camera(camera):
    frame = box_scene(camera, [(40, 40, 60, 60)])
    height = Workspace((0, 0, -1, 0.5)).height_map(frame)
    assert height[50, 50] == pytest.approx(0.04, abs=1e-6)
    assert height[10, 10] == 0 and (height > 0).sum() == 400


def test_what_lies_outside_the_bounds_is_not_seen(camera):
    frame = box_scene(camera, [(0, 0, 160, 120)])
    height = Workspace((0, 0, -1, 0.5), (-0.05, -0.05, 0.05, 0.05)).height_map(frame)
    rows, columns = np.nonzero(height)
    # 0.05 m at 0.46 m depth and 200 px focal length is 21.7 px.
    assert rows.min() == 38 and rows.max() == 81 and columns.min() == 58 and columns.max() == 101


def test_no_reading_is_floor_level_and_never_nan(camera):
    depth = np.full((120, 160), np.nan, np.float32)
    assert (Workspace((0, 0, -1, 0.5)).height_map(Frame(depth, camera)) == 0).all()


def test_fitted_floor_finds_the_plane_under_the_parts(camera):
    tilted = np.array([0.05, -0.1, -1.0])
    tilted /= np.linalg.norm(tilted)
    depth = (-0.6 / (camera.rays() @ tilted)).astype(np.float32)
    depth[30:70, 30:70] -= 0.05
    plane = fit_floor(Frame(depth, camera))
    assert np.allclose(plane, (*tilted, 0.6), atol=2e-3)


def test_fitting_a_floor_to_nothing_says_so(camera):
    with pytest.raises(InputError, match='0 pixels have a depth reading'):
        fit_floor(Frame(np.full((120, 160), np.nan, np.float32), camera))


def test_a_floor_behind_the_camera_is_refused():
    with pytest.raises(InputError, match='no plane before the camera'):
        Workspace((0, 0, -1, -0.5))


def test_gaps_take_the_farther_side_and_borders_stay_open():
    from insegan_ros.workspace import fill_shadows

    nan = np.nan
    depth = np.array(
        [[nan, 0.5, nan, nan, 0.4, nan, 0.4, nan, 0.5, nan], [0.5] * 10, [nan] * 10], np.float32
    )
    filled = fill_shadows(depth)
    assert np.array_equal(
        filled[0], np.float32([nan, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.5, 0.5, nan]), equal_nan=True
    )
    assert (filled[1] == 0.5).all() and np.isnan(filled[2]).all() and np.isnan(depth[0, 2])
    assert fill_shadows(depth[1:2]) is not None and np.shares_memory(
        fill_shadows(depth[1:2]), depth
    )


def test_the_depth_of_a_tilted_floor_lies_on_it():
    tilted = Workspace((0.0, -np.sin(0.3), -np.cos(0.3), 0.5))
    depth = tilted.floor_depth(CAMERA)
    assert np.abs(tilted.height_of(CAMERA.rays() * depth[..., None])).max() < 1e-5
