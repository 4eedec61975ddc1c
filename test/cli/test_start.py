"""Ctrl-C before the command's libraries are there."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The first library that the command line imports, and takes its time: as on a machine with work.
SLOW = """
import sys, time, types

class Slow:
    def find_spec(self, name, *_):
        if name == 'jsonargparse':
            print('importing', flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
sys.argv = ['insegan', '--version']
from insegan_ros.cli.start import main
sys.exit(main())
"""


@pytest.mark.parametrize('stopped', [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_while_it_imports_has_nothing_to_say(stopped):
    process = subprocess.Popen(
        [sys.executable, '-c', SLOW],
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
