"""The player of recordings."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip('rclpy')

from live_nodes import Process  # noqa: E402


@pytest.mark.slow
def test_a_recording_that_is_none_ends_the_player_with_one_line(tmp_path):
    process = Process(
        'insegan_ros.nodes.recording_player',
        ['--ros-args', '-p', f'recording:={tmp_path}/nowhere.bag'],
        tmp_path / 'log',
    )
    assert process.popen.wait(timeout=60) == 2
    assert 'nowhere.bag does not exist' in process.text() and 'Traceback' not in process.text()
