"""Ctrl-C before the libraries of the command, or of a node, are there."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The first library that is imported takes its time: as on a machine with work.
SLOW = """
import sys, time

class Slow:
    def find_spec(self, name, *_):
        if name in ('jsonargparse', 'rclpy', 'torch'):
            print('importing', flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
sys.argv = [sys.argv[1], '--version']
from insegan_ros.cli import start
sys.exit(getattr(start, sys.argv[0])())
"""


@pytest.mark.parametrize('stopped', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('started', ['command', 'segmenter', 'sim_camera'])
def test_what_is_stopped_while_it_imports_has_nothing_to_say(started, stopped):
    process = subprocess.Popen(
        [sys.executable, '-c', SLOW, started],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell's background jobs are deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout.readline() == 'importing\n'
        process.send_signal(stopped)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert said == '' and process.returncode == -stopped
