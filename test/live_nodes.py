"""What tests of the nodes share: a node in a process of its own, and the other side of its
topics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from insegan_ros.camera.messages import labels_from_message, stamp_ns
from insegan_ros.frame import Intrinsics
from insegan_ros.nodes.conversions import camera_info_message, image_message
from insegan_ros.nodes.dds import dds_environment

DOMAIN = str(1 + os.getpid() % 90)
CAMERA = Intrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)


def environment() -> dict[str, str]:
    return {**os.environ, **dds_environment(), 'ROS_DOMAIN_ID': DOMAIN, 'OMP_NUM_THREADS': '1'}


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
        return self.popen.wait(timeout=30)


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
