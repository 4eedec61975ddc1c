"""The `realsense_camera` node: a RealSense on the topics of realsense-ros, for machines without it.

    ~/depth/image_rect_raw (16UC1 mm), ~/color/image_raw (rgb8), ~/aligned_depth_to_color/image_raw
    (16UC1 mm), camera_info beside each; camera_link and the frames below it on /tf_static

As node `camera` in namespace `/camera`, `~` is /camera/camera, as with the real driver. A camera
that is unplugged is waited for; a recording is played instead of one where `file` names it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from insegan_ros.camera.realsense import RealSense, RealSenseConfig, View
from insegan_ros.errors import CameraError
from insegan_ros.frame import DEPTH_FRAME
from insegan_ros.nodes.conversions import camera_info_message, image_message
from insegan_ros.nodes.declared import declare, specs_of
from insegan_ros.nodes.runtime import ThreadedNode, Warner, run_node
from insegan_ros.nodes.transforms import COLOUR_FRAME, StaticFrames, camera_frames

PARAMETERS = tuple(specs_of(RealSenseConfig))
# name -> (optical frame, encoding, topic)
STREAMS = {
    'depth': (DEPTH_FRAME, '16UC1', 'image_rect_raw'),
    'color': (COLOUR_FRAME, 'rgb8', 'image_raw'),
    'aligned_depth_to_color': (COLOUR_FRAME, '16UC1', 'image_raw'),
}
READ_S, LOST_S, RETRY_S = 0.2, 3.0, 1.0


class RealSenseCameraNode(ThreadedNode):
    """Publishes a RealSense's streams. find: how the device is found, for tests; see RealSense."""

    def __init__(self, find: Callable[[], Any] | None = None) -> None:
        super().__init__('camera', '/camera')
        self.warn = Warner(self)
        declare(self, PARAMETERS)
        self.camera = RealSense(
            RealSenseConfig(
                **{
                    field.name: self.get_parameter(field.name).value
                    for field in fields(RealSenseConfig)
                }
            ),
            find,
        )
        self.stream_publishers: dict[str, tuple[Any, Any]] = {}
        for name, (_, _, topic) in STREAMS.items():
            if name == 'depth' or (
                self.camera.config.colour and (name == 'color' or self.camera.config.align_depth)
            ):
                self.stream_publishers[name] = (
                    self.create_publisher(Image, f'~/{name}/{topic}', qos_profile_system_default),
                    self.create_publisher(
                        CameraInfo, f'~/{name}/camera_info', qos_profile_system_default
                    ),
                )
        self.frames = StaticFrames(self)
        self.sent = 0
        self.start(self._work)

    def _work(self) -> None:
        """Open, read, and open again, as long as the node lives."""
        opened = ''
        while self.running:
            try:
                name = self.camera.open()
                if name != opened:
                    self.get_logger().info(
                        f'{name}: publishing {self.stream_publishers["depth"][0].topic_name}'
                    )
                opened = name
                self.frames.publish(camera_frames(self.camera.colour_from_depth()))
                self._stream()
            except CameraError as error:
                opened = ''
                self.warn(str(error))
            except Exception as error:  # the camera may fail, the node may not
                if not self.context.ok():
                    break
                self.warn(f'the camera failed: {type(error).__name__}: {error}')
            self.camera.close()
            self.stopping.wait(RETRY_S)
        self.camera.close()

    def _stream(self) -> None:
        """Publish until nothing comes any more. Raises CameraError."""
        heard = time.monotonic()
        while self.running:
            capture = self.camera.read(READ_S)
            if capture is not None:
                heard = time.monotonic()
                stamp = self._stamp(capture.stamp_ms)
                for name, view in (
                    ('depth', capture.depth),
                    ('color', capture.colour),
                    ('aligned_depth_to_color', capture.aligned),
                ):
                    if view is not None and name in self.stream_publishers:
                        self._publish(name, view, stamp)
                self.sent += 1
            elif self.camera.ended:
                if self.camera.config.repeat:
                    return
                self.get_logger().info('the recording is over')
                self.stopping.wait()
            elif time.monotonic() - heard > LOST_S:
                raise CameraError(
                    f'no frames for {LOST_S:g} s: expected {self.camera.config.fps} a second; was'
                    ' the camera unplugged?'
                )

    def _stamp(self, stamp_ms: float) -> Time:
        """The camera's own time where it is of this machine's clock, else now."""
        now = self.get_clock().now()
        own_ns = int(stamp_ms * 1e6)
        return (
            Time(sec=own_ns // 10**9, nanosec=own_ns % 10**9)
            if abs(now.nanoseconds - own_ns) < 10**9
            else now.to_msg()
        )

    def _publish(self, name: str, view: View, stamp: Time) -> None:
        frame, encoding, _ = STREAMS[name]
        image, info = self.stream_publishers[name]
        header = Header(stamp=stamp, frame_id=frame)
        info.publish(camera_info_message(view.camera, header, view.distortion))
        if image.get_subscription_count():
            pixels = view.millimetres if encoding == '16UC1' else view.pixels
            image.publish(image_message(pixels, encoding, header))


def main() -> int:
    """Entry point of `ros2 run insegan_ros realsense_camera`."""
    return run_node(RealSenseCameraNode)


if __name__ == '__main__':
    raise SystemExit(main())
