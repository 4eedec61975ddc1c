"""Where an empty bin is, found in what a camera sees of it; what is no empty bin is refused with
what was seen."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml
from empty_bins import SETUP, empty
from tilted_bins import BIN, MOULDED, cylinders_at, tilted_camera

from insegan_ros.errors import DatasetError, InputError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.picking.calibrate import (
    Calibration,
    _farthest,
    _median,
    calibrate,
    spread,
    write_calibration,
)
from insegan_ros.picking.floor_view import lay_out
from insegan_ros.workspace import Workspace
from insegan_sim.container import Container
from insegan_sim.scenes import scene_stream

TINY = Intrinsics(1.0, 1.0, 0.0, 0.0, 1, 1)


@pytest.mark.parametrize('sensor', ['ideal', 'd435'])
def test_floor_inside_and_walls_of_an_empty_bin(sensor):
    found, _ = calibrate(empty(sensor))
    truth = SETUP.camera.workspace
    assert found.workspace.floor_distance_m == pytest.approx(truth.floor_distance_m, abs=0.002)
    assert found.workspace.floor[2] < -0.9995 and np.linalg.norm(
        found.workspace.floor[:3]
    ) == pytest.approx(1)
    assert np.allclose(found.workspace.bounds, truth.bounds, atol=0.012) and found.frames == 3
    assert found.wall_m == pytest.approx(SETUP.container.height_m, abs=0.015)
    assert found.noise_m < (0.0005 if sensor == 'ideal' else 0.004)


@pytest.mark.parametrize('middle', [(79.5, 59.5), (80.0, 60.0), (78.7, 61.2)])
def test_seen_from_straight_above_the_floor_laid_out_is_the_cameras_picture(middle):
    camera = Intrinsics(200.0, 200.0, *middle, 160, 120)
    depth = 0.5 + np.random.default_rng(0).uniform(-0.001, 0.001, (120, 160)).astype(np.float32)
    piece = np.zeros(depth.shape, bool)
    piece[30:90, 40:120] = True
    view, laid = lay_out(Frame(depth, camera), Workspace((0.0, 0.0, -1.0, 0.5)), piece)
    assert laid.sum() == piece.sum()
    assert np.allclose(view.heights[laid], 0.5 - depth[piece], atol=1e-6)


def test_a_bin_with_a_part_in_it_is_refused():
    full = replace(SETUP, count=(1, 1))
    with pytest.raises(
        InputError,
        match=r'the bin is not empty: .* % of its inside stands more than 8 mm above the floor',
    ):
        calibrate([next(scene_stream(full)).frame])
    # However many there are, and wherever: seldom is what is left of the floor taken for the bin.
    for count, seed in itertools.product((1, 2, 5), range(4)):
        with pytest.raises(
            InputError, match='not empty|the floor goes on beyond|is something lying in it'
        ):
            calibrate([next(scene_stream(replace(SETUP, count=(count, count), seed=seed))).frame])


def test_readings_that_are_missing_now_and_then_do_no_harm():
    frames = empty(count=6)
    rng = np.random.default_rng(0)
    for frame in frames:
        frame.depth_m[rng.random(frame.depth_m.shape) < 0.3] = np.nan
        frame.depth_m[rng.random(frame.depth_m.shape) < 0.02] = 0.2
    assert np.allclose(
        calibrate(frames)[0].workspace.bounds, SETUP.camera.workspace.bounds, atol=0.012
    )


def test_pictures_of_no_bin_are_refused():
    camera = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)
    with pytest.raises(InputError, match='no picture'):
        calibrate([])
    with pytest.raises(InputError, match='0 % of the image has a reading'):
        calibrate([Frame(np.full((120, 160), np.nan, np.float32), camera)])
    with pytest.raises(InputError, match='different sizes'):
        calibrate([*empty(count=1), Frame(np.full((120, 160), 0.5, np.float32), camera)])
    rubble = np.random.default_rng(0).uniform(0.3, 0.9, (120, 160)).astype(np.float32)
    with pytest.raises(InputError, match='expected'):
        calibrate([Frame(rubble, camera)])


def test_something_flat_on_the_floor_is_no_floor():
    camera = Intrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
    depth = np.full((240, 320), 0.56, np.float32)
    depth[20:220, 30:290] = 0.6
    assert calibrate([Frame(depth, camera)])[0].wall_m == pytest.approx(0.04, abs=1e-3)
    # A sheet of 30 mm on the middle of the floor, which is seen all around it.
    depth[60:180, 80:240] = 0.57
    with pytest.raises(InputError, match='lies 30 mm above what is around it'):
        calibrate([Frame(depth, camera)])
    # What a table stands on is deeper than any part is high.
    table = np.full((240, 320), 1.3, np.float32)
    table[40:200, 60:260] = 0.6
    assert calibrate([Frame(table, camera)])[0].workspace.floor_distance_m == pytest.approx(
        0.6, abs=1e-3
    )


@pytest.mark.parametrize(
    'side_m, floor_m, wall_m', [(0.08, 0.002, 0.03), (0.1, 0.003, 0.05), (0.08, 0.01, 0.04)]
)
def test_a_bin_that_is_small_in_the_picture_is_not_the_table_around_it(side_m, floor_m, wall_m):
    camera = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)
    u, v = np.meshgrid(np.arange(640) - 319.5, np.arange(480) - 239.5)

    def within(half_m, depth_m):
        return np.maximum(abs(u), abs(v)) < half_m * 600 / depth_m

    # Walls of 3 mm on a table, 70 cm of which are seen; at their feet there is no reading.
    depth = np.full((480, 640), 0.65, np.float32)
    depth[within(side_m / 2 + 0.003, 0.65 - wall_m)] = 0.65 - wall_m
    depth[within(side_m / 2, 0.65 - wall_m)] = np.nan
    depth[within(side_m / 2, 0.65 - floor_m)] = 0.65 - floor_m
    depth += np.random.default_rng(0).normal(0, 0.001, depth.shape).astype(np.float32)
    found, _ = calibrate([Frame(depth, camera)])
    x_min, y_min, x_max, y_max = found.workspace.bounds
    assert (x_max - x_min, y_max - y_min) == pytest.approx((side_m, side_m), abs=0.004)
    assert found.workspace.floor_distance_m == pytest.approx(0.65 - floor_m, abs=5e-4)
    # A box of the same size that lies there is no bin.
    depth[within(side_m / 2 + 0.003, 0.65 - wall_m)] = 0.65 - wall_m
    with pytest.raises(InputError, match='not empty|lies .* above what is around it'):
        calibrate([Frame(depth, camera)])


def test_a_table_without_walls_is_a_workspace_too():
    found, _ = calibrate(
        [
            Frame(
                np.full((120, 160), 0.5, np.float32), Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)
            )
        ]
    )
    assert found.wall_m == 0 and 'no walls were seen' in found.text()
    assert found.workspace.bounds[2] - found.workspace.bounds[0] == pytest.approx(
        159 / 200 * 0.5 - 0.006, abs=1e-3
    )


def test_what_is_written_is_what_the_node_reads(tmp_path):
    found, picture = calibrate(empty())
    drawn = write_calibration(found, picture, tmp_path / 'bin.yaml')
    values = yaml.safe_load((tmp_path / 'bin.yaml').read_text())['/**']['ros__parameters']
    assert np.allclose(values['floor'], found.workspace.floor, atol=1e-5) and np.allclose(
        values['bounds'], found.workspace.bounds, atol=1e-4
    )
    tinted = cv2.imread(str(drawn)).astype(int)
    green = tinted[..., 1] > tinted[..., 2] + 10
    x_min, _, x_max, _ = SETUP.camera.workspace.bounds
    expected = (
        (x_max - x_min) / SETUP.camera.workspace.floor_distance_m * SETUP.camera.intrinsics.fx
    )
    assert green.any(1).sum() > 100 and green[240].sum() == pytest.approx(expected, rel=0.15)
    with pytest.raises(DatasetError, match='exists'):
        write_calibration(found, picture, tmp_path / 'bin.yaml')
    with pytest.raises(DatasetError, match='.yaml'):
        write_calibration(found, picture, tmp_path / 'bin.txt')


def pictures_of(
    tilt: tuple[float, float, float],
    count: int = 0,
    sensor: str = 'd435',
    container: Container = BIN,
) -> tuple[list[Frame], Workspace]:
    """Three pictures of a bin under a tilted camera, or so many with three cylinders in it, each
    picture's elsewhere."""
    camera = tilted_camera(tilt, container=container)
    rng = np.random.default_rng(0)
    places = [rng.uniform((-0.08, -0.065), (0.08, 0.065), (3, 2)) for _ in range(count)] or [()] * 3
    scenes = [
        cylinders_at(camera, *map(tuple, some), sensor=sensor, seed=index)
        for index, some in enumerate(places)
    ]
    return [scene.frame for scene in scenes], camera.workspace


