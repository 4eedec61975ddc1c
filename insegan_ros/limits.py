"""A limit on the time that one frame may take, in the thread that works on it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from insegan_ros.errors import InputError

# When the work must be done, in seconds of time.monotonic(), and what it was given.
_end: ContextVar[tuple[float, float]] = ContextVar('end', default=(math.inf, math.inf))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """What this thread does within may take so long; 0: as long as it takes.

    >>> with time_limit(60.0):
    ...     check_time()
    """
    token = _end.set((time.monotonic() + seconds, seconds) if seconds else (math.inf, math.inf))
    try:
        yield
    finally:
        _end.reset(token)


def check_time() -> None:
    """For loops that a frame can make long. Raises InputError where the limit has passed."""
    end_s, seconds = _end.get()
    if time.monotonic() > end_s:
        raise InputError(
            f'the frame took longer than {seconds:g} s: expected a bin of parts; is the floor'
            ' given, and does the camera see the bin?'
        )
