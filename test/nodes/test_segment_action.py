"""The action of the segmenter, by a real client. Its package is not on PyPI: skipped without it
(scripts/build_interfaces.sh builds it)."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')
action = pytest.importorskip(
    'insegan_ros_interfaces.action', reason='insegan_ros_interfaces is not installed'
)

from action_msgs.msg import GoalStatus  # noqa: E402
from in_process import Slow, segmenter_here  # noqa: E402
from live_nodes import CAMERA, assert_boxes, box_depth  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402

from insegan_ros.camera.messages import labels_from_message, stamp_ns  # noqa: E402
from insegan_ros.nodes import segment_action  # noqa: E402
from insegan_ros.nodes.pick_messages import table_rows  # noqa: E402


class Asked:
    """A goal that was sent: its feedback, and its end."""

    def __init__(self, robot, client, **goal) -> None:
        self.robot, self.heard = robot, []
        sent = client.send_goal_async(
            action.SegmentBin.Goal(**goal), lambda said: self.heard.append(said.feedback)
        )
        robot.until(sent.done)
        self.handle = sent.result()
        self.end = self.handle.get_result_async() if self.handle.accepted else None

    def wait(self, feed=lambda: None) -> tuple[int, action.SegmentBin.Result]:
        """Status and result; `feed` sends frames meanwhile."""

        def done() -> bool:
            feed()
            return self.end.done()

        self.robot.until(done, 60)
        return self.end.result().status, self.end.result().result

    def cancel(self) -> None:
        cancelled = self.handle.cancel_goal_async()
        self.robot.until(cancelled.done)


def served(robot) -> None:
    """Let what waits be served before another frame comes: each turn of the executor serves one
    callback, and goals have timers."""
    for _ in range(40):
        robot.spin(0.01)


@pytest.fixture
def node(robot):
    """An active segmenter in this process."""
    with segmenter_here(robot, 'acting') as one:
        one.trigger_activate()
        yield one


@pytest.fixture
def client(robot, node):
    one = ActionClient(robot, action.SegmentBin, '/acting/segment_bin')
    robot.until(one.server_is_ready)
    yield one
    one.destroy()


def test_a_goal_ends_with_what_was_published_of_one_frame(robot, node, client):
    asked = Asked(robot, client, timeout_s=60.0)
    robot.until(lambda: asked.heard)
    assert asked.heard[0].stage == 'waiting for a frame' and asked.heard[0].frame == 1
    status, result = asked.wait(lambda: robot.send(box_depth(), '16UC1', CAMERA))
    assert status == GoalStatus.STATUS_SUCCEEDED and result.success
    assert_boxes(labels_from_message(result.masks))
    assert (result.instances, result.bin_state) == (2, 'pickable')
    assert result.message == '2 instances, bin pickable'
    rows = table_rows(result.pick_table)
    assert len(rows) == len(result.picks.poses) == 2
    assert rows['x'][0] == pytest.approx(result.picks.poses[0].position.x)
    assert stamp_ns(result.masks.header) == stamp_ns(result.picks.header) > 0


def test_a_frame_that_cannot_be_used_is_followed_by_another_as_often_as_asked(robot, node, client):
    bad, good = np.zeros((240, 320, 3), np.uint8), box_depth()

    def feed() -> None:
        served(robot)
        second = bool(asked.heard and asked.heard[-1].frame > 1)
        robot.send(good if second else bad, '16UC1' if second else 'rgb8', CAMERA)

    asked = Asked(robot, client, frames=1000)
    status, result = asked.wait(feed)
    assert status == GoalStatus.STATUS_SUCCEEDED and result.instances == 2, result.message
    asked = Asked(robot, client)
    status, result = asked.wait(lambda: robot.send(bad, 'rgb8', CAMERA))
    assert status == GoalStatus.STATUS_ABORTED and not result.success
    assert 'has encoding "rgb8"' in result.message and result.instances == 0


def test_a_goal_that_waits_is_cancelled_or_given_up(robot, node, client):
    asked = Asked(robot, client)
    robot.until(lambda: asked.heard)
    asked.cancel()
    status, result = asked.wait()
    assert status == GoalStatus.STATUS_CANCELED and result.message.startswith('canceled after')
    status, result = Asked(robot, client, timeout_s=0.3).wait()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == '0.3 s passed: waiting for a frame; expected masks by then'
    assert not node.worker._requests, 'nobody waits any more'


def test_a_goal_is_cancelled_amid_its_frame_which_is_finished(robot, node, client):
    slow = node.models.running = Slow()
    asked = Asked(robot, client)
    while not (asked.heard and asked.heard[-1].stage == 'infer'):
        robot.send(box_depth(), '16UC1', CAMERA)
        robot.spin()
    out = node.worker.meter.counts['out']
    asked.cancel()
    status, _ = asked.wait()
    assert status == GoalStatus.STATUS_CANCELED and node.worker.meter.counts['out'] == out
    slow.released.set()
    robot.until(lambda: node.worker.meter.counts['out'] == out + 1)


def test_what_cannot_be_ends_with_the_reason(robot, node, client, monkeypatch):
    status, result = Asked(robot, client, timeout_s=-1.0).wait()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == 'timeout_s is -1: expected 0 or more'
    asked = Asked(robot, client, frames=3)
    robot.until(lambda: asked.heard)
    monkeypatch.setattr(segment_action, 'MAX_GOALS', 1)
    assert not Asked(robot, client).handle.accepted
    node.trigger_deactivate()
    status, result = asked.wait()
    assert (status, result.message) == (GoalStatus.STATUS_ABORTED, 'the node was deactivated')
    status, result = Asked(robot, client).wait()
    assert 'not active: configure and activate it first' in result.message


def test_every_goal_that_is_accepted_gets_its_result(robot, node, client):
    """One frame answers all at once, and ROS 2 keeps no more than ten answers for a client."""
    handles = []
    for _ in range(16):
        sent = client.send_goal_async(action.SegmentBin.Goal())
        robot.until(sent.done)
        handles.append(sent.result())
    ends = [one.get_result_async() for one in handles if one.accepted]
    robot.until(lambda: len(node.worker._requests) == len(ends))

    def done() -> bool:
        served(robot)
        robot.send(box_depth(), '16UC1', CAMERA)
        return all(one.done() for one in ends)

    robot.until(done, 20)
    assert [one.result().result.instances for one in ends] == [2] * segment_action.MAX_GOALS
