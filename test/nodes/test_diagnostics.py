"""What the segmenter says of itself, and of a bin that is not where it was."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from insegan_ros.picking.carrier import LoadCarrier
from insegan_ros.picking.rim import Rim

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402

from insegan_ros.nodes.diagnostics import Health, Meter, summary  # noqa: E402
from insegan_ros.nodes.segmenter import SegmenterNode  # noqa: E402
from insegan_ros.picking.picks import BinState  # noqa: E402


def carrier(shift_mm: float) -> LoadCarrier:
    rim = Rim(0.1, np.array([shift_mm / 1000, 0.0]), 0.5, shift_mm / 1000, 0.0015, np.ones(2, bool))
    return LoadCarrier(np.eye(4), rim, 0.4, False)


def test_a_bin_that_has_moved_is_a_warning_and_a_refused_frame_goes_before_it():
    health = Health(last_image_s=time.monotonic(), bin_place='moved: 5.0 mm', bin_moved=True)
    assert summary(health, Meter(), 'active', 3.0, True) == (
        DiagnosticStatus.WARN,
        'the bin is not in its place: moved: 5.0 mm',
    )
    health.fail('no camera_info')
    assert summary(health, Meter(), 'active', 3.0, True)[1] == 'no camera_info'
    assert not health.bin_moved and health.bin_place == 'not known'


def test_the_node_tells_of_the_bin_where_picks_or_the_bin_are_asked_for(robot):
    node = SegmenterNode(context=robot.context)
    warned: list[str] = []
    node.warn = warned.append
    try:
        node._tell_of_bin(SimpleNamespace(carrier=carrier(5.0), picks=[], state=BinState.PICKABLE))
        assert node.health.bin_moved and node.health.bin_state == 'pickable'
        said = 'moved: 5.0 mm, 0.5 degrees (noise: up to 1.5 mm at a corner)'
        assert node.health.bin_place == said
        assert warned == [f'the bin is not where the workspace says: {said}']
        node._tell_of_bin(SimpleNamespace(carrier=carrier(1.0)))
        assert not node.health.bin_moved and node.health.bin_place.startswith('in place: 1.0 mm')
        assert node.health.bin_state == 'not asked for' and len(warned) == 1
        node._tell_of_bin(SimpleNamespace(instances=None))
        assert node.health.bin_place == 'not asked for'
    finally:
        node.destroy_node()
