"""Our nodes as processes of their own, for commands that start and watch them: demo and replay."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from insegan_ros.data.recording_writer import (
    ALIGNED_INFO_TOPIC,
    ALIGNED_TOPIC,
    COLOUR_TOPIC,
    DEPTH_TOPIC,
    INFO_TOPIC,
    INSTANCES_TOPIC,
)
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError, InseganError
from insegan_ros.methods.registry import find_checkpoint, ready
from insegan_ros.nodes.dds import check_domain, dds_environment
from insegan_ros.nodes.runtime import InterruptedExecutor, Interrupts
from insegan_ros.workspace import Workspace, workspace_values

CAMERA = '/camera/camera'
DISCOVERY_S = 4.0


def start_node(
    module: str, parameters: dict[str, Any], remappings: dict[str, str] | None = None
) -> subprocess.Popen:
    """One of our nodes, started as launch would; it ends when this process does, also by
    SIGKILL."""
    words = [
        word for name, value in parameters.items() for word in ('-p', f'{name}:={_text(value)}')
    ]
    words += [
        word for name, topic in (remappings or {}).items() for word in ('-r', f'{name}:={topic}')
    ]
    return subprocess.Popen(
        [sys.executable, '-m', f'insegan_ros.nodes.{module}', '--ros-args', *words],
        start_new_session=True,
        preexec_fn=partial(_die_with, os.getpid()),
    )


# Found before there is a child, in which nothing may be imported any more.
_LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _die_with(parent: int) -> None:
    """In a child, before it becomes its program: be told to stop when the parent ends, however that
    ends. It may have ended already."""
    if sys.platform == 'linux':
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def start_segmenter(
    model: str,
    instances: int,
    workspace: Workspace | None,
    parameters: dict[str, Any] | None = None,
    colour: bool = False,
) -> subprocess.Popen:
    """The segmenter on a RealSense's topics, ready by itself; with colour, on depth in the colour
    camera's view. Raises CheckpointError where its model cannot be loaded: the node itself would
    stay and wait for a better one."""
    if model not in ready():
        Checkpoint.load(find_checkpoint(model))
    place = {} if workspace is None else workspace_values(workspace)
    depth, info = (ALIGNED_TOPIC, ALIGNED_INFO_TOPIC) if colour else (DEPTH_TOPIC, INFO_TOPIC)
    return start_node(
        'segmenter',
        {'model': model, 'autostart': True, 'instances': instances, **place, **(parameters or {})},
        {'depth/image': depth, 'depth/camera_info': info, 'color/image': COLOUR_TOPIC},
    )


def _text(value: Any) -> str:
    """A value as rcl's parser reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    # Quotes keep a path of digits a string.
    return (
        f'"{value}"'
        if isinstance(value, str)
        else str([float(one) for one in value])
        if isinstance(value, Sequence)
        else str(value)
    )


def stop_all(processes: Sequence[subprocess.Popen]) -> None:
    """End them, by SIGKILL where they will not."""
    for process in processes:
        if process.poll() is None:
            # Not SIGINT: a node that still imports its libraries would answer with where it was
            # interrupted.
            process.terminate()
    for process in processes:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def watching(
    make: Callable[[], Node], alone: bool = True
) -> Iterator[tuple[Any, SingleThreadedExecutor, list[subprocess.Popen]]]:
    """A node of this process, its executor, and a list for processes that are ended with it,
    whatever happens. alone: whether nobody else may publish on our topics.

    Raises ConfigError where the ROS domain or the arguments are none, or where it is not ours
    alone.
    """
    check_domain()
    os.environ.update(dds_environment())
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rcl reports malformed --ros-args with types of its own
        raise ConfigError(f'ROS 2 cannot start: {str(error).splitlines()[0]}') from error
    processes: list[subprocess.Popen] = []
    with Interrupts() as interrupts:
        node = make()
        executor = InterruptedExecutor(interrupts, node)
        try:
            if alone:
                _refuse_busy_domain(node, executor)
            yield node, executor, processes
        finally:
            # The nodes must not be left behind, however often one is told to stop.
            interrupts.held = True
            stop_all(processes)
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()


def _refuse_busy_domain(node: Node, executor: SingleThreadedExecutor) -> None:
    # Discovery takes a moment, the longer the busier the machine is.
    end = time.monotonic() + DISCOVERY_S
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
        for topic in (DEPTH_TOPIC, ALIGNED_TOPIC, INSTANCES_TOPIC):
            if node.count_publishers(topic):
                raise ConfigError(
                    f'ROS domain {os.environ.get("ROS_DOMAIN_ID", "0")} is in use: somebody'
                    f' publishes {topic} already; expected a free domain, set ROS_DOMAIN_ID to'
                    ' another'
                )


def wait_for(
    condition: Callable[[], bool],
    executor: SingleThreadedExecutor,
    processes: Sequence[subprocess.Popen],
    timeout_s: float,
    wanted: str = 'masks on /segmenter/instances',
) -> None:
    """Spin until the condition holds, which `wanted` says in words. Raises InseganError where a
    process ends before, or where it takes too long."""
    end = time.monotonic() + timeout_s
    while not condition():
        executor.spin_once(timeout_sec=0.1)
        if any(process.poll() is not None for process in processes):
            raise InseganError(
                "one of the nodes ended before any masks came: see the nodes' messages above"
            )
        if time.monotonic() > end:
            raise InseganError(
                f'{timeout_s:.0f} s passed without {wanted}: expected them by then (is the machine'
                " overloaded?); see the nodes' messages above"
            )
