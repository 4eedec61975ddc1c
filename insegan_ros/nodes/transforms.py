"""Frames: poses in the one that a robot asks for, over tf2, and a camera's own on /tf_static.

tf2_ros and tf2_msgs come with every ROS 2 installation, not from PyPI: both are optional.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import DEPTH_FRAME
from insegan_ros.picking.poses import OPTICAL

COLOUR_FRAME = 'camera_color_optical_frame'
# So long is waited for a robot that says where it was later than its camera.
WITHIN_S = 0.2
# How tf2 publishes what never changes.
STATIC_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class UnknownFrame(InputError):
    """A frame that nobody says the place of."""


class TargetFrame:
    """Where a camera is in a frame of the robot's. Raises ConfigError where tf2_ros is not
    installed."""

    def __init__(self, node: Node, frame: str) -> None:
        if len(frame.split()) != 1 or frame.split()[0] != frame:
            raise ConfigError(f'target_frame is {frame!r}: expected a name such as base_link')
        try:
            tf2_ros: Any = importlib.import_module('tf2_ros')
        except ImportError as error:
            raise ConfigError(
                f'target_frame is "{frame}", but tf2_ros cannot be imported ({error}): expected it,'
                ' as a ROS 2 installation has it; or leave target_frame empty'
            ) from error
        self.frame, self.lost = frame, tf2_ros.TransformException
        self.buffer = tf2_ros.Buffer(node=node)
        self.listener = tf2_ros.TransformListener(self.buffer, node)

    def matrix(self, header: Header) -> np.ndarray:
        """The pose (4, 4) of a message's frame, in m, when it was taken. Raises UnknownFrame where
        nobody says it. Waits, so not in a callback: the transforms come in one."""
        try:
            found = self.buffer.lookup_transform(
                self.frame,
                header.frame_id,
                Time.from_msg(header.stamp),
                timeout=Duration(nanoseconds=int(WITHIN_S * 1e9)),
            )
        except self.lost as error:
            raise UnknownFrame(
                f'no transform from {header.frame_id} to target_frame {self.frame}'
                f' ({" ".join(str(error).split())[:160]}): expected one on /tf or /tf_static; does'
                ' the robot publish its frames, and where the camera is?'
            ) from error
        return matrix_of(found.transform)

    def close(self) -> None:
        """Listen no more."""
        self.listener.unregister()


def matrix_of(transform: Transform) -> np.ndarray:
    """A Transform as a matrix (4, 4)."""
    q, t = transform.rotation, transform.translation
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
    matrix[:3, 3] = t.x, t.y, t.z
    return matrix


def transform_message(
    parent: str, child: str, matrix: np.ndarray, stamp: Any = None
) -> TransformStamped:
    """The pose (4, 4) of a child in its parent, in m."""
    x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    message = TransformStamped(
        child_frame_id=child,
        transform=Transform(
            translation=Vector3(**dict(zip('xyz', matrix[:3, 3].tolist()))),
            rotation=Quaternion(x=x, y=y, z=z, w=w),
        ),
    )
    message.header.frame_id = parent
    if stamp is not None:
        message.header.stamp = stamp
    return message


def camera_frames(colour_from_depth: np.ndarray | None = None) -> list[tuple[str, str, np.ndarray]]:
    """(parent, child, pose (4, 4)) of a RealSense's frames, as its driver names them. camera_link
    is where the depth camera is; colour_from_depth (4, 4): where depth's points are for the colour
    camera, in optical frames; None where there is no colour."""
    frames = [
        ('camera_link', 'camera_depth_frame', np.eye(4)),
        ('camera_depth_frame', DEPTH_FRAME, OPTICAL),
    ]
    if colour_from_depth is not None:
        colour = OPTICAL @ np.linalg.inv(colour_from_depth) @ OPTICAL.T
        frames += [
            ('camera_link', 'camera_color_frame', colour),
            ('camera_color_frame', COLOUR_FRAME, OPTICAL),
        ]
    return frames


class StaticFrames:
    """Publishes frames that never change, to whoever comes later too. Does nothing, and says so,
    where tf2_msgs is not installed."""

    def __init__(self, node: Node) -> None:
        self.node, self.publisher, self.kind = node, None, None
        try:
            self.kind = importlib.import_module('tf2_msgs.msg').TFMessage
        except ImportError:
            node.get_logger().info('tf2_msgs is not installed: /tf_static is not published')
            return
        self.publisher = node.create_publisher(self.kind, '/tf_static', STATIC_QOS)

    def publish(self, frames: Sequence[tuple[str, str, np.ndarray]]) -> None:
        """Publish (parent, child, pose (4, 4)) of each."""
        if self.publisher is None or self.kind is None:
            return
        stamp = self.node.get_clock().now().to_msg()
        self.publisher.publish(
            self.kind(transforms=[transform_message(*frame, stamp) for frame in frames])
        )
