"""What the page shows: the newest of every output of the segmenter, and what its diagnostics say,
as names with values."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32, String

from insegan_ros.camera.messages import colour_from_message, labels_from_message
from insegan_ros.errors import MALFORMED, InputError
from insegan_ros.files import shipped_folders
from insegan_ros.nodes.pick_messages import table_rows
from insegan_ros.renamed import modern_model
from insegan_ros.texts import read_json

LAST_REFUSED, MAX_PICKS = 8, 12
# What is older is said to be so.
FRESH_S = 3.0
LEVELS = {
    DiagnosticStatus.OK: 'ok',
    DiagnosticStatus.WARN: 'warning',
    DiagnosticStatus.ERROR: 'error',
    DiagnosticStatus.STALE: 'error',
}
JPEG_QUALITY = 85
# Figures of a card that are shown, by their names there.
FIGURES = {
    'honest_miou': 'mIoU, five parts',
    'honest_miou_hard': 'mIoU, hard bins',
    'deep_ideal_seen_miou': 'mIoU, forty parts',
    'deep_d435_seen_miou': 'mIoU, forty parts, D435',
    'deep_d435_found50': 'found, forty parts, D435',
    'deep_d435_precision': 'precision, forty parts, D435',
}


class PageView:
    """The newest messages, kept by one thread and shown by others. segmenter: the node's full
    name."""

    def __init__(self, segmenter: str) -> None:
        self.segmenter = segmenter
        self._lock = threading.Lock()
        self._heard: dict[str, tuple[float, Any]] = {}
        self._refused: deque[dict[str, Any]] = deque(maxlen=LAST_REFUSED)
        self._refused_before: int | None = None
        self._picture: tuple[Image, bytes] | None = None
        self._card: tuple[str, dict[str, Any]] = ('', {})

    # What comes in.

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep what the segmenter says of itself, and why it has left frames out."""
        for status in message.status:
            if status.name == self.segmenter:
                values = {pair.key: pair.value for pair in status.values}
                self._hear('diagnostics', (status.level, status.message, values))
                self._count_refused(status.message, _number(values.get('frames refused')))

    def _count_refused(self, reason: str, count: float | None) -> None:
        if count is None:
            return
        before, self._refused_before = self._refused_before, int(count)
        # A node that was started anew counts from zero.
        new = int(count) - (before if before is not None and before <= count else 0)
        if before is not None and new:
            with self._lock:
                # One reason again and again is one line.
                if self._refused and self._refused[0]['why'] == reason:
                    new += self._refused.popleft()['frames']
                self._refused.appendleft({'at': time.time(), 'frames': new, 'why': reason})

    def on_overlay(self, message: Image) -> None:
        """Keep the newest picture."""
        self._hear('overlay', message)

    def on_instances(self, message: Image) -> None:
        """Count the instances."""
        try:
            self._hear('instances', int(labels_from_message(message).max(initial=0)))
        except InputError:
            return

    def on_bin_state(self, message: String) -> None:
        """Keep the bin's state."""
        self._hear('bin_state', message.data)

    def on_fill_level(self, message: Float32) -> None:
        """Keep how full the bin is, per cent."""
        self._hear('fill_level', float(message.data))

    def on_pick_table(self, message: PointCloud2) -> None:
        """Keep the first picks."""
        try:
            rows = table_rows(message)
            first = [_pick(row) for row in rows[:MAX_PICKS]]
        except (InputError, *MALFORMED):  # a label may be no number
            return
        self._hear('picks', (len(rows), first))

    def _hear(self, name: str, what: Any) -> None:
        with self._lock:
            self._heard[name] = time.monotonic(), what

    # What is shown.

    def _newest(self, name: str) -> Any:
        """What was heard last, or None where that is long ago."""
        with self._lock:
            at, what = self._heard.get(name, (-math.inf, None))
        return what if time.monotonic() - at < FRESH_S else None

    def _diagnosis(self) -> tuple[bytes | None, str, dict[str, str]]:
        """Level, message and values; no level where nothing is heard."""
        return self._newest('diagnostics') or (None, '', {})

    def status(self) -> dict[str, Any]:
        """Everything but the picture: numbers, text, or None for what is not known."""
        level, message, values = self._diagnosis()
        rate = _number(values.get('frames a second'))
        # Where no frame comes, the times of those of long ago say nothing of now.
        times = values if rate else {}
        count, picks = self._newest('picks') or (None, [])
        with self._lock:
            refused = list(self._refused)
        return {
            'segmenter': self.segmenter,
            'level': 'silent' if level is None else LEVELS.get(level, 'error'),
            'message': message if level is not None else 'nothing is heard from the segmenter',
            'state': values.get('state'),
            'model': values.get('model'),
            'device': values.get('device'),
            'runtime': values.get('runtime'),
            'frames_per_s': rate,
            'latency_ms': _number(times.get('camera stamp to published ms, median')),
            'latency_ms_p99': _number(times.get('camera stamp to published ms, 99 %')),
            'frames': {
                name: _number(values.get(f'frames {name}'))
                for name in ('in', 'out', 'dropped', 'refused')
            },
            'bin_state': self._newest('bin_state'),
            'instances': self._newest('instances'),
            'fill_level': _finite(self._newest('fill_level')),
            'picks': picks,
            'picks_in_all': count,
            'overlay': self._newest('overlay') is not None,
            'refused': refused,
            'card': self._card_of(values.get('model', '')),
        }

    def picture(self) -> bytes | None:
        """The newest overlay as a JPEG, None where there is none or it is none."""
        message = self._newest('overlay')
        if message is None:
            return None
        with self._lock:
            if self._picture is not None and self._picture[0] is message:
                return self._picture[1]
        try:
            pixels = colour_from_message(message)
        except InputError:
            return None
        bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        with self._lock:
            self._picture = message, jpeg
        return jpeg

    def _card_of(self, model: str) -> dict[str, Any]:
        """The figures of a shipped checkpoint's card, or none; read when the model changes. Paths
        are not followed: who says them may be anybody in the domain."""
        if model != self._card[0]:
            self._card = model, read_card(model)
        return self._card[1]


def read_card(model: str) -> dict[str, Any]:
    """What a shipped checkpoint was made for and how good it was measured to be, by names for
    people; empty for any other model."""
    name = modern_model(model)
    for folder in shipped_folders('checkpoints'):
        if name in {child.name for child in folder.iterdir()}:
            try:
                card = read_json(folder / name / 'card.json', InputError)
            except InputError:
                return {}
            figures: Mapping[str, Any] = card.get('metrics', {})
            return {
                'part': card.get('part', ''),
                'method': card.get('method', ''),
                'figures': {
                    text: figures[key]
                    for key, text in FIGURES.items()
                    if isinstance(figures.get(key), int | float)
                },
            }
    return {}


def _pick(row: np.void) -> dict[str, Any]:
    """A row of the table for people: lengths in mm."""
    fields = row.dtype.names or ()
    places: dict[str, Any] = {
        name: _finite(1000 * float(row[name]))
        for name in ('x', 'y', 'z', 'height', 'clearance', 'opening')
        if name in fields
    }
    return {
        'label': int(row['label']) if 'label' in fields else None,
        'score': _finite(float(row['score'])) if 'score' in fields else None,
        'double': bool(row['double']) if 'double' in fields else False,
        **places,
    }


def _number(text: str | None) -> float | None:
    """A number that was said in words."""
    try:
        return _finite(float(text)) if text is not None else None
    except ValueError:
        return None


def _finite(value: float | None) -> float | None:
    """A number that JSON knows."""
    return value if value is not None and math.isfinite(value) else None
