"""What the segmenter says of itself on /diagnostics (REP 107): frames, times of every stage,
memory, the bin."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

STAGES = ('wait', 'convert', 'infer', 'post-process', 'publish')
LAST = 300
OTHER_CLOCK_S = 3600.0


@dataclass
class Health:
    """How the node fares. Seconds are those of time.monotonic(): of the last depth image, and of
    the last one that had its colour where the node waits for it.

    stopped: why the node left the active state by itself, until it is activated again. bin_state:
    the bin in a word, as last published. bin_place: where it stands, in words; bin_moved: whether
    that is not where it was configured.
    """

    last_image_s: float = 0.0
    last_frame_s: float = 0.0
    last_error: str = ''
    last_error_s: float = 0.0
    stopped: str = ''
    bin_state: str = 'not known'
    bin_place: str = 'not known'
    bin_moved: bool = False

    def fail(self, error: str) -> None:
        """A frame, or the node, could not go on."""
        self.last_error, self.last_error_s = error, time.monotonic()
        self.bin_state = self.bin_place = 'not known'
        self.bin_moved = False


class Meter:
    """Counts of frames and the last times of every stage. One thread counts what comes in, another
    what goes out."""

    def __init__(self) -> None:
        self.counts = {'in': 0, 'out': 0, 'dropped': 0, 'refused': 0, 'idle': 0}
        self.seconds: dict[str, deque[float]] = {
            name: deque(maxlen=LAST) for name in (*STAGES, 'latency')
        }
        self.finished: deque[float] = deque(maxlen=LAST)
        self._frame: dict[str, float] = {}
        # The stage that is at work, or was last.
        self.now = ''

    def begin(self, arrived: float) -> None:
        """A frame that arrived at a time of time.monotonic() is taken up."""
        self._frame, self.now = {'wait': time.monotonic() - arrived}, 'convert'

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done within; a stage may have several pieces."""
        self.now, begun = name, time.monotonic()
        try:
            yield
        finally:
            self._frame[name] = self._frame.get(name, 0.0) + time.monotonic() - begun

    def finish(self, latency_s: float) -> None:
        """The frame is out; latency_s from the camera's stamp to now."""
        self.counts['out'] += 1
        for name, seconds in {**self._frame, 'latency': latency_s}.items():
            # Stamps of another clock, such as a recording's, say nothing of latency.
            if 0 <= seconds < OTHER_CLOCK_S:
                self.seconds[name].append(seconds)
        self.finished.append(time.monotonic())

    def rate(self) -> float:
        """Frames a second over the last ones of the last five seconds."""
        recent = [one for one in list(self.finished) if time.monotonic() - one < 5]
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6) if len(recent) > 1 else 0.0

    def values(self) -> dict[str, str]:
        """Everything in words."""
        out = {f'frames {name}': str(count) for name, count in self.counts.items()}
        out['frames a second'] = f'{self.rate():.1f}'
        for name, seconds in self.seconds.items():
            title = 'camera stamp to published' if name == 'latency' else name
            if seconds:
                last = np.array(seconds) * 1000
                out[f'{title} ms, median'] = f'{np.median(last):.1f}'
                out[f'{title} ms, 99 %'] = f'{np.percentile(last, 99):.1f}'
        return out


def memory(device: str) -> dict[str, str]:
    """This process's memory, and the device's if it has its own."""
    pages = (
        int(Path('/proc/self/statm').read_text().split()[1])
        if Path('/proc/self/statm').exists()
        else 0
    )
    out = {'resident memory MB': f'{pages * os.sysconf("SC_PAGE_SIZE") / 1e6:.0f}'}
    if device.startswith('cuda'):
        out['device memory MB'] = f'{torch.cuda.memory_allocated(device) / 1e6:.0f}'
    return out


def summary(
    health: Health, meter: Meter, state: str, silence_s: float, wanted: bool, waiting: str = ''
) -> tuple[bytes, str]:
    """Level and message of a node in a state ('active', 'inactive', 'unconfigured'). An error is
    told for silence_s seconds. wanted: whether frames are worked on as they come. waiting: what has
    been given and does not act yet."""
    now = time.monotonic()
    if health.stopped:
        return DiagnosticStatus.ERROR, health.stopped
    if health.last_error and now - health.last_error_s < silence_s:
        silent = state == 'active' and now - health.last_image_s > silence_s
        return (DiagnosticStatus.ERROR if silent else DiagnosticStatus.WARN), health.last_error
    if state != 'active':
        return DiagnosticStatus.WARN, 'not active'
    if now - health.last_image_s > silence_s:
        return DiagnosticStatus.ERROR, f'no depth image for {now - health.last_image_s:.0f} s'
    if waiting:
        return DiagnosticStatus.WARN, waiting
    if health.bin_moved:
        return DiagnosticStatus.WARN, f'the bin is not in its place: {health.bin_place}'
    if not wanted:
        return DiagnosticStatus.OK, 'frames arrive, but nobody listens to the results'
    return DiagnosticStatus.OK, f'{meter.rate():.1f} frames/s'


def diagnostic_array(
    node: Node, model: str, level: bytes, message: str, values: dict[str, str]
) -> DiagnosticArray:
    """A node's one status of now. values: what is worth knowing, by name, in words."""
    status = DiagnosticStatus(
        name=node.get_fully_qualified_name(),
        hardware_id=model,
        level=level,
        message=message,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = node.get_clock().now().to_msg()
    return array
