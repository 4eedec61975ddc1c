"""The `insegan` command, within the test or in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from insegan_ros.cli.main import main


def command(*words: object) -> int:
    """Its exit status."""
    return main([str(word) for word in words])


def shell(*words: object) -> subprocess.CompletedProcess:
    """Its exit status and what it wrote, as a user's shell gets them."""
    return subprocess.run(
        [sys.executable, '-m', 'insegan_ros.cli', *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
