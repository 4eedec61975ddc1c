"""The `recording_player` node: a recording's depth on the topics of realsense-ros, with the
recording's own stamps and clock.

    ~/depth/image_rect_raw (16UC1 mm), ~/depth/camera_info, /clock (rosgraph_msgs/Clock); with
    `colour` instead of the first two
    ~/aligned_depth_to_color/image_raw (16UC1 mm), ~/aligned_depth_to_color/camera_info and
    ~/color/image_raw (rgb8)

As node `camera` in namespace `/camera`. For RealSense .bag files and rosbag2 alike, where `ros2 bag
play` is not at hand or cannot read them. It begins when somebody listens to depth and camera_info,
and ends with the recording unless it is to loop.
"""

from __future__ import annotations

import time

from builtin_interfaces.msg import Time
from rclpy.executors import ExternalShutdownException
from rclpy.qos import qos_profile_system_default
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from insegan_ros.data.recordings import read_frames
from insegan_ros.errors import InputError, InseganError
from insegan_ros.nodes.conversions import (
    camera_info_message,
    depth_message,
    header_of,
    image_message,
)
from insegan_ros.nodes.declared import at_start, declare
from insegan_ros.nodes.runtime import ThreadedNode, run_node

PARAMETERS = (
    at_start('recording', '', 'rosbag2 folder or RealSense .bag'),
    at_start('rate', 1.0, 'how many times as fast as recorded', 0.01, 100.0),
    at_start('loop', False, 'begin again at the end; the clock jumps back then'),
    at_start('colour', False, 'colour too, and depth in its view'),
)
# Recordings whose stamps stand still, or leap, are played at about this pace.
LONGEST_GAP_S = 1.0
SETTLE_S = 1.0


class RecordingPlayerNode(ThreadedNode):
    """Publishes a recording as a camera does, and its clock."""

    def __init__(self) -> None:
        super().__init__('camera', '/camera')
        values = declare(self, PARAMETERS)
        self.recording: str = values['recording']
        self.speed: float = values['rate']
        self.loop: bool = values['loop']
        self.colour: bool = values['colour']
        if not self.recording:
            raise InputError(
                'the parameter recording is empty: expected a rosbag2 folder or a RealSense'
                ' recording'
            )
        # Said at once, in the process's own exit status, not in a thread.
        if next(read_frames(self.recording, colour=self.colour), None) is None:
            raise InputError(f'{self.recording} holds no frames: expected one or more')
        image, info = (
            ('aligned_depth_to_color/image_raw', 'aligned_depth_to_color/camera_info')
            if self.colour
            else ('depth/image_rect_raw', 'depth/camera_info')
        )
        self.depth = self.create_publisher(Image, f'~/{image}', qos_profile_system_default)
        self.info = self.create_publisher(CameraInfo, f'~/{info}', qos_profile_system_default)
        self.pictures = (
            self.create_publisher(Image, '~/color/image_raw', qos_profile_system_default)
            if self.colour
            else None
        )
        self.clock_publisher = self.create_publisher(Clock, '/clock', 10)
        self.finished, self.sent = False, 0
        self.failure: InseganError | None = None
        # How many subscribe to each publisher, and since when, by time.monotonic().
        self.counts: list[int] = []
        self.counts_since_s = 0.0
        self.create_timer(0.1, self._end)
        self.start(self._work)

    def _work(self) -> None:
        try:
            self.sleep_until(self._all_found)
            while self.running:
                gap_s = self._play()
                if not self.loop:
                    break
                # One frame alone would be played as often as it can be read.
                self.stopping.wait(gap_s)
            if not self.running:
                return
            self.get_logger().info(f'{self.sent} frames played')
            # What was sent last must arrive before the publisher goes.
            time.sleep(SETTLE_S)
        except InseganError as error:
            self.failure = error
        except Exception as error:  # rclpy's own, while it shuts down
            if self.running and self.context.ok():
                self.get_logger().error(f'{type(error).__name__}: {error}')
        self.finished = True

    def _all_found(self) -> bool:
        """Whether depth and camera_info are listened to and nobody new has been found for a while:
        who is found late, the clock's listeners too, would miss the first frame's messages."""
        counts, now = [one.get_subscription_count() for one in self.publishers], time.monotonic()
        if counts != self.counts:
            self.counts, self.counts_since_s = counts, now
        return (
            self.depth.get_subscription_count() > 0
            and self.info.get_subscription_count() > 0
            and now - self.counts_since_s > SETTLE_S
        )

    def _end(self) -> None:
        """In the executor's thread, which alone can end the process in order. Raises what the
        recording could not be read further for."""
        if self.failure is not None:
            raise self.failure
        if self.finished:
            raise ExternalShutdownException()

    def _play(self) -> float:
        """Once; returns the seconds between the last two frames."""
        due, before_ns, gap_s = time.monotonic(), None, LONGEST_GAP_S / self.speed
        for frame in read_frames(self.recording, colour=self.colour):
            if before_ns is not None:
                passed_s = min(max((frame.stamp_ns - before_ns) / 1e9, 0), LONGEST_GAP_S)
                gap_s = passed_s / self.speed
                due += gap_s
            before_ns = frame.stamp_ns
            self.sleep_until(lambda: time.monotonic() >= due)
            if not self.running:
                break
            header = header_of(frame)
            self.clock_publisher.publish(
                Clock(clock=Time(sec=frame.stamp_ns // 10**9, nanosec=frame.stamp_ns % 10**9))
            )
            self.info.publish(camera_info_message(frame.intrinsics, header))
            if self.pictures is not None and frame.colour is not None:
                self.pictures.publish(image_message(frame.colour, 'rgb8', header))
            self.depth.publish(depth_message(frame))
            self.sent += 1
        return gap_s


def main() -> int:
    """Entry point of `ros2 run insegan_ros recording_player`."""
    return run_node(RecordingPlayerNode)


if __name__ == '__main__':
    raise SystemExit(main())
