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

from insegan_ros.nodes import diagnostics  # noqa: E402
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


class Clock:
    """Time as it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(diagnostics, 'time', one)
    return one


def test_times_of_stages_rates_and_counts(clock):
    """Ten frames, half a second apart, of 40 ms each; a stage may have several pieces."""
    meter = Meter()
    assert meter.rate() == 0 and meter.now == ''
    for _ in range(10):
        meter.begin(clock.now - 0.1)
        assert meter.now == 'convert'
        for stage, seconds in (('convert', 0.01), ('infer', 0.02), ('convert', 0.01)):
            with meter.stage(stage):
                assert meter.now == stage
                clock.now += seconds
        meter.finish(0.25)
        clock.now += 0.46
    # The last five seconds hold ten of them, and nine pauses.
    assert meter.rate() == pytest.approx(2) and meter.counts['out'] == 10
    values = meter.values()
    assert values['frames out'] == '10' and values['frames in'] == values['frames dropped'] == '0'
    assert values['frames a second'] == '2.0'
    assert (values['wait ms, median'], values['convert ms, median']) == ('100.0', '20.0')
    assert (values['infer ms, 99 %'], values['camera stamp to published ms, 99 %']) == (
        '20.0',
        '250.0',
    )
    assert not any(name.startswith('publish') for name in values)
    clock.now += 3
    assert meter.rate() == pytest.approx(2) and len(meter.finished) == 10
    clock.now += 5
    assert meter.rate() == 0
    # A recording's stamps are of another clock.
    for latency_s in (-0.1, 3600.0, 1e9):
        meter.begin(clock.now)
        meter.finish(latency_s)
    assert len(meter.seconds['latency']) == 10 and len(meter.seconds['wait']) == 13
    for _ in range(400):
        meter.finish(0.1)
    assert len(meter.finished) == len(meter.seconds['latency']) == diagnostics.LAST


@pytest.mark.parametrize(
    'change, level, said',
    [
        ({}, b'\0', 'frames/s'),
        ({'wanted': False}, b'\0', 'nobody listens to the results'),
        ({'bin_moved': True}, b'\1', 'the bin is not in its place: 12 mm'),
        ({'waiting': 'a model'}, b'\1', 'a model'),
        ({'last_image_s': 990.0}, b'\2', 'no depth image for 10 s'),
        ({'last_image_s': 995.0}, b'\0', 'frames/s'),
        ({'state': 'inactive'}, b'\1', 'not active'),
        ({'last_error': 'a lens', 'last_error_s': 996.0}, b'\1', 'a lens'),
        ({'last_error': 'a lens', 'last_error_s': 994.0}, b'\0', 'frames/s'),
        ({'last_error': 'a lens', 'last_error_s': 996.0, 'last_image_s': 990.0}, b'\2', 'a lens'),
        (
            {
                'last_error': 'a lens',
                'last_error_s': 996.0,
                'last_image_s': 990.0,
                'state': 'inactive',
            },
            b'\1',
            'a lens',
        ),
        ({'stopped': 'it ended', 'last_error': 'x', 'state': 'inactive'}, b'\2', 'it ended'),
    ],
    ids=str,
)
def test_the_worst_that_is_known_is_said(clock, change, level, said):
    """A node that is silent for five seconds is in trouble; an error is told as long."""
    health, asked = Health(last_image_s=999.0, bin_place='12 mm'), {'state': 'active'}
    asked |= {'silence_s': 5.0, 'wanted': True}
    for name, value in change.items():
        if hasattr(health, name):
            setattr(health, name, value)
        else:
            asked[name] = value
    found = summary(health, Meter(), **asked)
    assert found[0] == level and said in found[1]
