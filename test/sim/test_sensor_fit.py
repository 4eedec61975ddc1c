"""A sensor's noise is found again in what it measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tilted_bins import BIN, DEPTH_CAMERA, tilted_camera

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace
from insegan_sim.camera import Camera
from insegan_sim.sensor import StereoSensor, load_sensor
from insegan_sim.sensor_fit import fit_sensor, still_runs, write_sensor

D435 = load_sensor('d435')
BOXES = ((150, 130), (150, 230), (300, 130), (300, 230), (400, 180))


def still(sensor: StereoSensor, count: int = 12) -> tuple[list[Frame], Workspace]:
    """Frames of flat boxes of 3 cm on a bin's floor, measured by a sensor."""
    camera: Camera = tilted_camera((0.0, 0.0, 0.0))
    depth = np.full((400, 600), 0.5, np.float32)
    for left, top in BOXES:
        depth[top : top + 60, left : left + 60] = 0.47
    ideal = Frame(depth, DEPTH_CAMERA)
    frames = [sensor.measure(ideal, np.random.default_rng(i)) for i in range(count)]
    assert camera.container is BIN
    return frames, camera.workspace


@pytest.mark.parametrize('smear_px', [0.0, 1.5])
def test_noise_holes_and_smeared_edges_are_found_again(smear_px, tmp_path):
    true = replace(
        D435, edge_smear_px=smear_px, disparity_rms_px=0.1, hole_share=0.01, disparity_step_px=0.0
    )
    frames, workspace = still(true)
    found = fit_sensor(frames, workspace)
    assert found.rms_px == pytest.approx(0.1, rel=0.15)
    assert found.repeatability_px == pytest.approx(0.1, rel=0.15)
    assert found.hole_share == pytest.approx(0.01, abs=0.006) and found.edges > 100
    assert found.sensor().edge_smear_px == pytest.approx(smear_px, abs=0.5)
    write_sensor(found, tmp_path / 'mine.yaml')
    assert load_sensor(str(tmp_path / 'mine.yaml')) == found.sensor()
    assert 'disparity repeats to 0.' in (tmp_path / 'mine.yaml').read_text()


def test_pictures_of_different_piles_tell_the_noise_too():
    """Every frame shows the boxes elsewhere: nothing is still, and all but the repetition is
    measured."""
    frames, workspace = still(D435, 6)
    moved = [
        replace(frame, depth_m=np.roll(frame.depth_m, 9 * shift, 1))
        for shift, frame in enumerate(frames)
    ]
    alike, different = fit_sensor(frames, workspace), fit_sensor(moved, workspace)
    assert [len(run) for run in still_runs(frames, workspace)] == [6]
    assert [len(run) for run in still_runs(moved, workspace)] == [1] * 6
    assert np.isnan(different.repeatability_px) and alike.repeatability_px > 0
    assert 'something moves in every frame' in different.text()
    assert different.rms_px == pytest.approx(alike.rms_px, rel=0.15)
    assert different.hole_share == pytest.approx(alike.hole_share, abs=0.004)
    assert different.sensor().edge_smear_px < 0.7


def test_ideal_depth_has_no_noise():
    camera = tilted_camera((0.0, 0.0, 0.0))
    ideal = Frame(np.full((400, 600), 0.5, np.float32), DEPTH_CAMERA)
    found = fit_sensor([ideal] * 5, camera.workspace)
    assert (found.rms_px, found.hole_share, found.edges) == (0.0, 0.0, 0)


def test_smeared_edges_close_the_gap_between_parts():
    camera = DEPTH_CAMERA
    depth = np.full((400, 600), 0.5, np.float32)
    depth[100:200, 200:250] = depth[100:200, 253:300] = 0.47
    quiet = replace(
        D435,
        disparity_rms_px=0.0,
        edge_hole_share=0.0,
        flying_share=0.0,
        hole_share=0.0,
        shadow=False,
    )
    gaps = [
        float(
            np.nanmedian(
                replace(quiet, edge_smear_px=smear)
                .measure(Frame(depth, camera), np.random.default_rng(0))
                .depth_m[110:190, 251]
            )
        )
        for smear in (0.0, 2.0)
    ]
    assert gaps[0] == pytest.approx(0.5, abs=2e-3) and gaps[1] < 0.49
    with pytest.raises(ConfigError, match='edge_smear_px'):
        replace(D435, edge_smear_px=-1.0)


def test_too_few_frames_or_no_floor_say_so():
    frames, workspace = still(D435, 3)
    with pytest.raises(InputError, match='3 frames: expected 5 or more'):
        fit_sensor(frames, workspace)
    away = Workspace((0.0, 0.0, -1.0, 0.9), workspace.bounds)
    with pytest.raises(InputError, match='of the floor are seen'):
        fit_sensor(frames * 2, away)
