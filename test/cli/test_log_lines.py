"""What a log file holds of progress."""

from __future__ import annotations

import io
import sys

from tqdm import tqdm

from insegan_ros.cli.log_lines import LogLines, log_lines


def test_a_bar_is_lines_without_carriage_returns():
    kept = io.StringIO()
    stream = LogLines(kept)
    for _ in tqdm(range(3), desc='heaps', unit='heap', file=stream, mininterval=0):
        pass
    stream.write('insegan: done\n')
    lines = kept.getvalue().splitlines()
    assert '\r' not in kept.getvalue() and all(line.strip() for line in lines)
    assert lines[0].startswith('heaps:   0%') and '3/3' in lines[-2]
    assert lines[-1] == 'insegan: done'


def test_a_terminal_keeps_its_bar_and_the_stream_comes_back(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, text in ((Terminal(), '\rhalf\n'), (io.StringIO(), 'half\n')):
        monkeypatch.setattr(sys, 'stderr', stream)
        with log_lines():
            print('\rhalf', file=sys.stderr)
        assert sys.stderr is stream and stream.getvalue().replace('\n\n', '\n') == text
