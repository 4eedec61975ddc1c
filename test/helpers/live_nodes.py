"""What tests of the nodes share: a node in a process of its own, and the other side of its
topics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from insegan_ros.camera.messages import labels_from_message, stamp_ns
from insegan_ros.frame import Intrinsics
from insegan_ros.nodes.conversions import camera_info_message, image_message
from insegan_ros.nodes.dds import dds_environment

# One domain is the test's own, another that of commands that look for nobody else in it.
DOMAIN, OTHER = str(1 + os.getpid() % 90), str(91 + os.getpid() % 90)
CAMERA = Intrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
FLOOR = [0.0, 0.0, -1.0, 0.6]
BOXES = ((60, 60, 110, 100), (200, 130, 250, 190))


def box_depth() -> np.ndarray:
    """Two boxes of 50 mm on a floor at 600 mm, as CAMERA sees them."""
    depth = np.full((240, 320), 600, np.uint16)
    for left, top, right, bottom in BOXES:
        depth[top:bottom, left:right] = 550
    return depth


def assert_boxes(labels: np.ndarray) -> None:
    """Labels are those of the two boxes."""
    found = {
        int(labels[(top + bottom) // 2, (left + right) // 2]) for left, top, right, bottom in BOXES
    }
    assert found == {1, 2}
    for left, top, right, bottom in BOXES:
        inside = labels[top:bottom, left:right]
        assert (inside == inside[10, 10]).mean() > 0.95
    assert labels[5, 5] == 0 and (labels > 0).sum() == pytest.approx(50 * 40 + 50 * 60, rel=0.05)


def environment() -> dict[str, str]:
    """Of a process with nodes: a domain of this run's own."""
    return {**os.environ, **dds_environment(), 'ROS_DOMAIN_ID': DOMAIN, 'OMP_NUM_THREADS': '1'}


def insegan(*arguments: object, domain: str = DOMAIN) -> subprocess.CompletedProcess:
    """The command line in a process of its own, to its end."""
    return subprocess.run(
        [sys.executable, '-m', 'insegan_ros.cli', *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**environment(), 'ROS_DOMAIN_ID': domain},
        timeout=150,
    )


class Process:
    """One of our nodes in a process of its own, its messages in a file."""

    def __init__(self, module: str, arguments: list[str], log: Path) -> None:
        self.log = log
        with open(log, 'w') as file:
            self.popen = subprocess.Popen(
                [sys.executable, '-m', module, *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
            )

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str, spin=lambda: time.sleep(0.05), timeout_s: float = 60) -> str:
        end = time.monotonic() + timeout_s
        while words not in self.text():
            assert time.monotonic() < end, f'"{words}" never came; the node said:\n{self.text()}'
            spin()
        return self.text()

    def stop(self) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGINT)
        return self.popen.wait(timeout=120)


def segmenter_node(
    log: Path, name: str = 'segmenter', colour: bool = False, **parameters: Any
) -> Process:
    """A segmenter that hears /cam and starts by itself, with such parameters. colour: it hears the
    colour camera too."""
    topics = ('depth/image', 'depth/camera_info', *(['color/image'] if colour else []))
    arguments = ['--ros-args', '-r', f'__node:={name}']
    for topic in topics:
        arguments += ['-r', f'{topic}:=/cam/{topic}']
    for key, value in {'autostart': True, **parameters}.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ['-p', f'{key}:={text}']
    return Process('insegan_ros.nodes.segmenter', arguments, log)


def call(robot: Robot, kind: type, name: str, request: Any, again_s: float = 5.0) -> Any:
    """The service's answer. A service may be found before it has found the caller, and the answer
    to a first question is lost then: it is asked again."""
    client = robot.create_client(kind, name)
    assert client.wait_for_service(timeout_sec=20)
    end = time.monotonic() + 60
    while True:
        assert time.monotonic() < end, f'{name} never answered'
        future, until = client.call_async(request), time.monotonic() + again_s
        while not future.done() and time.monotonic() < until:
            robot.spin()
        if future.done():
            robot.destroy_client(client)
            return future.result()
        client.remove_pending_request(future)


