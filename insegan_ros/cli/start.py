"""Where the `insegan` command begins: stopped however early, it ends without a stack trace."""

from __future__ import annotations

import signal


def main() -> int:
    """Entry point. Until the command line's libraries are there, Ctrl-C ends the process as it ends
    any other; from then on it is told in words."""
    python = signal.getsignal(signal.SIGINT)
    # A process that was started to ignore it, such as one in the background, goes on to do so.
    if python is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from insegan_ros.cli.main import main as run

    signal.signal(signal.SIGINT, python)
    return run()
