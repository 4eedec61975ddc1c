"""Where the bin stands and how full it is, on bins whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from tilted_bins import BIN, DEPTH_CAMERA, cylinders_at, tilted_camera

from insegan_ros.frame import Frame
from insegan_ros.picking.carrier import Place, _mean_height, find_carrier
from insegan_ros.workspace import Workspace

WALL_M, FLOOR_M = 0.1, 0.6
# 20 x 16 cm, a wall of 1 cm around it.
OPEN = Workspace((0.0, 0.0, -1.0, FLOOR_M), (-0.1, -0.08, 0.1, 0.08))


def box_bin(
    level_m: float = 0.0,
    share: float = 1.0,
    shift_m: float = 0.0,
    noise_m: float = 0.0,
    down_m: float = 0.0,
    turn_deg: float = 0.0,
) -> Frame:
    """A bin as its heights: walls of WALL_M, and from the left so large a share of its inside is
    filled to a level. Moved to the right and down, and turned from x towards y."""
    cosine, sine = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    rays = DEPTH_CAMERA.rays()
    depth = np.full(rays.shape[:2], np.inf)
    # The nearest of level planes that a ray meets where they are.
    for height, where in (
        (0.0, lambda x, y: np.ones_like(x, bool)),
        (level_m, lambda x, y: (np.abs(y) < 0.08) & (x > -0.1) & (x < -0.1 + 0.2 * share)),
        (
            WALL_M,
            lambda x, y: (
                (np.abs(x) < 0.11) & (np.abs(y) < 0.09) & ~((np.abs(x) < 0.1) & (np.abs(y) < 0.08))
            ),
        ),
    ):
        at = FLOOR_M - height
        x, y = rays[..., 0] * at - shift_m, rays[..., 1] * at - down_m
        hit = where(cosine * x + sine * y, cosine * y - sine * x)
        depth = np.where(hit, np.minimum(depth, at), depth)
    noise = noise_m * np.random.default_rng(0).standard_normal(depth.shape)
    return Frame((depth + noise).astype(np.float32), DEPTH_CAMERA)


@pytest.mark.parametrize(
    'level_m, share, fill', [(0, 1, 0), (0.05, 1, 0.5), (0.08, 0.5, 0.4), (0.09, 1, 0.9)]
)
@pytest.mark.parametrize('noise_m', [0.0, 0.002])
def test_the_fill_is_volume_by_volume(level_m, share, fill, noise_m):
    found = find_carrier(box_bin(level_m, share, noise_m=noise_m), OPEN)
    assert found.fill == pytest.approx(fill, abs=0.02) and not found.overfilled
    assert found.place == Place.IN_PLACE and found.rim.height_m == pytest.approx(WALL_M, abs=2e-3)
    # Walls that are said to be twice as high.
    assert find_carrier(box_bin(level_m, share), OPEN, 0.2).fill == pytest.approx(
        fill / 2, abs=0.02
    )


def test_what_is_not_read_is_as_high_as_what_is_around_it():
    frame = box_bin(0.05)
    rng = np.random.default_rng(1)
    holes = rng.random((40, 60)) < 0.3
    depth = np.where(np.kron(holes, np.ones((10, 10), bool)), np.nan, frame.depth_m)
    assert find_carrier(Frame(depth.astype(np.float32), DEPTH_CAMERA), OPEN).fill == pytest.approx(
        0.5, abs=0.03
    )
    blind = frame.depth_m.copy()
    blind[160:240, 240:360] = np.nan
    blind[140:] = np.nan
    assert np.isnan(find_carrier(Frame(blind, DEPTH_CAMERA), OPEN, WALL_M).fill)


def test_overfilled_is_what_stands_above_the_rim_by_more_than_noise():
    assert not find_carrier(box_bin(0.095, noise_m=0.001), OPEN).overfilled
    assert find_carrier(box_bin(0.12, 0.3), OPEN).overfilled
    # A square centimetre is a stray.
    assert not find_carrier(box_bin(0.12, 0.003), OPEN).overfilled
    assert find_carrier(box_bin(0.05), OPEN, 0.03).overfilled, 'as the walls are said to be'


def test_the_pose_is_the_configured_one_until_the_bin_has_moved():
    found = find_carrier(box_bin(0.05), OPEN)
    expected = np.diag([1.0, -1.0, -1.0, 1.0])
    expected[:3, 3] = 0, 0, FLOOR_M
    assert np.allclose(found.pose, expected)
    assert found.said.startswith('in place: 0.')
    moved = find_carrier(box_bin(0.05, shift_m=0.012), OPEN)
    assert moved.place == Place.MOVED and moved.said.startswith('moved: 12.')
    assert moved.pose[:3, 3] == pytest.approx([0.012, 0, FLOOR_M], abs=8e-4)
    # It is as full as before, though it has left the bounds in part.
    assert moved.fill == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize('turn_deg', [3.0, -2.0])
@pytest.mark.parametrize('middle', [(0.0, 0.0), (0.02, -0.01)])
def test_a_bin_that_was_moved_and_turned_is_found_so(middle, turn_deg):
    """Bounds whose middle is not the axis'; what lies in it lies at one of its ends."""
    x, y = middle
    bounds = x - 0.1, y - 0.08, x + 0.1, y + 0.08
    frame = box_bin(0.08, 0.5, x + 0.012, 0.0, y - 0.008, turn_deg)
    found = find_carrier(frame, Workspace(OPEN.floor, bounds))
    assert found.place == Place.MOVED and found.fill == pytest.approx(0.4, abs=0.02)
    assert found.pose[:3, 3] == pytest.approx([x + 0.012, y - 0.008, FLOOR_M], abs=1e-3)
    cosine, sine = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    expected = np.array([[cosine, sine, 0], [sine, -cosine, 0], [0, 0, -1]])
    assert found.pose[:3, :3] == pytest.approx(expected, abs=5e-3)
    assert f'{turn_deg:.0f}' in found.said and found.said.startswith('moved: 14.')


