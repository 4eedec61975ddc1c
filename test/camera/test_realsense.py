"""The camera through real librealsense: a software device, and playback of a recording."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from software_realsense import HEIGHT, WIDTH, SoftwareRealSense

from insegan_ros.camera.realsense import Capture, RealSense, RealSenseConfig
from insegan_ros.errors import CameraError, ConfigError


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """A floor at 600 mm with a box of 500 on the left; colour red where the box is."""
    depth, colour = np.full((HEIGHT, WIDTH), 600, np.uint16), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    depth[80:160, 40:120], colour[80:160, 40:120] = 500, (200, 0, 0)
    return depth, colour


def first(camera: RealSense) -> Capture:
    for _ in range(50):
        capture = camera.read(1.0)
        if capture is not None and (capture.colour is not None or not camera.config.colour):
            return capture
    raise AssertionError('no frames came')


@pytest.fixture
def device():
    made = []

    def make(**more) -> SoftwareRealSense:
        made.append(SoftwareRealSense(*pictures(), **more))
        return made[-1]

    yield make
    for one in made:
        one.unplug()


SMALL = dict(width=WIDTH, height=HEIGHT)


def test_depth_colour_and_aligned_depth_come_out_with_their_cameras(device):
    soft = device(shift_m=0.05)
    camera = RealSense(RealSenseConfig(**SMALL), lambda: soft.device)
    assert camera.open() == 'software device'
    capture = first(camera)
    camera.close()
    assert (capture.depth.pixels == pictures()[0]).all() and (
        capture.colour.pixels == pictures()[1]
    ).all()
    assert (
        capture.depth.camera.fx == 300
        and capture.depth.camera.width == WIDTH
        and capture.colour.distortion[0] == pytest.approx(0.1)
    )
    # The colour camera stands 5 cm to the right: the box at .5 m is seen 30 px farther left.
    box = np.nonzero((capture.aligned.pixels == 500).sum(0) > 40)[0]
    assert (
        abs(box.min() - 10) <= 2
        and abs(box.max() - 89) <= 2
        and capture.aligned.camera == capture.colour.camera
    )


def test_a_sensor_that_gives_depth_and_colour_is_opened_once_and_again(device):
    soft = device(together=True)
    camera = RealSense(RealSenseConfig(**SMALL), lambda: soft.device)
    for _ in range(2):
        camera.open()
        capture = first(camera)
        assert (capture.depth.pixels == pictures()[0]).all()
        assert (capture.colour.pixels == pictures()[1]).all() and capture.aligned is not None
        camera.close()


def test_tenths_of_a_millimetre_become_millimetres(device):
    soft = device(unit_m=0.0001)
    camera = RealSense(RealSenseConfig(**SMALL, colour=False), lambda: soft.device)
    camera.open()
    depth = first(camera).depth
    camera.close()
    assert set(np.unique(depth.millimetres)) == {50, 60}
    # Frames keep what is less than one: a reading of 500 steps here is 5 cm.
    assert depth.unit_m == pytest.approx(1e-4)
    exact = replace(depth, pixels=depth.pixels + np.uint16(4))
    assert np.nanmax(exact.depth_m) == pytest.approx(0.0604, abs=1e-6)
    assert set(np.unique(exact.millimetres)) == {50, 60}


def test_filters_do_what_they_say(device):
    soft = device()
    camera = RealSense(
        RealSenseConfig(
            **SMALL, colour=False, decimation=2, max_depth_m=0.55, temporal=True, spatial=True
        ),
        lambda: soft.device,
    )
    camera.open()
    view = first(camera).depth
    camera.close()
    assert (
        view.pixels.shape == (HEIGHT // 2, WIDTH // 2)
        and view.camera.fx == pytest.approx(150)
        and view.camera.width == WIDTH // 2
    )
    assert abs(int(view.pixels[60, 40]) - 500) <= 2 and not view.pixels[60, 120:].any(), (
        'what is farther than .55 m is left out'
    )


def test_filters_are_of_depth_in_the_colour_cameras_view_too(device):
    soft = device()
    camera = RealSense(RealSenseConfig(**SMALL, max_depth_m=0.55), lambda: soft.device)
    camera.open()
    capture = first(camera)
    camera.close()
    for view in (capture.depth, capture.aligned):
        assert set(np.unique(view.pixels)) == {0, 500}


def test_no_camera_no_stream_and_a_recording_that_is_not_there_are_said():
    with pytest.raises(CameraError, match='no RealSense camera with serial 7 is connected'):
        RealSense(RealSenseConfig(serial='7')).open()
    soft = SoftwareRealSense(*pictures())
    with pytest.raises(
        CameraError, match='no depth of 640x480 at 30 frames/s: expected one of 320x240@30'
    ):
        RealSense(RealSenseConfig(), lambda: soft.device).open()
    soft.unplug()
    with pytest.raises(CameraError, match='nowhere.bag does not exist'):
        RealSense(RealSenseConfig(file='nowhere.bag')).open()


def test_garbage_as_a_recording_is_refused(tmp_path):
    (tmp_path / 'x.bag').write_bytes(b'garbage' * 100)
    with pytest.raises(CameraError, match='x.bag cannot be played'):
        RealSense(RealSenseConfig(file=str(tmp_path / 'x.bag'))).open()


@pytest.mark.parametrize(
    'wrong',
    [
        dict(width=0),
        dict(decimation=9),
        dict(hole_filling=3),
        dict(min_depth_m=1.0, max_depth_m=0.5),
        dict(min_depth_m=float('nan')),
    ],
)
def test_values_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match='expected'):
        RealSenseConfig(**wrong)


def test_an_unplugged_camera_gives_nothing_and_another_takes_its_place(device):
    soft = device()
    there = [soft.device]
    camera = RealSense(RealSenseConfig(**SMALL), lambda: there[0])
    camera.open()
    first(camera)
    soft.unplug()
    while camera.read(0.3) is not None:
        pass
    camera.close()
    there[0] = None
    with pytest.raises(CameraError, match='is connected'):
        camera.open()
    there[0] = device().device
    camera.open()
    assert (first(camera).depth.pixels == pictures()[0]).all()
    camera.close()


def test_a_recording_is_played_to_its_end(real_bag):
    camera = RealSense(RealSenseConfig(file=str(real_bag)))
    camera.open()
    depths = {}
    for _ in range(30):
        capture = camera.read(0.5)
        if capture is not None:
            depths[capture.stamp_ms] = capture.depth
        if camera.ended:
            break
    # In real time, librealsense now and then plays a recording twice before it tells the end.
    assert camera.ended and len(depths) == 2
    camera.close()
    first = depths[min(depths)]
    assert (
        first.pixels.shape == (480, 640) and 1400 < np.median(first.pixels[first.pixels > 0]) < 1600
    )
    assert first.camera.fx == pytest.approx(390.43, abs=0.01)


@pytest.mark.slow
def test_the_process_ends_well_with_rclpy_first():
    """Both libraries carry a Fast DDS: the other order dies at exit."""
    pytest.importorskip('rclpy')
    code = (
        'import insegan_ros.nodes.realsense_camera, sys; from insegan_ros.camera.realsense import'
        ' RealSense; RealSense(); print(sorted(sys.modules).index("rclpy") >= 0)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, env={**os.environ}, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_recording_of_newer_librealsense_is_read_like_the_older_ones(real_bag, tmp_path):
    import pyrealsense2

    from insegan_ros.data.recordings import read_frames
    from insegan_ros.errors import DatasetError

    pyrealsense2.context().convert_bag_to_db3(str(real_bag), str(tmp_path / 'new.db3'))
    before, after = list(read_frames(real_bag)), list(read_frames(tmp_path / 'new.db3'))
    assert len(after) == len(before) == 2
    for one, other in zip(before, after):
        assert (
            np.allclose(one.depth_m, other.depth_m, atol=1e-6, equal_nan=True)
            and other.intrinsics == one.intrinsics
        )
    (tmp_path / 'broken.db3').write_bytes(b'garbage' * 50)
    with pytest.raises(DatasetError, match='cannot be read as a recording of librealsense'):
        list(read_frames(tmp_path / 'broken.db3'))


def test_a_recording_of_librealsense_gives_colour_with_depth_in_its_view(device, tmp_path):
    import pyrealsense2

    from insegan_ros.data.recordings import read_frames

    soft = device(shift_m=0.05)
    devices = [pyrealsense2.recorder(str(tmp_path / 'one.db3'), soft.device)]
    camera = RealSense(RealSenseConfig(**SMALL), lambda: devices[0])
    camera.open()
    # On a machine that is busy with other work some frames are late, and have no colour of their
    # moment.
    for _ in range(15):
        first(camera)
    camera.close()
    # A recording is whole once its recorder is gone.
    devices.clear()
    del camera
    frames = list(read_frames(tmp_path / 'one.db3', colour=True))
    assert len(frames) >= 2 and all((frame.colour == pictures()[1]).all() for frame in frames)
    box = np.nonzero((np.abs(frames[0].depth_m - 0.5) < 1e-3).sum(0) > 40)[0]
    assert (
        abs(box.min() - 10) <= 2
        and abs(box.max() - 89) <= 2
        and frames[0].frame_id == 'camera_color_optical_frame'
    )
    assert all(
        frame.colour is None and frame.depth_m[100, 60] == pytest.approx(0.5)
        for frame in read_frames(tmp_path / 'one.db3')
    )


@pytest.mark.parametrize(('form', 'order'), [('bgr8', (2, 1, 0)), ('bgra8', (2, 1, 0, 0))])
def test_red_is_red_whatever_the_format_of_a_recordings_colour(form, order, tmp_path):
    import pyrealsense2

    from insegan_ros.data.recordings import read_frames

    depth, colour = pictures()
    soft = SoftwareRealSense(depth, np.ascontiguousarray(colour[..., order]), form=form)
    recorders, heard = [pyrealsense2.recorder(str(tmp_path / 'one.db3'), soft.device)], []
    sensors = recorders[0].query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles()[0])
        sensor.start(heard.append)
    while len(heard) < 16:
        time.sleep(0.02)
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    # A recording is whole once its recorder is gone.
    recorders.clear()
    del sensors, sensor
    soft.unplug()
    frames = list(read_frames(tmp_path / 'one.db3', colour=True))
    assert frames and all((frame.colour == colour).all() for frame in frames)
