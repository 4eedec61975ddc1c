"""The action ~/segment_bin: one look at the bin with feedback, which can be cancelled. Its type is
of insegan_ros_interfaces, the package in the folder interfaces/, and optional as vision_msgs is."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse, ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from insegan_ros.camera.messages import labels_from_message
from insegan_ros.nodes.worker import Answer, FrameWorker

WATCH_EVERY_S = 0.02
# Who asks for more at a time is turned away. A service of ROS 2 keeps ten requests and ten answers:
# of more goals that one frame answers at once, the results would be lost without a word.
MAX_GOALS = 10
WAITING = 'waiting for a frame'
NOT_ACTIVE = 'the node is not active: configure and activate it first'


def action_type() -> Any | None:
    """SegmentBin, or None where its package is not installed."""
    try:
        return importlib.import_module('insegan_ros_interfaces.action').SegmentBin
    except ImportError:
        return None


class SegmentAction:
    """Offers the action on a node. kind: its type. worker: the one that segments now, None while
    the node is not active."""

    def __init__(self, node: Node, kind: Any, worker: Callable[[], FrameWorker | None]) -> None:
        self.node, self.kind, self.worker = node, kind, worker
        self.goals = 0
        # While a goal waits for its frame, the others' callbacks must go on.
        self.group = ReentrantCallbackGroup()
        self.server: ActionServer = ActionServer(
            node,
            kind,
            '~/segment_bin',
            self._execute,
            goal_callback=self._on_goal,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=self.group,
        )

    def destroy(self) -> None:
        """Offer it no more."""
        self.server.destroy()

    def _on_goal(self, _: Any) -> GoalResponse:
        if self.goals >= MAX_GOALS:
            self.node.get_logger().warning(
                f'a goal of ~/segment_bin is refused: {self.goals} are being worked on already;'
                ' send it again when one of them is done'
            )
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    async def _execute(self, goal: ServerGoalHandle) -> Any:
        """Watch over a goal until it has come to its end."""
        look = Look(goal, self.kind, self.worker)
        self.goals += 1
        timer = self.node.create_timer(
            WATCH_EVERY_S,
            look.watch,
            callback_group=self.group,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        try:
            return await look.result
        finally:
            self.goals -= 1
            self.node.destroy_timer(timer)


class Look:
    """One goal: asks for a frame, and for another where one cannot be used. result: becomes the
    action's. Its callbacks are those of one thread; the worker's is another."""

    def __init__(
        self, goal: ServerGoalHandle, kind: Any, worker: Callable[[], FrameWorker | None]
    ) -> None:
        self.goal, self.kind, self.current = goal, kind, worker
        self.frames, self.timeout_s = max(goal.request.frames, 1), goal.request.timeout_s
        self.begun_s, self.frame, self.said = time.monotonic(), 0, ''
        self.result: Future = Future()
        self.worker: FrameWorker | None = None
        if self.timeout_s >= 0:
            self._ask(NOT_ACTIVE)
        else:  # nor is what is no number
            self._end(f'timeout_s is {self.timeout_s:g}: expected 0 or more')

    def _ask(self, otherwise: str) -> None:
        """Ask for the next frame, of the worker of now; where there is none, that is the end."""
        self.answer: Future = Future()
        # The first stage of another frame is news, also where it is the last one's.
        self.worker, self.frame, self.said = self.current(), self.frame + 1, ''
        if self.worker is None:
            self._end(otherwise)
        else:
            self.worker.ask(self.answer)

    def watch(self) -> None:
        """See how far it is, and say so where that is news."""
        if self.result.done() or self.worker is None:
            return
        passed_s = time.monotonic() - self.begun_s
        if self.goal.is_cancel_requested:
            self._end(f'canceled after {passed_s:.1f} s')
        elif self.answer.done():
            self._on_answer(self.answer.result())  # type: ignore[arg-type]
        elif 0 < self.timeout_s < passed_s:
            self._end(
                f'{self.timeout_s:g} s passed: {self.said or WAITING}; expected masks by then'
            )
        elif (stage := self.worker.stage_of(self.answer) or WAITING) != self.said:
            self.said = stage
            self.goal.publish_feedback(
                self.kind.Feedback(stage=stage, frame=self.frame, elapsed_s=passed_s)
            )

    def _on_answer(self, answer: Answer) -> None:
        if answer.success:
            self.goal.succeed()
            self.result.set_result(self._found(answer))
        elif self.frame < self.frames:
            self._ask(answer.text)
        else:
            self._end(answer.text)

    def _end(self, why: str) -> None:
        """Without masks. A frame that is worked on is finished and published all the same."""
        if self.worker is not None:
            self.worker.withdraw(self.answer)
        if self.goal.is_cancel_requested:
            self.goal.canceled()
        else:
            self.goal.abort()
        self.result.set_result(self.kind.Result(success=False, message=why))

    def _found(self, answer: Answer) -> Any:
        masks = answer.messages['instances']
        return self.kind.Result(
            success=True,
            message=answer.text,
            bin_state=answer.messages['bin_state'].data,
            instances=int(labels_from_message(masks).max(initial=0)),
            masks=masks,
            picks=answer.messages['pick_candidates'],
            pick_table=answer.messages['pick_table'],
        )
