"""Frames of a live topic for commands that need a few, such as `insegan calibrate --topic`."""

from __future__ import annotations

import os
import time

import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import Frame
from insegan_ros.nodes.conversions import frame_from_messages
from insegan_ros.nodes.dds import check_domain, dds_environment
from insegan_ros.nodes.runtime import InterruptedExecutor, Interrupts

QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT
)


def live_frames(topic: str, count: int, timeout_s: float = 15.0) -> list[Frame]:
    """The next `count` depth frames of a topic, with the camera_info beside it. Raises ConfigError
    for a name that is no topic, InputError where too few come in time."""
    check_domain()
    os.environ.update(dds_environment())
    info_topic = f'{topic.rpartition("/")[0]}/camera_info'
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    images: list[Image] = []
    infos: list[CameraInfo] = []
    with Interrupts() as interrupts:
        node = rclpy.create_node('insegan_live')
        executor = InterruptedExecutor(interrupts, node)
        try:
            try:
                node.create_subscription(Image, topic, images.append, QOS)
                node.create_subscription(CameraInfo, info_topic, infos.append, QOS)
            except Exception as error:  # rclpy's own, for a malformed name
                raise ConfigError(
                    f'"{topic}" is not the name of a topic ({str(error).splitlines()[0]}):'
                    ' expected a name such as /camera/camera/depth/image_rect_raw'
                ) from error
            end = time.monotonic() + timeout_s
            while len(images) < count or not infos:
                executor.spin_once(timeout_sec=0.1)
                if time.monotonic() > end:
                    raise InputError(
                        f'{len(images)} images came on {topic} and {len(infos)} messages on'
                        f' {info_topic} within {timeout_s:g} s: expected {count} and one;'
                        f' {node.count_publishers(topic)} nodes publish the first,'
                        f' {node.count_publishers(info_topic)} the second'
                    )
        finally:
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()
    return [frame_from_messages(image, infos[-1]) for image in images]
