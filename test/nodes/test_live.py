"""An empty bin, calibrated from a live topic."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from insegan_ros.workspace import read_workspace

rclpy = pytest.importorskip('rclpy')

from live_nodes import CAMERA, environment, insegan  # noqa: E402


@pytest.mark.slow
def test_an_empty_bin_is_calibrated_from_a_live_topic(robot, tmp_path):
    """A tray with walls on real DDS; the file that comes out is one that the segmenter loads."""
    depth = np.full((240, 320), 600, np.uint16)
    depth[30:210, 40:280] = 560
    depth[38:202, 48:272] = 600
    command = ['calibrate', '--topic', '/cam/depth/image', '--out', str(tmp_path / 'robot.yaml')]
    process = subprocess.Popen(
        [sys.executable, '-m', 'insegan_ros.cli', *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    while process.poll() is None:
        robot.send(depth, '16UC1', CAMERA)
        robot.spin(0.03)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert '30 pictures: floor at 0.600 m' in out and 'walls of 40 mm' in out
    found = read_workspace(tmp_path / 'robot.yaml')
    # The walls' inner edges are 225 px apart, at .56 m and a focal length of 300 px.
    assert found.bounds[2] - found.bounds[0] == pytest.approx(
        225 / 300 * 0.56 - 0.003, abs=0.003
    ) and found.floor_distance_m == pytest.approx(0.6, abs=1e-3)
    again = insegan(*command)
    assert (
        again.returncode == 2 and 'robot.yaml already exists: expected a new file' in again.stderr
    )
