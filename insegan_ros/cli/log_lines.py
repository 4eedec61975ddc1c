"""Progress where nobody watches: in a log file a bar is a line now and then, not one line of
thousands that a terminal would have drawn on one another."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

EVERY_S = 30


class LogLines:
    """A text stream on which a carriage return begins a new line, and lines without content are
    left out."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.after_bar = stream, False

    def write(self, text: str) -> int:
        """Write. A bar begins with a carriage return; its line's end comes when it is closed."""
        ends_bar, self.after_bar = self.after_bar and text == '\n', '\r' in text
        if ends_bar:
            return len(text)
        if not self.after_bar:
            return self.stream.write(text)
        lines = [line.rstrip() for line in text.replace('\r', '\n').split('\n')]
        self.stream.write(''.join(f'{line}\n' for line in lines if line))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


@contextmanager
def log_lines() -> Iterator[None]:
    """While it lasts, progress on standard error is lines, one in half a minute, where that is no
    terminal."""
    plain = sys.stderr
    if plain.isatty():
        yield
        return
    # tqdm reads these when it is imported.
    for name in ('TQDM_MININTERVAL', 'TQDM_MAXINTERVAL'):
        os.environ.setdefault(name, str(EVERY_S))
    sys.stderr = LogLines(plain)
    try:
        yield
    finally:
        sys.stderr = plain
