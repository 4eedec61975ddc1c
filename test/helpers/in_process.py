"""A segmenter in the test's own process, and a method that is as slow as it is told to be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from live_nodes import FLOOR, Robot
from rclpy.parameter import Parameter

from insegan_ros.frame import Instances
from insegan_ros.nodes.segmenter import SegmenterNode
from insegan_ros.segmenters.base import Segmenter


@contextmanager
def segmenter_here(robot: Robot, name: str = 'segmenter') -> Iterator[SegmenterNode]:
    """A configured segmenter that hears the robot and runs in its executor."""
    words = ['--ros-args', '-r', f'__node:={name}']
    for topic in ('depth/image', 'depth/camera_info'):
        words += ['-r', f'{topic}:=/cam/{topic}']
    node = SegmenterNode(cli_args=words)
    values = {'model': 'kmeans', 'instances': 2, 'floor': FLOOR}
    node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
    robot.executor_of_mine.add_node(node)
    node.trigger_configure()
    yield node
    robot.executor_of_mine.remove_node(node)
    node.destroy_node()


class Slow(Segmenter):
    """Finds nothing, as late as it is told to."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def segment(self, frame, workspace=None) -> Instances:
        self.begun.set()
        assert self.released.wait(60)
        return Instances.none(frame.depth_m.shape)