@pytest.mark.parametrize(
    'hidden, way',
    [(np.s_[:, :230], 'x'), (np.s_[:, 370:], 'x'), (np.s_[:145], 'y'), (np.s_[255:], 'y')],
    ids=str,
)
def test_of_a_bin_that_is_seen_in_part_it_is_said_which_way_it_is_not(hidden, way):
    """One of its sides is hidden by something high: across that one it may have moved."""
    frame = box_bin(0.05)
    frame.depth_m[hidden] = 0.4
    found = find_carrier(frame, OPEN, WALL_M)
    assert found.place == Place.NOT_SEEN
    assert found.rim.seen.tolist() == [way == 'y', way == 'x']
    assert found.said.startswith(f'along {way} not seen: ')


def test_cells_that_are_far_from_any_reading_are_as_high_as_the_mean():
    half = np.array([0.1, 0.08], np.float32)
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(-0.1, 0.1, 60_000), rng.uniform(-0.08, 0.08, 60_000)])
    heights = np.where(places[0] < -0.05, 0.04, 0.02)
    whole = np.vstack([places, heights]).astype(np.float32)
    assert _mean_height(whole, half) == pytest.approx(0.25 * 0.04 + 0.75 * 0.02, rel=0.01)
    # The right half is not read: near its rim it is as high as what is beside it.
    left = _mean_height(whole[:, places[0] < 0], half)
    near = 0.5 * 0.03 + 0.5 * 0.03
    assert left == pytest.approx(near, rel=0.1) and left < near
    assert np.isnan(_mean_height(whole[:, places[0] < -0.05], half))
    # Readings on the very rim are in the outermost cells; the floor's noise has no volume.
    rim = np.array([[0.1, -0.1], [0.08, -0.08], [0.0, 0.0]], np.float32)
    assert _mean_height(np.hstack([whole, rim]), half) > 0.02
    assert _mean_height(whole * np.float32([[1], [1], [-1]]), half) == 0


def test_under_a_tilted_camera_the_pose_is_the_bins():
    camera = tilted_camera((15.0, -10.0, 25.0))
    scene = cylinders_at(camera, (0.02, 0.01), (-0.05, 0.03), sensor='d435')
    found = find_carrier(scene.frame, scene.workspace)
    assert found.place == Place.IN_PLACE and found.fill < 0.1
    # The simulator's world: its origin in the middle of the floor, z up, x along the width.
    assert np.allclose(found.pose, camera.camera_from_world, atol=1e-6)
    assert found.rim.height_m == pytest.approx(BIN.height_m, abs=2e-3)


def test_where_no_rim_is_seen_it_is_said():
    depth = np.full((400, 600), FLOOR_M, np.float32)
    found = find_carrier(Frame(depth, DEPTH_CAMERA), OPEN)
    assert found.place == Place.NOT_SEEN and np.isnan(found.fill) and not found.overfilled
    assert found.said == 'too little of the rim is seen'
    assert find_carrier(Frame(depth, DEPTH_CAMERA), OPEN, WALL_M).fill == 0
    nothing = np.full((400, 600), np.nan, np.float32)
    assert np.isnan(find_carrier(Frame(nothing, DEPTH_CAMERA), OPEN, WALL_M).fill)


@pytest.mark.parametrize('name', ['tote', 'bin-0', 'bin-1'])
def test_real_bins_that_stand_still_have_not_moved(name):
    """Tilted by 34 to 45 degrees: none shows all of its rim, and none is said to be in its
    place either."""
    from insegan_ros.benchmarks.real import bin_pictures
    from insegan_ros.picking.calibrate import calibrate

    empty, full = bin_pictures(name)
    workspace = calibrate([empty], in_use=True)[0].workspace
    for frame in (empty, full):
        assert find_carrier(frame, workspace).place == Place.NOT_SEEN
        assert np.isnan(find_carrier(frame, workspace).fill)
    levels = [find_carrier(frame, workspace, 0.2).fill for frame in (empty, full)]
    assert levels[0] < 0.05 and levels[1] > levels[0]
