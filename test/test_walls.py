"""Readings of a bin's walls are neither part nor floor."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from tilted_bins import BIN, MOULDED, cylinders_at, tilted_camera

from insegan_ros.data.scene import Scene
from insegan_ros.walls import wall_readings
from insegan_ros.workspace import Workspace

NOISE_M = 0.001


def at_the_walls(workspace: Workspace, noise_m: float) -> Workspace:
    """The same bin, its bounds the walls themselves."""
    half_x, half_y = BIN.width_m / 2, BIN.depth_m / 2
    x_min, y_min, x_max, y_max = workspace.require_bounds()
    x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
    bounds = x - half_x, y - half_y, x + half_x, y + half_y
    corner_m = workspace.corner_radius_m and MOULDED.rounding[0]
    return replace(workspace, bounds=bounds, wall_noise_m=noise_m, corner_radius_m=corner_m)


def standing(scene: Scene, noise_m: float) -> np.ndarray:
    workspace = at_the_walls(scene.require_workspace(), noise_m)
    return workspace.height_map(scene.frame) > 0.006


@pytest.mark.parametrize('tilt', [(0.0, 0.0, 0.0), (20.0, 0.0, 0.0), (-15.0, 10.0, 8.0)])
def test_noisy_walls_are_no_parts_and_parts_at_them_stay_whole(tilt):
    """Without the walls' planes, noise makes strips of wall stand in the bin."""
    camera = tilted_camera(tilt)
    places = (0.03, 0.0695), (-0.03, -0.0695), (0.0, 0.0)
    scene = cylinders_at(camera, *places, sensor='d435')
    labels = scene.known_labels()
    beside = cv2.dilate((labels > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    with_walls, without = standing(scene, NOISE_M), standing(scene, 0.0)
    assert (without & beside).sum() > 4000 and (with_walls & beside).sum() < 100
    for label in (1, 2, 3):
        own = labels == label
        assert (own & with_walls).sum() > 0.95 * (own & without).sum()


@pytest.mark.parametrize('tilt', [(0.0, 0.0, 0.0), (20.0, 0.0, 0.0), (-15.0, 10.0, 8.0)])
def test_round_corners_and_walls_that_lean_are_no_parts(tilt):
    """To a box with upright walls, every corner of a moulded bin is a part of its own."""
    places = (0.085, 0.0695), (-0.07, -0.0695), (0.0, 0.0)
    scene = cylinders_at(tilted_camera(tilt, container=MOULDED), *places, sensor='d435')
    moulded = at_the_walls(scene.require_workspace(), NOISE_M)
    box = replace(moulded, corner_radius_m=0.0, foot_radius_m=0.0, wall_slope_deg=0.0)
    labels = scene.known_labels()
    beside = cv2.dilate((labels > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    found, boxed = (one.height_map(scene.frame) > 0.006 for one in (moulded, box))

    def largest(mask: np.ndarray) -> int:
        stats = cv2.connectedComponentsWithStats((mask & beside).astype(np.uint8))[2]
        return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))

    assert largest(boxed) > 300 and largest(found) < 60
    assert (found & beside).sum() < 0.1 * (boxed & beside).sum()
    points = scene.frame.points()
    stands = moulded.height_of(points) > 0.006
    for label in (1, 2, 3):
        own = (labels == label) & stands
        assert (own & found).sum() > 0.98 * own.sum()


def test_the_distance_to_moulded_walls_is_worked_out_by_hand():
    """A bin of 20 x 20 cm seen from a metre above, its corners and foot of 4 and 1 cm."""
    bin_ = Workspace((0.0, 0.0, -1.0, 1.0), (-0.1, -0.1, 0.1, 0.1), 0.0, 0.0, 0.04, 0.01, 45.0)
    for (x, y, height), expected in {
        (0.07, 0.0, 0.01): 0.04,
        # A wall that leans by 45 degrees is so much farther away, so much higher up.
        (0.07, 0.0, 0.02): 0.05,
        # Where the corner's circle goes through the diagonal, and at its centre.
        (0.06 + 0.04 / 2**0.5, 0.06 + 0.04 / 2**0.5, 0.02): 0.02,
        (0.06, 0.06, 0.01): 0.05,
        # The foot leaves the floor a centimetre before the wall.
        (0.0, 0.0, 0.0): 0.09,
        (0.09, 0.0, 0.0): 0.0,
        (0.095, 0.0, -0.001): -0.006,
        (0.11, 0.0, 0.01): 0.0,
        (0.0, 0.08, 0.005): 0.02 + 0.005 - (0.01 - 0.75**0.5 * 0.01),
    }.items():
        point = np.array([x, y, 1.0 - height])
        assert bin_.wall_distance(point) == pytest.approx(expected, abs=1e-9), (x, y, height)
        assert bin_.contains(point) == (bin_.wall_distance(point) >= 0)
    nowhere = np.full(3, np.nan)
    assert not bin_.contains(nowhere)


@pytest.mark.parametrize('depth_m, thick_m', [(1.0, 0.0006), (0.5, 0.0003)])
def test_a_wall_is_as_thick_as_its_readings_are_noisy(depth_m, thick_m):
    """Upright walls 10 cm beside the axis of a camera a metre above the floor. At half the distance
    the noise is a quarter, and the line of sight runs across them twice as much."""
    bin_ = Workspace((0.0, 0.0, -1.0, 1.0), (-0.1, -0.1, 0.1, 0.1), wall_noise_m=0.002)
    inwards = np.array([-0.003, 0.9 * thick_m, 1.1 * thick_m, 0.002, 0.004, 0.01])
    x = np.concatenate([0.1 - inwards, [np.nan]])
    points = np.stack([x, 0 * x, depth_m + 0 * x], -1)[None].astype(np.float32)
    # One piece that reaches far into the bin: but for its end it is no wall's.
    found = wall_readings(bin_, points, np.full((1, 7), 0.02, np.float32))
    assert found.tolist() == [[True, True, False, False, False, False, False]]
    # What reaches no farther than a strip is what is left of the wall.
    assert wall_readings(bin_, points[:, :4], np.full((1, 4), 0.02, np.float32)).all()
    low = wall_readings(bin_, points[:, :4], np.full((1, 4), 0.004, np.float32))
    assert low.tolist() == [[True, True, False, False]], 'nothing stands there'


@pytest.mark.parametrize('noise_m, wall', [(0.002, True), (0.0005, False)])
def test_what_noise_lifts_off_a_wall_that_leans_is_the_walls(noise_m, wall):
    """A reading of the wall, 5 cm up, that is 4 mm too near: it seems to lie 4 mm before it."""
    bin_ = Workspace(
        (0.0, 0.0, -1.0, 1.0), (-0.1, -0.1, 0.1, 0.1), 0.0, noise_m, wall_slope_deg=45.0
    )
    point = np.array([0.15, 0.0, 0.95]) * 0.946 / 0.95
    assert bin_.wall_distance(point) == pytest.approx(0.0046, abs=1e-4)
    # A part reaches from there to the middle.
    points = np.stack([np.linspace(point[0], 0, 9), np.zeros(9), np.full(9, 0.946)], -1)[None]
    found = wall_readings(bin_, points, bin_.height_of(points))
    assert found[0, 0] == wall and not found[0, 1:].any()


def test_parts_that_only_touched_a_wall_stand_alone():
    scene = cylinders_at(tilted_camera((20.0, 0.0, 0.0)), (-0.06, -0.0695), (0.06, -0.0695))
    frame, workspace = scene.frame, scene.require_workspace()
    # The wall bulges a little, as a tote's does: its face is one piece with both parts.
    points = frame.points()
    far = np.abs(at_the_walls(workspace, 0.0).wall_distances(points)[..., 3]) < 1e-3
    frame.depth_m[far & (scene.known_labels() == 0)] -= 0.0025
    assert (far & (scene.known_labels() == 0)).sum() > 1000

    def pieces(noise_m: float) -> set[int]:
        count, found = cv2.connectedComponents(standing(scene, noise_m).astype(np.uint8))
        return {int(found[scene.known_labels() == label].max()) for label in (1, 2)}

    assert len(pieces(0.0)) == 1 and len(pieces(NOISE_M)) == 2


def test_a_bin_without_bounds_has_no_walls():
    scene = cylinders_at(tilted_camera((20.0, 0.0, 0.0)), (0.0, 0.0))
    free = Workspace(scene.require_workspace().floor)
    walls = replace(free, wall_noise_m=NOISE_M)
    assert np.array_equal(walls.height_map(scene.frame), free.height_map(scene.frame))
