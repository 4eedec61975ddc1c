"""What the subcommands share that need ROS 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from insegan_ros.errors import ConfigError


@contextmanager
def needs_ros() -> Iterator[None]:
    """Says in one line where ROS 2 is missing. Raises ConfigError."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f'ROS 2 is not available ({error}): expected a sourced ROS 2, or the rclpy wheels that'
            ' `make setup` installs'
        ) from error
