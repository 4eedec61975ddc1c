"""A bin that was moved before its camera, by how far and how its rim is seen to have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tilted_bins import BIN, DEPTH_CAMERA, MOULDED, tilted_camera

from insegan_ros.errors import InputError
from insegan_ros.picking.rim import ENDS, SLOTS, Rim, _fit, find_rim, places_of
from insegan_ros.workspace import Workspace
from insegan_sim.camera import Camera
from insegan_sim.parts import load_part
from insegan_sim.scenes import Setup, photograph
from insegan_sim.sensor import IdealSensor, load_sensor

NOTHING = np.zeros((0, 4, 4))


def moved(camera: Camera, x_mm: float, y_mm: float, degrees: float) -> Camera:
    """The camera of a bin that was moved on its table, along the world's axes."""
    move, turn = np.eye(4), np.radians(degrees)
    move[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    move[:2, 3] = x_mm / 1000, y_mm / 1000
    return replace(camera, camera_from_world=camera.camera_from_world @ move)


def rim_of(camera: Camera, workspace: Workspace, sensor: str = '', seed: int = 0) -> Rim | None:
    chosen = load_sensor(sensor) if sensor else IdealSensor()
    setup = Setup((load_part('nut'),), camera, sensor=chosen)
    frame = photograph(setup, [], NOTHING, np.random.default_rng(seed)).frame
    return find_rim(
        places_of(frame.depth_m, workspace, camera.intrinsics), workspace, frame.intrinsics
    )


@pytest.mark.parametrize('shift_m, turn_deg', [((0.01, -0.004), 2.0), ((-0.003, 0.0), -3.0)])
def test_the_corner_that_moved_most_is_told(shift_m, turn_deg):
    """Edges of every slot of a bin of 20 x 16 cm, all of them as far outside of its bounds."""
    half, edges = np.array([0.1, 0.08]), []
    for side, (x, y) in enumerate(((-1, 0), (0, -1), (1, 0), (0, 1))):
        for slot in (np.arange(SLOTS) + 0.5) / SLOTS * 2 - 1:
            along = slot * (1 - 2 * ENDS)
            point = np.array([x or along, y or along]) * half
            move = shift_m + np.radians(turn_deg) * np.array([-point[1], point[0]])
            edges.append(np.dot((x, y), move) + (0.003, 0.007)[side % 2])
    rim = _fit(np.arange(4 * SLOTS), np.array(edges), half, 0.05, 0.001)
    assert rim.shift_m == pytest.approx(shift_m, abs=1e-9) and rim.complete and rim.moved
    assert rim.turn_deg == pytest.approx(turn_deg, abs=1e-9) and rim.height_m == 0.05
    corners = np.array([(x, y) for x in (-0.1, 0.1) for y in (-0.08, 0.08)])
    turned = np.radians(turn_deg) * np.stack([-corners[:, 1], corners[:, 0]], 1)
    moves = np.linalg.norm(shift_m + turned, axis=1)
    assert rim.reach_m == pytest.approx(moves.max(), abs=1e-9) and np.ptp(moves) > 0.001
    # No edge is surer than the pixels' grid: a pixel, and five standard deviations.
    assert 0.0019 < rim.limit_m < 0.0022


def test_places_are_those_of_the_workspace():
    camera = tilted_camera((12.0, -8.0, 20.0))
    workspace = camera.workspace
    depth = np.full((400, 600), 0.5, np.float32)
    depth[100, 100:300] = np.nan
    x, y, height = places_of(depth, workspace, camera.intrinsics)
    rows, columns = np.mgrid[:400, :600]
    chosen = (columns + 2 * rows) % 5 == 0
    points = DEPTH_CAMERA.points(depth)[chosen].astype(float)
    x_min, y_min, x_max, y_max = workspace.bounds
    feet = workspace.on_floor(points) - [(x_min + x_max) / 2, (y_min + y_max) / 2]
    assert np.allclose(np.stack([x, y], -1), feet, atol=1e-5, equal_nan=True)
    assert np.allclose(height, workspace.height_of(points), atol=1e-5, equal_nan=True)
    # Some of every row and of every column.
    assert chosen.any(0).all() and chosen.any(1).all() and chosen.mean() == pytest.approx(0.2)


@pytest.mark.parametrize('container', [BIN, MOULDED])
@pytest.mark.parametrize('tilt_deg', [(0.0, 0.0, 0.0), (15.0, -10.0, 25.0)])
def test_a_bin_that_stands_still_has_not_moved(container, tilt_deg):
    camera = tilted_camera(tilt_deg, container=container)
    for sensor in ('', 'd435'):
        rim = rim_of(camera, camera.workspace, sensor)
        assert rim is not None and not rim.moved
        assert rim.reach_m < 0.8e-3 and rim.height_m == pytest.approx(0.08, abs=2e-3)


@pytest.mark.parametrize('sensor', ['', 'd435'])
@pytest.mark.parametrize(
    'x_mm, y_mm, degrees', [(3, 0, 0), (0, -5, 0), (7, 7, 0), (-20, 4, 0), (0, 0, 1), (4, -3, 3)]
)
def test_how_far_it_has_moved_and_turned_is_seen(sensor, x_mm, y_mm, degrees):
    camera = tilted_camera((10.0, 5.0, 15.0))
    before = camera.workspace
    after = moved(camera, x_mm, y_mm, degrees)
    rim = rim_of(after, before, sensor)
    assert rim is not None and rim.moved
    middles = np.stack([one.camera_from_world[:3, 3] for one in (camera, after)])
    truth = np.diff(before.on_floor(middles), axis=0)[0]
    assert rim.shift_m == pytest.approx(truth, abs=0.8e-3)
    # The world's z points at the camera, the floor's frame is seen from above: turns are mirrored.
    assert rim.turn_deg == pytest.approx(-degrees, abs=0.2)


def test_of_a_small_turn_the_corners_tell():
    """A degree moves the corner of a bin of 24 x 18 cm by 2.6 mm."""
    camera = tilted_camera((0.0, 0.0, 0.0))
    rim = rim_of(moved(camera, 0, 0, 1), camera.workspace)
    half = np.array([0.117, 0.087])
    assert rim.reach_m == pytest.approx(np.radians(1) * np.linalg.norm(half), rel=0.05)
    assert np.linalg.norm(rim.shift_m) < 2e-4


def test_one_wall_that_is_another_or_leans_otherwise_moves_nothing():
    """Bounds that lie off one wall of three: the shift along that axis is not seen."""
    camera = tilted_camera((0.0, 0.0, 0.0))
    x_min, y_min, x_max, y_max = camera.workspace.bounds
    off = replace(camera.workspace, bounds=(x_min, y_min + 0.008, x_max, y_max))
    setup = Setup((load_part('nut'),), camera)
    depth = photograph(setup, [], NOTHING, np.random.default_rng(0)).frame.depth_m.copy()
    depth[270:] = np.nan
    rim = find_rim(places_of(depth, off, DEPTH_CAMERA), off, DEPTH_CAMERA)
    assert rim.seen.tolist() == [True, False] and not rim.moved and rim.shift_m[1] == 0
    # A board that stands higher than the rim on one side is no side of it.
    depth = photograph(setup, [], NOTHING, np.random.default_rng(0)).frame.depth_m.copy()
    depth[:, :195] = np.minimum(depth[:, :195], 0.5 - 0.12)
    rim = find_rim(places_of(depth, off, DEPTH_CAMERA), off, DEPTH_CAMERA)
    assert rim.seen.tolist() == [False, True] and rim.height_m == pytest.approx(0.08, abs=1e-3)


def test_without_walls_nothing_is_seen_and_without_bounds_it_is_said():
    flat = Workspace((0.0, 0.0, -1.0, 0.5), (-0.1, -0.1, 0.1, 0.1))
    depth = np.full((400, 600), 0.5, np.float32)
    assert find_rim(places_of(depth, flat, DEPTH_CAMERA), flat, DEPTH_CAMERA) is None
    depth[:] = np.nan
    assert find_rim(places_of(depth, flat, DEPTH_CAMERA), flat, DEPTH_CAMERA) is None
    with pytest.raises(InputError, match='the workspace has no bounds'):
        places_of(depth, Workspace((0.0, 0.0, -1.0, 0.5)), DEPTH_CAMERA)


def test_sides_that_face_each_other_tell_of_one_axis_and_things_on_the_rim_do_not_disturb():
    camera = tilted_camera((0.0, 0.0, 0.0))
    setup = Setup((load_part('nut'),), camera)
    depth = photograph(setup, [], NOTHING, np.random.default_rng(0)).frame.depth_m.copy()
    half = depth.copy()
    # What is left of the picture shows the sides at x_min and x_max, and a third of the others.
    half[:150], half[-150:] = np.nan, np.nan
    places = places_of(half, camera.workspace, DEPTH_CAMERA)
    rim = find_rim(places, camera.workspace, DEPTH_CAMERA)
    assert rim.seen.tolist() == [True, False] and not rim.complete and not rim.moved
    assert rim.shift_m == pytest.approx([0, 0], abs=3e-4)
    # Without the left side, neither of them.
    half[:, :300] = np.nan
    places = places_of(half, camera.workspace, DEPTH_CAMERA)
    assert find_rim(places, camera.workspace, DEPTH_CAMERA) is None
    # A part that leans on the rim and stands higher than it.
    depth[180:210, 160:230] = 0.5 - 0.1
    places = places_of(depth, camera.workspace, DEPTH_CAMERA)
    rim = find_rim(places, camera.workspace, DEPTH_CAMERA)
    assert rim is not None and not rim.moved and rim.reach_m < 0.5e-3
