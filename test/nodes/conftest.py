"""What the tests of nodes share: the robot that feeds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from live_nodes import Robot


@pytest.fixture(scope='module')
def robot() -> Iterator[Robot]:
    """The other side of the segmenter's topics, in a domain of this run's own."""
    rclpy = pytest.importorskip('rclpy')
    from live_nodes import Robot, environment

    before = dict(os.environ)
    os.environ.update(environment())
    rclpy.init()
    node = Robot()
    yield node
    node.destroy_node()
    rclpy.try_shutdown()
    os.environ.clear()
    os.environ.update(before)
