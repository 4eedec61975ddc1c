"""The player of recordings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from insegan_ros.data.recording_writer import RecordingWriter
from insegan_ros.errors import InputError
from insegan_ros.frame import Frame

rclpy = pytest.importorskip('rclpy')

from live_nodes import CAMERA, Process  # noqa: E402

from insegan_ros.nodes.recording_player import RecordingPlayerNode  # noqa: E402


@pytest.mark.slow
def test_a_recording_that_is_none_ends_the_player_with_one_line(tmp_path):
    process = Process(
        'insegan_ros.nodes.recording_player',
        ['--ros-args', '-p', f'recording:={tmp_path}/nowhere.bag'],
        tmp_path / 'log',
    )
    assert process.popen.wait(timeout=60) == 2
    assert 'nowhere.bag does not exist' in process.text() and 'Traceback' not in process.text()


def test_a_recording_of_one_frame_is_played_again_in_its_own_time(tmp_path):
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.add(Frame(np.full((240, 320), 0.5, np.float32), CAMERA))
    player = SimpleNamespace(
        recording=str(tmp_path / 'bag'),
        colour=False,
        speed=2.0,
        running=True,
        pictures=None,
        sent=0,
        sleep_until=lambda condition: None,
        **dict.fromkeys(
            ('clock_publisher', 'info', 'depth'), SimpleNamespace(publish=lambda message: None)
        ),
    )
    assert RecordingPlayerNode._play(player) == 0.5 and player.sent == 1


def test_a_recording_that_breaks_off_ends_the_player_with_what_is_wrong_with_it():
    def breaks_off() -> float:
        raise InputError('bag: message 7 cannot be read')

    player = SimpleNamespace(
        sleep_until=lambda condition: None,
        running=True,
        loop=False,
        finished=False,
        failure=None,
        _all_found=None,
        _play=breaks_off,
    )
    RecordingPlayerNode._end(player)
    RecordingPlayerNode._work(player)
    with pytest.raises(InputError, match='message 7'):
        RecordingPlayerNode._end(player)
