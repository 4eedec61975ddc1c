"""Where the command and the nodes begin: stopped however early, they end without a stack trace."""

from __future__ import annotations

import signal
from importlib import import_module


def command() -> int:
    """`insegan`."""
    return _started('cli.main')


def segmenter() -> int:
    """`ros2 run insegan_ros segmenter`."""
    return _started('nodes.segmenter')


def sim_camera() -> int:
    """`ros2 run insegan_ros sim_camera`."""
    return _started('nodes.sim_camera')


def page() -> int:
    """`ros2 run insegan_ros page`."""
    return _started('nodes.page')


def empty_bin() -> int:
    """`ros2 run insegan_ros empty_bin`."""
    return _started('nodes.empty_bin')


def recording_player() -> int:
    """`ros2 run insegan_ros recording_player`."""
    return _started('nodes.recording_player')


def realsense_camera() -> int:
    """`ros2 run insegan_ros realsense_camera`."""
    return _started('nodes.realsense_camera')


def _started(module: str) -> int:
    """What `main` of a module returns. Until its libraries are there, Ctrl-C ends the process as it
    ends any other; from then on it is told in words."""
    python = signal.getsignal(signal.SIGINT)
    # A process that was started to ignore it, such as one in the background, goes on to do so.
    if python is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = import_module(f'insegan_ros.{module}').main
    signal.signal(signal.SIGINT, python)
    return main()
