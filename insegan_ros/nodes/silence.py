"""How long the segmenter may be told to wait for a picture, for who starts it, without ROS."""

from __future__ import annotations

from insegan_ros.errors import ConfigError

# The least and the greatest of its parameter silence_s.
SILENCE_S = 0.1, 3600


def check_timeout(timeout_s: float) -> None:
    """Raise ConfigError for what the segmenter cannot be told to wait for."""
    shortest, longest = SILENCE_S
    if not shortest <= timeout_s <= longest:
        raise ConfigError(f'timeout_s is {timeout_s:g}: expected {shortest:g} to {longest:g} s')
