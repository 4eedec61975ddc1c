"""The bin: floor, bounds, heights."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from box_scenes import CAMERA, FLOOR, box_scene
from tilted_bins import cylinders_at, tilted_camera

from insegan_ros.errors import InputError, InseganWarning
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.workspace import (
    MOST_MARGIN,
    Workspace,
    read_workspace,
    resolve_workspace,
    window_of,
    workspace_of,
    workspace_values,
    write_workspace,
)


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


def test_a_floor_behind_the_camera_is_refused():
    with pytest.raises(InputError, match='not a plane in front of the camera'):
        Workspace((0, 0, -1, -0.5))


@pytest.mark.parametrize(
    ('floor', 'bounds', 'said'),
    [
        ((0, 0, -1, 401.68), None, 'in metres'),
        ((0, 0, -1, 1e300), None, 'in metres'),
        ((0, 0, -1, 1e-9), None, 'in metres'),
        ((0, 0, -1, 0.4), (-120, -80, 120, 80), 'in metres'),
        ((0, 0, -1, 0.4), (0, 0, 1e-9, 1e-9), 'are empty'),
        ((0, 0, -1, 0.4), (0, -0.1, 0, 0.1), 'are empty'),
        ((0, 0, -1, 0.4), (-0.1, 0.1, 0.1, -0.1), 'are empty'),
        ((1e300, 0, -1, 0.4), None, 'not a plane in front of the camera'),
        ((0, 0, 1, 0.4), None, 'not a plane in front of the camera'),
        ((0, 0, -1.1, 0.4), None, 'not a plane in front of the camera'),
        ((0, 0, -1, float('nan')), None, 'expected finite numbers'),
        ((0, 0, -1, 0.4), (float('nan'), 0, 1, 1), 'expected finite numbers'),
        ((0, 0, -1), None, 'expected four numbers each'),
        ((0, 0, -1, 0.4), (0, 0, 1), 'expected four numbers each'),
    ],
)
@pytest.mark.filterwarnings('error')
def test_a_bin_in_millimetres_or_of_no_size_is_refused(floor, bounds, said):
    with pytest.raises(InputError, match=said):
        Workspace(floor, bounds)


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
    assert np.abs(tilted.height_of(CAMERA.points(depth))).max() < 1e-5


TILTS = [(20.0, 0.0, 0.0), (-15.0, 10.0, 8.0), (0.0, -18.0, 0.0)]


@pytest.mark.parametrize('tilt', TILTS)
def test_the_floors_frame_is_the_images_laid_on_the_floor(tilt):
    found = tilted_camera(tilt).workspace
    x, y = found.axes
    normal = np.array(found.floor[:3])
    assert np.allclose([x @ x, y @ y, x @ y, x @ normal, y @ normal], [1, 1, 0, 0, 0], atol=1e-9)
    assert np.allclose(np.cross(x, y), -normal, atol=1e-9) and x[0] > 0.9 and y[1] > 0.9
    places = np.array([(0.1, -0.05), (0.0, 0.0)])
    points = found.from_floor(places)
    assert np.allclose(found.height_of(points), 0, atol=1e-9)
    assert np.allclose(points[1], (0, 0, found.floor_distance_m), atol=1e-12)
    # A point's foot is the same however high it is.
    assert np.allclose(found.on_floor(points + 0.07 * normal), places, atol=1e-9)


def test_a_camera_that_looks_straight_down_has_its_own_x_and_y(camera):
    straight = Workspace((0.0, 0.0, -1.0, 0.5), (-0.05, -0.05, 0.05, 0.05))
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert np.array_equal(straight.on_floor(points), points[:, :2])
    nearly = Workspace((1e-9, 0.0, -1.0, 0.5), straight.bounds)
    assert np.allclose(nearly.on_floor(points), points[:, :2], atol=1e-6)
    assert np.array_equal(nearly.contains(points), straight.contains(points))


@pytest.mark.parametrize('tilt', TILTS)
def test_parts_at_the_walls_are_neither_cut_nor_invented_under_a_tilted_camera(tilt):
    """With bounds along the camera's axes a sixth of the far part was cut off and strips of two
    walls were parts."""
    camera = tilted_camera(tilt)
    scene = cylinders_at(camera, (0.03, 0.066), (-0.03, -0.066), (0.0, 0.0), (0.08, 0.0))
    heights = scene.require_workspace().height_map(scene.frame)
    points = scene.frame.points()
    true = (scene.known_labels() > 0) & (scene.require_workspace().height_of(points) > 0.004)
    assert (true & (heights < 0.004)).sum() < 0.005 * true.sum()
    assert (~true & (heights > 0.004)).sum() < 0.005 * true.sum()


@pytest.mark.parametrize('tilt', TILTS)
def test_the_bounds_are_the_bins_inside_however_it_lies_before_the_camera(tilt):
    camera = tilted_camera(tilt)
    found = camera.workspace
    corners = np.array([(x, y, 0, 1) for x in (-0.117, 0.117) for y in (-0.087, 0.087)])
    expected = (corners @ camera.camera_from_world.T)[:, :3]
    away = np.linalg.norm(expected[:, None] - found.floor_corners(), axis=-1)
    assert away.min(0).max() < 1e-6 and away.min(1).max() < 1e-6


def test_the_window_of_a_tilted_camera_holds_what_stands_high_at_the_far_wall():
    for tilt in TILTS:
        camera = tilted_camera(tilt)
        found = camera.workspace
        up = np.array(found.floor[:3])
        high = found.floor_corners() + 0.1 * up
        pixels = (high @ camera.intrinsics.matrix.T)[:, :2] / high[:, 2:]
        left, top, right, bottom = found.window(camera.intrinsics)
        assert (pixels >= (left - 1, top - 1)).all() and (pixels <= (right, bottom)).all()
        near = found.window(camera.intrinsics, 0.0)
        assert near[0] >= left and near[1] >= top and near[2] <= right and near[3] <= bottom


def test_a_window_reaches_from_the_first_pixel_of_the_bounds_to_the_last(camera):
    """A millimetre is 0.4 px on the floor."""
    straight = Workspace((0.0, 0.0, -1.0, 0.5), (-0.05125, -0.02125, 0.07625, 0.05125))
    assert straight.window(camera, 0.0) == (59, 51, 111, 81)
    # By a fifth of 51 and of 29 px, half at each end.
    assert straight.window(camera, 0.2) == (54, 48, 116, 84)
    assert straight.window(camera, 5.0) == (0, 0, 160, 120)
    assert window_of(None, camera) == (0, 0, 160, 120) == window_of(FLOOR, camera)
    assert window_of(straight, camera, 0.2) == straight.window(camera, 0.2)
    assert window_of(straight, camera) == straight.window(camera)


@pytest.mark.parametrize(
    'bounds', [(0.3, 0, 0.4, 0.1), (-0.4, 0, -0.3, 0.1), (0, 0.3, 0.1, 0.4), (0, -0.4, 0.1, -0.3)]
)
def test_a_bin_beside_the_picture_is_refused(camera, bounds):
    with pytest.raises(InputError, match='lie outside the 160x120 image'):
        Workspace((0.0, 0.0, -1.0, 0.5), bounds).window(camera, 0.0)


def test_where_nobody_says_where_the_floor_is_it_is_found_in_the_frame(camera):
    frame = box_scene(camera, [(40, 40, 60, 60)])
    found = resolve_workspace(None, frame)
    assert np.allclose(found.floor, (0, 0, -1, 0.5), atol=1e-3) and found.bounds is None
    assert resolve_workspace(FLOOR, frame) is FLOOR
    with pytest.raises(InputError, match='has no bounds'):
        found.wall_distance(np.zeros(3))


@pytest.mark.parametrize('name', ['corner_radius_m', 'foot_radius_m', 'wall_slope_deg'])
def test_each_of_them_makes_a_bin_moulded(name):
    bin_ = Workspace((0.0, 0.0, -1.0, 0.5), (-0.1, -0.1, 0.2, 0.1))
    assert not bin_.moulded and replace(bin_, **{name: 0.01}).moulded
    # Without bounds radii may be any, and nothing is nearer to a wall.
    assert replace(bin_, bounds=None, **{name: 30.0}).contains(np.array([[3.0, 0, 0.5]])).all()
    points = np.array([[0.07, -0.05, 0.4], [0.07, 0.11, 0.4], [-0.11, 0.0, 0.4]])
    assert bin_.wall_distance(points) == pytest.approx([0.05, -0.01, -0.01])


def test_turn_and_walls_are_kept_in_files(tmp_path):
    whole = Workspace((0.0, -0.6, -0.8, 0.5), (-0.1, -0.1, 0.2, 0.1), 7.25, 0.0015)
    write_workspace(whole, tmp_path / 'bin.yaml')
    assert read_workspace(tmp_path / 'bin.yaml') == whole
    assert workspace_of(workspace_values(whole)) == whole
    moulded = replace(whole, corner_radius_m=0.03, foot_radius_m=0.01, wall_slope_deg=3.5)
    write_workspace(moulded, tmp_path / 'moulded.yaml')
    assert read_workspace(tmp_path / 'moulded.yaml') == moulded
    assert workspace_of(workspace_values(moulded)) == moulded
    plain = Workspace((0.0, 0.0, -1.0, 0.5), (-0.1, -0.1, 0.2, 0.1))
    assert set(workspace_values(plain)) == {'floor', 'bounds'}
    turned = replace(whole, bounds_turn_deg=180.0, wall_slope_deg=1.25)
    write_workspace(turned, tmp_path / 'turned.yaml')
    assert read_workspace(tmp_path / 'turned.yaml') == turned
    for turn, noise in (
        (200.0, 0.0),
        (-200.0, 0.0),
        (0.0, -0.001),
        (0.0, 0.1),
        (float('nan'), 0.0),
    ):
        with pytest.raises(InputError, match='bounds_turn_deg is .* expected'):
            Workspace(plain.floor, plain.bounds, turn, noise)
    for shape in ((0.11, 0.0, 0.0), (0.0, -0.01, 0.0), (0.0, 0.0, 50.0), (float('nan'), 0.0, 0.0)):
        with pytest.raises(InputError, match='corner_radius_m is .* half the width of the bounds'):
            Workspace(plain.floor, plain.bounds, 0.0, 0.0, *shape)


def test_a_misspelt_name_in_a_file_is_told(tmp_path):
    content = '/**:\n  ros__parameters:\n    floor: [0.0, 0.0, -1.0, 0.5]\n    {}\n'
    path = tmp_path / 'bin.yaml'
    path.write_text(content.format('bound: [-0.1, -0.1, 0.1, 0.1]'))
    with pytest.warns(InseganWarning, match='holds bound, which is not used: .* bounds'):
        assert read_workspace(path).bounds is None
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for other in ('instances: 5', 'picks.wall_height_m: 0.06', 'wall_noise_m: 0.001'):
            path.write_text(content.format(other))
            read_workspace(path)


def test_what_stands_high_at_the_rim_is_in_view():
    """A tower of a third of the camera's height beside the bounds: its top is seen half as far out
    again as its foot."""
    camera = Intrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
    workspace = Workspace((0.0, 0.0, -1.0, 0.6), (-0.1, -0.1, 0.1, 0.1))
    depth = np.full((240, 320), 0.6, np.float32)
    flat = Frame(depth.copy(), camera)
    assert workspace.view(flat) == workspace.window(camera)
    right = round(159.5 + 300 * 0.1 / 0.4)
    depth[100:140, right - 30 : right] = 0.4
    left, top, right_end, bottom = workspace.view(Frame(depth, camera))
    assert workspace.window(camera)[2] < right <= right_end and left >= 0 and bottom <= 240
    # A hand before the lens is no reason to look at a whole room.
    depth[:] = 0.001
    assert workspace.view(Frame(depth, camera)) == workspace.window(camera, MOST_MARGIN)
    none = Frame(np.full((240, 320), np.nan, np.float32), camera)
    assert workspace.view(none) == workspace.window(camera)
