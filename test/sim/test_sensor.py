from dataclasses import replace

import numpy as np
import pytest

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Intrinsics
from insegan_sim.sensor import IdealSensor, StereoSensor, load_sensor

K = Intrinsics(600.0, 600.0, 159.5, 119.5, 320, 240)
CLEAN = StereoSensor(
    disparity_rms_px=0,
    disparity_step_px=0,
    edge_hole_share=0,
    flying_share=0,
    hole_share=0,
    shadow=False,
    depth_unit_m=1e-6,
    min_depth_m=0.1,
)


def wall(depth_m: float) -> Frame:
    return Frame(np.full((240, 320), depth_m, np.float32), K)


def box(depth_m: float = 0.6, height_m: float = 0.1) -> Frame:
    frame = wall(depth_m)
    frame.depth_m[80:160, 120:200] -= height_m
    return frame


def measure(sensor: StereoSensor, frame: Frame, seed: int = 0) -> np.ndarray:
    return sensor.measure(frame, np.random.default_rng(seed)).depth_m


def test_without_faults_it_is_the_ideal_depth():
    assert np.allclose(measure(CLEAN, box()), box().depth_m, atol=2e-6)
    assert IdealSensor().measure(box(), np.random.default_rng(0)).depth_m[100, 150] == np.float32(
        0.5
    )


def test_noise_grows_with_the_square_of_the_distance():
    noisy = replace(CLEAN, disparity_rms_px=0.06)
    near, far = (np.std(measure(noisy, wall(z)) - z) for z in (0.5, 2.0))
    assert near == pytest.approx(0.5**2 * 0.06 / (600 * 0.05), rel=0.05)
    assert far / near == pytest.approx(16, rel=0.1)


def test_noise_is_correlated_over_the_window():
    error = measure(replace(CLEAN, disparity_rms_px=0.06), wall(1.0)) - 1
    neighbour = np.corrcoef(error[:, :-1].ravel(), error[:, 1:].ravel())[0, 1]
    distant = np.corrcoef(error[:, :-12].ravel(), error[:, 12:].ravel())[0, 1]
    assert neighbour > 0.6 and abs(distant) < 0.1


def test_disparity_comes_in_steps_and_depth_on_the_grid():
    frame = wall(1.0)
    frame.depth_m[:] = np.linspace(0.9, 1.1, 320, dtype=np.float32)
    stepped = replace(CLEAN, disparity_step_px=1 / 32, steep_from_deg=88, steep_to_deg=90)
    values = np.unique(measure(stepped, frame))
    disparity = 600 * 0.05 / values
    assert len(values) < 240 and np.allclose(disparity * 32, np.round(disparity * 32), atol=0.01)
    grid = measure(replace(stepped, depth_unit_m=0.001), frame)
    assert np.allclose(grid * 1000, np.round(grid * 1000), atol=1e-3)


def test_the_second_imagers_shadow_lies_on_the_left_and_is_as_wide_as_geometry_says():
    frame = box()
    measured = measure(replace(CLEAN, shadow=True), frame)
    lost = np.isnan(measured)
    rows, columns = np.nonzero(lost)
    assert rows.min() >= 80 and rows.max() < 160 and columns.max() < 120
    # Disparity difference of box and floor: 600 * .05 * (1 / .5 - 1 / .6) = 10 px.
    assert lost[120].sum() == pytest.approx(10, abs=1)


def test_steep_faces_are_lost_and_flat_ones_are_not():
    slope = wall(1.0)
    columns = np.arange(320)
    for angle, expected in ((40, 0.0), (86, 1.0)):
        slope.depth_m[:] = (1.0 + (columns - 160) * np.tan(np.radians(angle)) / 600).astype(
            np.float32
        )
        assert (
            np.isnan(measure(replace(CLEAN, edge_step_share=1.0), slope))[20:-20, 158:163].mean()
            == expected
        )


def test_edges_have_holes_and_flying_pixels_and_flat_walls_have_neither():
    sensor = replace(CLEAN, edge_hole_share=0.35, flying_share=0.3)
    measured = measure(sensor, box())
    assert 0.2 < np.isnan(measured[80:160, 119:121]).mean() < 0.5
    between = (measured > 0.505) & (measured < 0.595)
    assert between.sum() > 50 and not between[:70].any() and not between[100:140, 130:190].any()
    assert not np.isnan(measure(sensor, wall(0.6))).any()


def test_holes_come_in_blobs_of_the_share_asked_for():
    lost = np.isnan(measure(replace(CLEAN, hole_share=0.02), wall(0.6)))
    assert lost.mean() == pytest.approx(0.02, abs=0.002)
    assert (lost[:, 1:] & lost[:, :-1]).sum() > 0.4 * lost.sum()


def test_too_near_and_too_far_is_not_read():
    sensor = load_sensor('d435')
    assert (
        np.isnan(measure(sensor, wall(0.2))).all() and np.isnan(measure(sensor, wall(11.0))).all()
    )
    assert np.isnan(measure(sensor, wall(0.5))).mean() < 0.02


def test_what_was_not_seen_stays_unseen_and_randomness_is_the_callers():
    frame = box()
    frame.depth_m[:30] = np.nan
    sensor = load_sensor('d435')
    assert np.isnan(measure(sensor, frame)[:30]).all()
    assert np.array_equal(measure(sensor, frame, 1), measure(sensor, frame, 1), equal_nan=True)
    assert not np.array_equal(measure(sensor, frame, 1), measure(sensor, frame, 2), equal_nan=True)


def test_shipped_sensors_and_files_of_ones_own(tmp_path):
    assert load_sensor('ideal') == IdealSensor() and load_sensor('d435').baseline_m == 0.05
    mine = tmp_path / 'mine.yaml'
    mine.write_text('model: stereo\nbaseline_m: 0.095\nshadow: false\n')
    assert load_sensor(str(mine)) == StereoSensor(baseline_m=0.095, shadow=False)


@pytest.mark.parametrize(
    'text, words',
    [
        ('model: laser', 'names no sensor model'),
        ('- 1', 'holds list: expected names with values'),
        ('model: stereo\nbaselin: 1', 'unknown value "baselin"'),
        ('model: stereo\nbaseline_m: long', "baseline_m is 'long': expected a number"),
        ('model: stereo\nbaseline_m: .nan', 'baseline_m is nan: expected a number'),
        ('model: stereo\nedge_smear_px: .inf', 'edge_smear_px is inf: expected a number'),
        ('model: stereo\nwindow_px: 5.5', 'window_px is 5.5: expected a whole number'),
        ('model: stereo\nshadow: 1', 'shadow is 1: expected yes or no'),
        ('model: stereo\nhole_share: 2', 'hole_share is 2: expected 0 to 1'),
        ('model: stereo\nbaseline_m: 0', 'baseline_m is 0: expected more than 0'),
        ('a: [', 'cannot be read as YAML'),
        ('!!python/object:os.system {}', 'cannot be read as YAML'),
    ],
)
def test_a_bad_sensor_file_is_named(tmp_path, text, words):
    (tmp_path / 's.yaml').write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_sensor(str(tmp_path / 's.yaml'))


def test_an_unknown_sensor_is_named():
    with pytest.raises(ConfigError, match='no sensor "kinect": expected ideal, noise, d435'):
        load_sensor('kinect')