@pytest.mark.parametrize('tilt', [(20.0, 0.0, 0.0), (-15.0, 10.0, 8.0)])
def test_a_tilted_camera_finds_the_walls_of_a_turned_bin(tilt):
    frames, truth = pictures_of(tilt)
    found = calibrate(frames)[0]
    assert np.allclose(found.workspace.bounds, truth.bounds, atol=0.004)
    assert found.workspace.bounds_turn_deg == pytest.approx(truth.bounds_turn_deg, abs=0.4)
    assert np.allclose(found.workspace.floor, truth.floor, atol=0.004)
    assert len(found.wall_residuals_m) == 4 and max(found.wall_residuals_m) < 0.001
    assert 0.0003 < found.workspace.wall_noise_m < 0.002 and found.residual_m < 0.001
    # What the walls' planes are for: nothing stands in the empty bin.
    heights = found.workspace.height_map(frames[0])
    assert (heights > 0.006).mean() < 6e-4
    far = replace(found.workspace, wall_noise_m=0.0).height_map(frames[0])
    assert (far > 0.006).sum() > 1.5 * (heights > 0.006).sum()


def test_a_bin_in_use_is_found_from_what_is_seen_farthest():
    frames, truth = pictures_of((20.0, 0.0, 0.0), count=12)
    with pytest.raises(InputError, match=r'--in-use.*--floor and --bounds by hand'):
        calibrate(frames[:1])
    found = calibrate(frames, in_use=True)[0]
    assert np.allclose(found.workspace.bounds, truth.bounds, atol=0.006)
    assert np.allclose(found.workspace.floor, truth.floor, atol=0.006) and found.frames == 12


