"""The simulator's camera in the place of a real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tilted_bins import BIN, cylinders_at, tilted_camera

from insegan_ros.data.convert import FORMATS
from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import ConfigError, InputError
from insegan_ros.heights import pixel_size_m
from insegan_ros.workspace import Workspace
from insegan_sim.container import Container
from insegan_sim.generate import SimulateConfig, simulate
from insegan_sim.parts import load_part
from insegan_sim.sensor import StereoSensor, load_sensor
from insegan_sim.viewpoint import Viewpoint, read_viewpoint, write_viewpoint

TILT_DEG = (14.0, -6.0, 25.0)


@pytest.fixture(scope='module')
def recording(tmp_path_factory) -> Path:
    """A tilted camera's picture of three cylinders in a bin whose walls are known, as shards."""
    camera = replace(tilted_camera(TILT_DEG), wall_noise_m=0.001)
    scene = cylinders_at(camera, (-0.05, 0.0), (0.06, 0.03), (0.0, -0.05), sensor='d435')
    out = tmp_path_factory.mktemp('recording') / 'shards'
    out.mkdir()
    FORMATS['shards'].write([scene], ('cylinder',), out, None)
    return out


@pytest.mark.parametrize('noise_m', [0.0, 0.002])
def test_a_camera_before_the_same_bin_is_the_same_camera(noise_m):
    true = replace(tilted_camera(TILT_DEG), wall_noise_m=noise_m)
    view = Viewpoint(true.intrinsics, true.workspace)
    assert view.bin_m == pytest.approx((BIN.width_m, BIN.depth_m))
    assert view.tilt_deg == pytest.approx(15.2, abs=0.1)
    found, scale = view.camera(view.container(BIN, 0.05), 1000)
    assert scale == 1 and found.container == BIN
    assert np.allclose(found.camera_from_world, true.camera_from_world)
    left, top, right, bottom = true.workspace.window(true.intrinsics)
    part = load_part('cylinder')
    pose = np.eye(4)
    pose[:3, 3] = (0.03, -0.02, 0.04)
    # The picture is a cut-out of the whole one, to the pixel.
    whole, cut = (camera.render([part], pose[None]) for camera in (true, found))
    assert np.allclose(whole.depth_m[top:bottom, left:right], cut.depth_m, atol=1e-6)
    assert (whole.labels[top:bottom, left:right] == cut.labels).all() and cut.labels.any()


def test_a_smaller_bin_stands_in_the_middle_and_coarse_px_show_the_same():
    true = tilted_camera(TILT_DEG)
    view = Viewpoint(true.intrinsics, true.workspace)
    small = view.container(Container('bin', 0.1, 0.1, 0.5), 0.03)
    assert small.width_m / small.depth_m == pytest.approx(BIN.width_m / BIN.depth_m)
    assert small.width_m * small.depth_m == pytest.approx(0.01)
    assert small.height_m < true.workspace.floor[3], 'walls end below the camera'
    fine, one = view.camera(small, 1000)
    coarse, scale = view.camera(small, 80)
    assert (one, max(coarse.intrinsics.width, coarse.intrinsics.height)) == (1.0, 80)
    assert fine.workspace.floor == pytest.approx(true.workspace.floor)
    part, pose = load_part('cylinder'), np.eye(4)
    pose[:3, 3] = (0.01, 0.0, 0.04)
    areas = [
        (camera.render([part], pose[None]).labels > 0).sum()
        * pixel_size_m(camera.workspace, camera.intrinsics) ** 2
        for camera in (fine, coarse)
    ]
    assert scale < 0.6 and areas[1] == pytest.approx(areas[0], rel=0.05)


def test_coarse_px_leave_the_noise_in_metres_as_it_is():
    camera = tilted_camera((0.0, 0.0, 0.0))
    view = Viewpoint(camera.intrinsics, camera.workspace)
    found, scale = view.camera(view.container(BIN, 0.05), 120)
    spreads = []
    for seen, sensor in ((camera, load_sensor('d435')), (found, load_sensor('d435').scaled(scale))):
        assert isinstance(sensor, StereoSensor) and sensor.window_px % 2 == 1
        scene = cylinders_at(seen)
        frame = sensor.measure(scene.frame, np.random.default_rng(0))
        points = frame.points()
        height = seen.workspace.height_of(points)[seen.workspace.contains(points)]
        spreads.append(float(np.nanstd(height)))
    assert scale < 0.5 and spreads[1] == pytest.approx(spreads[0], rel=0.15)


def test_a_set_is_simulated_with_the_camera_and_the_bin_of_a_recording(recording, tmp_path, capsys):
    config = SimulateConfig(
        part='cylinder',
        instances='1-60',
        fill=0.4,
        scenes=2,
        size='160',
        camera=str(recording),
        out=str(tmp_path / 'piles'),
        workers=1,
    )
    simulate(config)
    told = capsys.readouterr().out
    assert 'mm above the floor, tilted by 15 degrees: a bin of 240 x 180 mm' in told
    true, made = next(iter(ShardDataset(recording))), list(ShardDataset(tmp_path / 'piles'))
    assert true.workspace is not None
    for scene in made:
        assert scene.workspace is not None
        assert np.allclose(scene.workspace.floor, true.workspace.floor, atol=1e-6)
        assert np.allclose(scene.workspace.require_bounds(), true.workspace.require_bounds())
        assert scene.workspace.wall_noise_m == true.workspace.wall_noise_m
        assert max(scene.frame.depth_m.shape) == 160
        # The real bin has room for fewer parts than were asked for.
        most = 0.4 * BIN.width_m * BIN.depth_m / load_part('cylinder').footprint_m2
        assert 1 <= len(scene.labelled()) <= most < 60
    # The same camera from a file is the same set, another one is not.
    view = read_viewpoint(str(recording))
    write_viewpoint(view, tmp_path / 'camera.yaml', 'of a recording')
    assert read_viewpoint(str(tmp_path / 'camera.yaml')) == view
    same = replace(config, camera=str(tmp_path / 'camera.yaml'))
    assert same.identity() == config.identity() != replace(config, camera='').identity()


def test_what_is_no_camera_before_a_bin_says_so(recording, tmp_path):
    broken = tmp_path / 'broken.yaml'
    broken.write_text('fx: 400\nfy: 400\n')
    with pytest.raises(ConfigError, match="describes no camera before a bin \\(KeyError 'cx'\\)"):
        read_viewpoint(str(broken))
    with pytest.raises(InputError, match='has no bounds'):
        Viewpoint(tilted_camera(TILT_DEG).intrinsics, Workspace((0.0, 0.0, -1.0, 0.5)))
    view = read_viewpoint(str(recording))
    with pytest.raises(ConfigError, match='bin is 240 x 180 mm inside, the part 300 mm across'):
        view.container(BIN, 0.3)
    with pytest.raises(ConfigError, match='camera with container "shelf"'):
        SimulateConfig(camera=str(recording), container='shelf')
    with pytest.raises(ConfigError, match='workspace without camera'):
        SimulateConfig(workspace='bin.yaml')
