"""What the segmenter says of inputs that do not come."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')

from in_process import segmenter_here
from rclpy.parameter import Parameter


def test_silence_is_said_where_the_clock_stands_still(robot):
    """use_sim_time, and nobody publishes /clock."""
    with segmenter_here(robot, 'clockless') as node:
        values = {'use_sim_time': True, 'silence_s': 0.1}
        node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        node.trigger_activate()
        robot.until(lambda: 'nothing is heard on /cam/depth/image' in node.health.last_error, 10)