def change(robot: Robot, transition: int, node: str = 'segmenter') -> bool:
    """Ask a node for a transition; whether it was made. Not asked twice: the second time there
    would be nothing left to change."""
    request = ChangeState.Request(transition=Transition(id=transition))
    return call(robot, ChangeState, f'/{node}/change_state', request, again_s=60).success


def state(robot: Robot, node: str = 'segmenter') -> str:
    """A node's state, in its own word."""
    return call(robot, GetState, f'/{node}/get_state', GetState.Request()).current_state.label


def set_parameter(robot: Robot, name: str, value: Any, node: str = 'segmenter') -> Any:
    """Give a node a value; its answer."""
    kinds = {
        bool: (1, 'bool_value'),
        int: (2, 'integer_value'),
        float: (3, 'double_value'),
        str: (4, 'string_value'),
        list: (8, 'double_array_value'),
    }
    number, field = kinds[type(value)]
    given = ParameterValue(type=number, **{field: value})
    request = SetParameters.Request(parameters=[Parameter(name=name, value=given)])
    return call(robot, SetParameters, f'/{node}/set_parameters', request).results[0]


def get_parameter(robot: Robot, name: str, node: str = 'segmenter') -> str:
    """A node's value of a parameter that is a text."""
    request = GetParameters.Request(names=[name])
    return call(robot, GetParameters, f'/{node}/get_parameters', request).values[0].string_value


class Robot(Node):
    """Feeds the segmenter and hears what it answers."""

    def __init__(self) -> None:
        super().__init__('robot')
        self.depth = self.create_publisher(Image, '/cam/depth/image', 5)
        self.info = self.create_publisher(CameraInfo, '/cam/depth/camera_info', 5)
        self.masks: list[Image] = []
        self.poses: list[PoseArray] = []
        self.overlays: list[Image] = []
        self.picks: list[PoseArray] = []
        self.states: list[String] = []
        self.create_subscription(Image, '/segmenter/instances', self.masks.append, 10)
        self.create_subscription(PoseArray, '/segmenter/poses', self.poses.append, 10)
        self.create_subscription(
            Image, '/segmenter/overlay', self.overlays.append, qos_profile_sensor_data
        )
        self.create_subscription(PoseArray, '/segmenter/pick_candidates', self.picks.append, 10)
        self.create_subscription(String, '/segmenter/bin_state', self.states.append, 10)
        self.executor_of_mine = SingleThreadedExecutor()
        self.executor_of_mine.add_node(self)
        self.stamp = 0

    def spin(self, seconds: float = 0.05) -> None:
        self.executor_of_mine.spin_once(timeout_sec=seconds)

    def header(self) -> Header:
        self.stamp += 1
        header = Header(frame_id='camera_depth_optical_frame')
        header.stamp.sec = self.stamp
        return header

    def send(self, pixels: np.ndarray, encoding: str, intrinsics: Intrinsics | None) -> int:
        header = self.header()
        if intrinsics is not None:
            self.info.publish(camera_info_message(intrinsics, header))
            for _ in range(3):
                self.spin(0.02)
        self.depth.publish(image_message(pixels, encoding, header))
        return stamp_ns(header)

    def until(self, condition, timeout_s: float = 20) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, 'it never came'
            self.spin()

    def answer(
        self,
        pixels: np.ndarray,
        encoding: str = '16UC1',
        intrinsics: Intrinsics | None = CAMERA,
        timeout_s: float = 30,
    ) -> np.ndarray:
        """Send until the masks of exactly this frame come back."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            stamp = self.send(pixels, encoding, intrinsics)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                self.spin()
                for mask in self.masks:
                    if stamp_ns(mask.header) == stamp:
                        assert (
                            mask.encoding == '16UC1'
                            and mask.header.frame_id == 'camera_depth_optical_frame'
                        )
                        return labels_from_message(mask)
        raise AssertionError('no masks came')
