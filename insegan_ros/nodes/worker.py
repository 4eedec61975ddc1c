"""The segmenter's thread: it works on the newest frame, one after another, and answers who asked
for one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image

from insegan_ros.errors import InseganError
from insegan_ros.nodes.diagnostics import Meter

# The executor may serve an image before the camera_info that was published ahead of it: an image is
# held so long for the first one.
INFO_WITHIN_S = 0.5
# A frame cannot be interrupted: so long is waited for its end.
ENDS_WITHIN_S = 5.0


@dataclass(frozen=True)
class DepthInput:
    """The newest frame as it came: depth, its colour or None, when it came (time.monotonic()), and
    which frame it is, counted from the node's activation."""

    depth: Image
    colour: Image | None
    received_s: float
    number: int


class Answer(NamedTuple):
    """What came of a request: whether a frame was segmented, what was found or why not in words,
    and what was published of it, by the outputs' names."""

    success: bool
    text: str
    messages: Mapping[str, Any]


@dataclass(frozen=True)
class PendingRequest:
    """Somebody who waits for the first frame after `after`. answer: becomes an Answer."""

    after: int
    answer: Future


class FrameWorker:
    """Works on the newest frame in a thread of its own, from start to stop.

    process: segments a frame and publishes what is listened to, or everything (its second
    argument), and returns what was found in words and what was published; it raises InseganError
    for a frame that cannot be used. wanted: whether a frame is to be worked on that nobody asked
    for. max_rate: the highest number of frames a second, 0 for no limit, as it is now. refused: is
    told why a frame was left out.

    A frame takes what it takes: a worker that is stopped amid one may outlive its node's active
    state. It is then of no consequence: `running` is false, so that nothing more is published, and
    the next worker shares nothing with it.
    """

    def __init__(
        self,
        process: Callable[[FrameWorker, DepthInput, bool], tuple[str, Mapping[str, Any]]],
        wanted: Callable[[], bool],
        max_rate: Callable[[], float],
        refused: Callable[[str], None],
    ) -> None:
        self.process, self.wanted, self.max_rate, self.refused = process, wanted, max_rate, refused
        self.meter = Meter()
        self.camera_info: CameraInfo | None = None
        self.running, self.died = True, ''
        self._newest: DepthInput | None = None
        self._requests: list[PendingRequest] = []
        self._served: list[PendingRequest] = []
        self._begun_s, self._busy = -float('inf'), False
        # Guards newest, camera_info, requests and running.
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name='segmenter-worker', daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, why: str) -> bool:
        """End: requests are answered with `why`. Whether the thread has ended; it is disowned
        otherwise."""
        with self._changed:
            self.running, self._newest = False, None
            self._changed.notify()
        self.answer_all(why)
        self._thread.join(timeout=ENDS_WITHIN_S)
        return not self._thread.is_alive()

    def take(self, depth: Image, colour: Image | None) -> None:
        """A frame has come; it takes the place of one that still waits."""
        with self._changed:
            self.meter.counts['dropped'] += self._newest is not None
            number = self.meter.counts['in']
            self._newest = DepthInput(depth, colour, time.monotonic(), number)
            self._changed.notify()

    def take_camera_info(self, info: CameraInfo) -> None:
        """The camera has said what it is."""
        with self._changed:
            self.camera_info = info
            self._changed.notify()

    def ask(self, answer: Future) -> None:
        """Somebody waits for the next frame that comes."""
        with self._changed:
            self._requests.append(PendingRequest(self.meter.counts['in'], answer))

    def withdraw(self, answer: Future) -> None:
        """Who asked does not wait any more."""
        with self._changed:
            self._requests = [one for one in self._requests if one.answer is not answer]

    def stage_of(self, answer: Future) -> str:
        """What is done for who asked: the frame's stage, or empty while none has come for it."""
        served = any(one.answer is answer for one in self._served)
        return self.meter.now if served else ''

    def busy_s(self) -> float:
        """Seconds that the frame that is worked on has taken so far; 0 between frames."""
        begun_s = self._begun_s
        return time.monotonic() - begun_s if self._busy else 0.0

    def answer_all(self, why: str) -> None:
        """Who waits for a frame waits in vain."""
        with self._changed:
            requests = list(self._requests)
        self._answer(requests, Answer(False, why, {}))

    def _answer(self, requests: list[PendingRequest], answer: Answer) -> None:
        with self._changed:
            waiting = [one for one in requests if one in self._requests]
            self._requests = [one for one in self._requests if one not in waiting]
        for request in waiting:
            request.answer.set_result(answer)

    def _run(self) -> None:
        try:
            while (frame := self._next_frame()) is not None:
                self._work_on(frame)
        except Exception as error:  # the node looks for it, and leaves the active state
            self.died = f'the thread that segments has ended: {type(error).__name__}: {error}'
            self.answer_all(self.died)

    def _work_on(self, frame: DepthInput) -> None:
        with self._changed:
            requests = [one for one in self._requests if frame.number > one.after]
        if not requests and not self.wanted():
            self.meter.counts['idle'] += 1
            return
        self._begun_s, self._busy = time.monotonic(), True
        self.meter.begin(frame.received_s)
        self._served = requests
        try:
            answer = Answer(True, *self.process(self, frame, bool(requests)))
        except InseganError as error:
            answer = Answer(False, str(error), {})
        except Exception as error:  # a frame may fail, the node may not
            answer = Answer(False, f'a frame was left out: {type(error).__name__}: {error}', {})
        finally:
            self._busy, self._served = False, []
        if not answer.success and self.running:
            self.meter.counts['refused'] += 1
            self.refused(answer.text)
        self._answer(requests, answer)

    def _next_frame(self) -> DepthInput | None:
        """Wait for the newest frame, as long as max_rate asks for; None when the worker stops."""
        with self._changed:
            while self.running and (left_s := self._pause_s()) > 0:
                self._changed.wait(left_s)
            self._changed.wait_for(lambda: self._newest is not None or not self.running)
            self._changed.wait_for(
                lambda: self.camera_info is not None or not self.running, timeout=INFO_WITHIN_S
            )
            frame, self._newest = self._newest, None
            return frame if self.running else None

    def _pause_s(self) -> float:
        """Seconds until the next frame may be worked on: by the rate of now, for it may change
        meanwhile. Every frame that comes has it asked for anew."""
        rate = self.max_rate()
        return self._begun_s + 1 / rate - time.monotonic() if rate else 0.0
