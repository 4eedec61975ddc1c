"""What the segmenter says of inputs that do not come."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')

from in_process import segmenter_here
from live_nodes import CAMERA, box_depth
from rclpy.parameter import Parameter
from rclpy.task import Future


def test_silence_is_said_where_the_clock_stands_still(robot):
    """use_sim_time, and nobody publishes /clock."""
    with segmenter_here(robot, 'clockless') as node:
        values = {'use_sim_time': True, 'silence_s': 0.1}
        node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        node.trigger_activate()
        robot.until(lambda: 'nothing is heard on /cam/depth/image' in node.health.last_error, 10)


def test_a_request_is_answered_where_depth_comes_without_colour(robot):
    with segmenter_here(robot, 'colourless') as node:
        node.trigger_cleanup()
        values = {'use_colour': True, 'silence_s': 0.5}
        node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        node.trigger_configure(), node.trigger_activate()
        answer = Future()
        node.worker.ask(answer)

        def answered() -> bool:
            robot.send(box_depth(), '16UC1', CAMERA)
            return answer.done()

        robot.until(answered, 10)
        said = 'depth arrives on /cam/depth/image, but no colour within 0.02 s of it on'
        assert not answer.result().success and answer.result().text.startswith(said)
        assert node.health.last_error.startswith(said), 'diagnostics say it'