def test_floor_and_bounds_by_hand_are_taken_and_checked():
    frames, truth = pictures_of((20.0, 0.0, 0.0), count=1)
    found = calibrate(frames, truth.floor, truth.bounds)[0]
    assert found.workspace.floor == truth.floor and found.workspace.bounds == truth.bounds
    assert 0.3 < found.free < 0.95 and found.residual_m < 0.002
    # As high as the lowest wall, and without one at each side there is none.
    assert found.wall_m == pytest.approx(BIN.height_m, abs=0.005)
    x_min, y_min, x_max, y_max = truth.bounds
    wide = calibrate(frames, truth.floor, (x_min, y_min, x_max + 0.05, y_max))[0]
    assert wide.wall_m == 0 and len(wide.wall_residuals_m) < len(found.wall_residuals_m) == 4
    assert f'{100 * found.free:.0f} % of it free' in found.text()
    assert 'is wrong' not in found.text()
    # So small may parts be: twenty pixels, and five times the noise.
    wide, high = found.smallest_m
    assert wide == pytest.approx(20 * found.workspace.floor_distance_m / frames[0].intrinsics.fx)
    assert high == max(5 * found.noise_m, 0.0015)
    assert f'parts should be {1000 * wide:.0f} mm wide (20 px)' in found.text()


def test_a_floor_by_hand_that_nothing_lies_on_is_taken_with_bounds_and_said_to_be_so():
    frames, truth = pictures_of((20.0, 0.0, 0.0), count=1)
    # Parts may hide all of the floor, or it is the wrong one.
    deep = (*truth.floor[:3], truth.floor[3] + 0.1)
    found = calibrate(frames, deep, truth.bounds)[0]
    assert found.workspace.floor == deep and found.workspace.bounds == truth.bounds
    assert found.free == 0 and '--floor or --bounds is wrong' in found.text()
    with pytest.raises(InputError, match=r'lies on the floor that is given: .* or --bounds too'):
        calibrate(frames, deep)
    aside = calibrate(frames, truth.floor, (2.0, 2.0, 2.2, 2.2))[0]
    assert aside.free == 0 and '--floor or --bounds is wrong' in aside.text()


def test_a_cloud_that_was_cropped_to_the_bin_is_enough():
    frames, truth = pictures_of((0.0, 0.0, 0.0))
    cropped = []
    for frame in frames:
        points = frame.points()
        wide = replace(truth, bounds=(-0.13, -0.1, 0.13, 0.1))
        depth = np.where(wide.contains(points), frame.depth_m, np.nan).astype(np.float32)
        # Beside the picture's middle, and a small part of it.
        depth = np.roll(depth, (80, -150), (0, 1))
        k = frame.intrinsics
        cropped.append(Frame(depth, replace(k, cx=k.cx - 150, cy=k.cy + 80)))
    assert np.isfinite(cropped[0].depth_m).mean() < 0.3
    found = calibrate(cropped)[0]
    assert np.allclose(found.workspace.bounds, truth.bounds, atol=0.004)


def test_frames_are_spread_over_a_recording():
    frames = [Frame(np.full((1, 1), i + 1, np.float32), TINY) for i in range(57)]
    kept = [int(frame.depth_m[0, 0]) for frame in spread(frames, 5)]
    assert len(kept) <= 5 and kept[0] == 1 and kept[-1] > 40 and len(set(np.diff(kept))) == 1
    assert len(spread(frames[:4], 5)) == 4 and len(spread(frames[:5], 5)) == 5
    for count in range(6, 57):
        kept = [int(frame.depth_m[0, 0]) for frame in spread(frames[:count], 5)]
        assert 3 <= len(kept) <= 5 and count - kept[-1] < kept[1] - kept[0]


