"""The thread that segments: it can be stopped amid a frame, and is missed when it ends."""

from __future__ import annotations

import threading
import time

import pytest

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from in_process import Slow, segmenter_here  # noqa: E402
from live_nodes import CAMERA, assert_boxes, box_depth  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.task import Future  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from insegan_ros.camera.messages import labels_from_message, stamp_ns  # noqa: E402
from insegan_ros.errors import InputError  # noqa: E402
from insegan_ros.frame import Instances  # noqa: E402
from insegan_ros.limits import check_time  # noqa: E402
from insegan_ros.nodes import worker as worker_module  # noqa: E402
from insegan_ros.nodes.worker import FrameWorker  # noqa: E402


def until(condition, timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, 'it never came'
        time.sleep(0.01)


class Work:
    """Keeps which frames a worker took up; they last until they are released."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.refused: list[str] = []
        self.released, self.rate = threading.Event(), 0.0
        self.released.set()
        self.worker = FrameWorker(
            self.process, lambda: True, lambda: self.rate, self.refused.append
        )
        self.worker.take_camera_info(CameraInfo())
        self.worker.start()

    def process(self, worker: FrameWorker, frame, everything: bool) -> tuple[str, dict]:
        self.taken.append(frame.number)
        assert self.released.wait(20)
        if frame.number == 13:
            raise InputError('thirteen')
        return f'{frame.number}, everything: {everything}', {'number': frame.number}

    def send(self) -> int:
        self.worker.meter.counts['in'] += 1
        self.worker.take(Image(), None)
        return self.worker.meter.counts['in']


@pytest.fixture
def work():
    one = Work()
    yield one
    one.released.set()
    assert one.worker.stop('the test is over')


def test_the_newest_frame_is_worked_on_and_the_others_are_counted(work):
    work.released.clear()
    work.send()
    until(lambda: work.taken == [1])
    for _ in range(11):
        work.send()
    work.released.set()
    until(lambda: work.taken == [1, 12])
    work.send()
    until(lambda: work.refused == ['thirteen'])
    counts = work.worker.meter.counts
    assert counts['dropped'] == 10 and counts['refused'] == 1 and not work.worker.died


def test_who_asks_gets_the_next_frame_that_comes(work):
    work.send()
    until(lambda: work.taken == [1])
    answer = Future()
    work.worker.ask(answer)
    work.send()
    until(answer.done)
    assert answer.result() == (True, '2, everything: True', {'number': 2})


def test_who_asks_may_withdraw_and_hears_what_is_done(work):
    work.send()
    until(lambda: work.taken == [1])
    patient, hasty = Future(), Future()
    work.worker.ask(patient)
    work.worker.ask(hasty)
    assert work.worker.stage_of(patient) == ''
    work.worker.withdraw(hasty)
    work.released.clear()
    work.send()
    until(lambda: work.taken == [1, 2])
    assert work.worker.stage_of(patient) == 'convert' and work.worker.stage_of(hasty) == ''
    work.released.set()
    until(patient.done)
    assert patient.result().success and not hasty.done()
    until(lambda: work.worker.stage_of(patient) == '')


def test_a_rate_that_is_set_back_acts_on_the_next_frame(work):
    work.rate = 0.01
    work.send()
    until(lambda: work.taken == [1])
    work.send()
    time.sleep(0.1)
    assert work.taken == [1], 'the next is due in a hundred seconds'
    work.rate = 0.0
    work.send()
    until(lambda: work.taken == [1, 3])


def test_a_worker_that_ends_says_why_and_answers_who_waits():
    def broken() -> float:
        raise OverflowError('timestamp too large')

    worker = FrameWorker(lambda *_: ('', {}), lambda: True, broken, lambda _: None)
    answer = Future()
    worker.ask(answer)
    worker.start()
    until(lambda: worker.died)
    until(answer.done)
    assert 'the thread that segments has ended: OverflowError: timestamp too large' == worker.died
    assert answer.result() == (False, worker.died, {}) and worker.stop('')


def test_a_worker_that_is_stopped_amid_a_frame_is_disowned(work, monkeypatch):
    monkeypatch.setattr(worker_module, 'ENDS_WITHIN_S', 0.05)
    work.released.clear()
    answer = Future()
    work.worker.ask(answer)
    work.send()
    until(lambda: work.taken == [1])
    assert not work.worker.stop('the node was deactivated') and not work.worker.running
    assert answer.result() == (False, 'the node was deactivated', {})
    work.released.set()
    until(lambda: work.worker.stop(''))
    assert not work.refused and not work.worker.died


@pytest.fixture
def node(robot):
    """A configured segmenter in this process."""
    with segmenter_here(robot) as one:
        yield one


def test_a_node_is_deactivated_amid_a_frame_and_works_on_when_activated_again(
    robot, node, monkeypatch
):
    monkeypatch.setattr(worker_module, 'ENDS_WITHIN_S', 0.1)
    fast, slow = node.models.running, Slow()
    node.models.running = slow
    node.trigger_activate()
    robot.masks.clear()
    sent = []
    while not slow.begun.is_set():
        sent.append(robot.send(box_depth(), '16UC1', CAMERA))
        robot.spin(0.1)
    disowned = node.worker
    node.trigger_deactivate()
    assert node.worker is None
    node.models.running = fast
    node.trigger_activate()
    assert_boxes(robot.answer(box_depth()))
    slow.released.set()
    until(lambda: disowned.stop(''))
    robot.spin(0.3)
    assert disowned.meter.counts['out'] == 0
    late = [one for one in robot.masks if stamp_ns(one.header) in sent]
    assert all(labels_from_message(one).any() for one in late), 'none of the worker that was left'


class Endless(Slow):
    """Works on, as a loop over clutter does, and asks whether it may."""

    def segment(self, frame, workspace=None) -> Instances:
        self.begun.set()
        while not self.released.wait(0.01):
            check_time()
        return Instances.none(frame.depth_m.shape)


def test_a_frame_that_takes_too_long_is_left_out_and_the_next_is_worked_on(robot, node):
    fast, node.models.running = node.models.running, Endless()
    assert node.set_parameters([Parameter('max_frame_s', value=0.3)])[0].successful
    node.trigger_activate()
    while not node.worker.meter.counts['refused']:
        robot.send(box_depth(), '16UC1', CAMERA)
        robot.spin(0.1)
    assert 'the frame took longer than 0.3 s' in node.health.last_error
    node.models.running = fast
    assert_boxes(robot.answer(box_depth()))


def test_a_method_that_never_ends_makes_the_node_leave_the_active_state(robot, node, monkeypatch):
    monkeypatch.setattr(worker_module, 'ENDS_WITHIN_S', 0.1)
    slow = node.models.running = Slow()
    node.set_parameters([Parameter('max_frame_s', value=0.2)])
    node.trigger_activate()
    while node.worker is not None:
        robot.send(box_depth(), '16UC1', CAMERA)
        robot.spin(0.1)
    assert 'a frame takes longer than twice 0.2 s' == node.health.stopped
    slow.released.set()


def test_a_node_whose_worker_ends_leaves_the_active_state_with_an_error(robot, node):
    heard: list[DiagnosticArray] = []
    robot.create_subscription(DiagnosticArray, '/diagnostics', heard.append, 10)
    node.trigger_activate()

    def broken(*_: object) -> None:
        raise RuntimeError('out of order')

    node.worker._work_on = broken
    while node.worker is not None:
        robot.send(box_depth(), '16UC1', CAMERA)
        robot.spin(0.1)
    state = node._state_machine.current_state[1]
    assert state == 'inactive'
    heard.clear()
    robot.until(lambda: heard)
    (status,) = heard[-1].status
    assert status.level == DiagnosticStatus.ERROR and 'out of order' in status.message
    # As for any other reason: it can be activated again.
    node.trigger_activate()
    assert_boxes(robot.answer(box_depth()))