@pytest.mark.parametrize('count', [4, 5])
def test_a_reading_is_the_median_of_those_there_are(count):
    """None is where fewer than half of the pictures have one."""
    depths = np.array([0.7, 0.4, 0.5, 0.6, 0.8])[:count, None, None] * np.ones((1, 1, 5))
    depths[0, 0, 1], depths[:2, 0, 2], depths[:3, 0, 3], depths[:, 0, 4] = (np.nan,) * 4
    found = _median(depths)[0]
    expected = {4: [0.6, 0.5, 0.6, np.nan, np.nan], 5: [0.6, 0.6, 0.6, np.nan, np.nan]}[count]
    assert found == pytest.approx(expected, nan_ok=True) and found.dtype == np.float32


@pytest.mark.parametrize('count, free', [(10, 2), (15, 2), (20, 3), (30, 4)])
def test_what_is_seen_farthest_in_more_than_a_tenth_of_the_pictures_is_the_floor(count, free):
    """Its readings' mean, whatever lies on it in the others; fewer readings are none."""
    depths = np.full((count, 1, 3), 0.45)
    depths[:free, 0, 0] = 0.5 + 0.002 * np.linspace(-1, 1, free)
    depths[: free - 1, 0, 1] = 0.5
    depths[-(-count // 10) - 1 :, 0, 2] = np.nan
    found = _farthest(depths)[0]
    assert found[0] == pytest.approx(np.mean(depths[:free, 0, 0]))
    assert found[1] == pytest.approx(0.45) and np.isnan(found[2])


def test_a_calibration_says_what_was_found():
    """A floor tilted by asin .6, walls that lean; and nothing but a floor."""
    bin_ = Workspace((0.0, -0.6, -0.8, 0.4), (-0.1, -0.1, 0.2, 0.1), 7.25, 0.0015, 0.03, 0.01, 3.5)
    found = Calibration(bin_, 0.05, 0.0015, 12, 0.0012, (0.0004, 0.0021, 0.0011), 0.834, 0.002)
    assert found.text() == (
        '12 pictures: floor at 0.500 m, tilted 36.9 degrees, noise 1.5 mm, residual 1.2 mm; inside'
        ' 300 x 200 mm, turned 7.2 degrees, 83 % of it free; walls of 50 mm, 3 of four sides are'
        ' walls, 2.1 mm off at most, round by 30 mm at the corners and 10 mm at the foot, and lean'
        ' outwards by 3.5 degrees; a pixel is 2.00 mm there: parts should be 40 mm wide (20 px) and'
        ' 7.5 mm high or more'
    )
    plain = Workspace((0.0, 0.0, -1.0, 0.5), (-0.1, -0.1, 0.1, 0.1))
    text = Calibration(plain, 0.0, 0.0001, 1, pixel_m=0.001).text()
    assert '200 x 200 mm, 100 % of it free; no walls were seen; a pixel is 1.00 mm' in text
    assert text.endswith('20 mm wide (20 px) and 1.5 mm high or more')


@pytest.mark.parametrize('tilt', [(0.0, 0.0, 0.0), (20.0, 0.0, 0.0), (-15.0, 10.0, 8.0)])
def test_round_corners_and_walls_that_lean_are_found(tilt):
    frames, truth = pictures_of(tilt, container=MOULDED)
    found = calibrate(frames)[0]
    # The simulator's bounds keep 3 mm from the walls, found ones half of that.
    assert np.allclose(found.workspace.bounds, truth.bounds, atol=0.004)
    assert found.workspace.corner_radius_m == pytest.approx(MOULDED.rounding[0], abs=0.004)
    assert found.workspace.foot_radius_m == pytest.approx(MOULDED.rounding[1], abs=0.003)
    assert found.workspace.wall_slope_deg == pytest.approx(MOULDED.rounding[2], abs=0.7)
    assert 'lean outwards by' in found.text() and found.free > 0.95
    stands = found.workspace.height_map(frames[0]) > 0.006
    assert stands.sum() < 100
    box = replace(found.workspace, corner_radius_m=0.0, foot_radius_m=0.0, wall_slope_deg=0.0)
    assert (box.height_map(frames[0]) > 0.006).sum() > 500 + 5 * stands.sum()


def test_a_part_in_a_corner_makes_no_round_corner():
    frames, _ = pictures_of((0.0, 0.0, 0.0), count=0)
    scene = cylinders_at(tilted_camera((0.0, 0.0, 0.0)), (0.085, 0.0695), sensor='d435')
    with pytest.raises(InputError, match='expected an empty bin'):
        calibrate([scene.frame])
    assert not calibrate(frames)[0].workspace.moulded
