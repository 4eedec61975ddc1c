"""The `sim_camera` node: a simulated RealSense over a simulated bin, on the topics that
realsense-ros uses.

    ~/depth/image_rect_raw (16UC1 mm), ~/depth/camera_info, and the truth on ~/ground_truth/labels
    (16UC1); camera_link and the frames below it on /tf_static
    ~/take (geometry_msgs/PoseStamped): take the part there out of the bin that is shown, as a robot
    would; what came of it on ~/taken (diagnostic_msgs/DiagnosticStatus)

As node `camera` in namespace `/camera`, `~` is /camera/camera, as with the real driver. The bins
are simulated before they are shown at the camera's rate, so that publishing costs next to nothing;
each is shown for `dwell_s`, with fresh sensor noise. Until the last of them is made, the first one
stands there, without its truth, as often as another is ready.
"""

from __future__ import annotations

from contextlib import closing

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import CameraInfo, Image

from insegan_ros.data.scene import Scene
from insegan_ros.frame import DEPTH_FRAME
from insegan_ros.nodes.conversions import (
    camera_info_message,
    depth_message,
    header_of,
    image_message,
)
from insegan_ros.nodes.declared import at_start, declare
from insegan_ros.nodes.runtime import run_node
from insegan_ros.nodes.simulated_bin import SimulatedBin
from insegan_ros.nodes.transforms import StaticFrames, camera_frames
from insegan_sim.parts import SHAPES
from insegan_sim.scenes import FILL, scene_stream
from insegan_sim.sensor import load_sensor
from insegan_sim.taking import BinToEmpty, Taken

NOISE_VARIANTS = 4
# A bin's depth with fresh noise each, its true labels, its camera.
Pictures = tuple[list[Image], Image, CameraInfo]


PARAMETERS = (
    at_start('part', 'nut', f'{", ".join(SHAPES)}, or product-0 to product-999'),
    at_start('mesh', '', 'a part of your own instead: an STL, OBJ or PLY file'),
    at_start('mesh_scale', 1.0, 'metres per unit of the mesh', 1e-6, 1e3),
    at_start('instances', 5, 'parts in the bin', 1, 300),
    at_start('fill', FILL, 'share of the floor that they would cover', 0.02, 20.0),
    at_start('seed', 100, 'seed of the bins', 0, 2**31),
    at_start('scenes', 24, 'bins, simulated at start', 1, 10000),
    at_start('width', 640, 'px', 64, 1920),
    at_start('height', 480, 'px', 64, 1200),
    at_start('rate', 30.0, 'frames a second', 0.1, 120.0),
    at_start('dwell_s', 0.8, 'seconds that a bin is shown', 0.01, 1e6),
    at_start('sensor', 'noise', 'ideal, noise, d435, or a YAML file of sensor parameters'),
)
# Those that say what is in the bins.
SHOWN = 'part', 'mesh', 'mesh_scale', 'instances', 'fill', 'seed'


class SimCameraNode(Node):
    """Publishes simulated bins one after another, on a RealSense's topics."""

    def __init__(self) -> None:
        super().__init__('camera', namespace='/camera')
        values = declare(self, PARAMETERS)
        shown = SimulatedBin(*(values[name] for name in SHOWN))
        scenes, rate = values['scenes'], values['rate']
        self.sensor = load_sensor(values['sensor'])
        self.frames_a_scene = max(int(round(values['dwell_s'] * rate)), 1)
        self.sent = 0
        self.depth = self.create_publisher(
            Image, '~/depth/image_rect_raw', qos_profile_system_default
        )
        self.info = self.create_publisher(
            CameraInfo, '~/depth/camera_info', qos_profile_system_default
        )
        self.truth = self.create_publisher(
            Image, '~/ground_truth/labels', qos_profile_system_default
        )
        self.taken = self.create_publisher(DiagnosticStatus, '~/taken', 10)
        self.create_subscription(PoseStamped, '~/take', self._on_take, 10)
        self.rng = np.random.default_rng([shown.seed, scenes])
        self.frames = StaticFrames(self)
        self.frames.publish(camera_frames())
        # After the publishers: who listens is told by whom, and that something comes.
        self.get_logger().info(f'simulating {scenes} bins of {shown.instances} x {shown.name}')
        self.bins: list[BinToEmpty] = []
        self.pictures: list[Pictures] = []
        setup = shown.setup(values['width'], values['height'])
        with closing(scene_stream(setup)) as stream:
            for number in range(scenes):
                rng = np.random.default_rng(shown.seed + number)
                scene = next(stream)
                self.bins.append(BinToEmpty(setup, scene))
                self.pictures.append(self._messages(scene, rng))
                self._publish(truth=False)
        self.sent = 0
        self.timer = self.create_timer(1 / rate, self._publish)
        self.get_logger().info(
            f'{scenes} bins of {shown.instances} x {shown.name} simulated; publishing'
            f' {self.depth.topic_name} at {rate:g} Hz'
        )

    def _messages(self, scene: Scene, rng: np.random.Generator) -> Pictures:
        header = header_of(scene.frame)
        return (
            [depth_message(self.sensor.measure(scene.frame, rng)) for _ in range(NOISE_VARIANTS)],
            image_message(scene.labelled().labels, '16UC1', header),
            camera_info_message(scene.frame.intrinsics, header),
        )

    def _shown(self) -> int:
        """The number of the bin that is shown."""
        return self.sent // self.frames_a_scene % len(self.pictures)

    def _on_take(self, pose: PoseStamped) -> None:
        """Take a part out of the bin that is shown; from then on it is shown without it."""
        point = pose.pose.position
        place = np.array([point.x, point.y, point.z])
        if pose.header.frame_id != DEPTH_FRAME or not np.isfinite(place).all():
            self._answer(
                DiagnosticStatus.ERROR,
                f'a pose in the frame "{pose.header.frame_id}" cannot be used: expected one of'
                f' finite numbers in {DEPTH_FRAME}',
            )
            return
        number = self._shown()
        taken = self.bins[number].take(place)
        if taken.part is not None:
            self.pictures[number] = self._messages(self.bins[number].photograph(), self.rng)
        self._answer(*_said(taken), taken)

    def _answer(self, level: bytes, text: str, taken: Taken | None = None) -> None:
        values = {} if taken is None else vars(taken) | {'free': taken.free}
        self.taken.publish(
            DiagnosticStatus(
                level=level,
                name=self.get_fully_qualified_name(),
                message=text,
                values=[KeyValue(key=name, value=str(value)) for name, value in values.items()],
            )
        )

    def _publish(self, truth: bool = True) -> None:
        depth, labels, info = self.pictures[self._shown()]
        pairs = [
            (self.info, info),
            (self.truth, labels),
            (self.depth, depth[self.sent % len(depth)]),
        ]
        stamp = self.get_clock().now().to_msg()
        for publisher, message in pairs:
            message.header.stamp = stamp
            if truth or publisher is not self.truth:
                publisher.publish(message)
        self.sent += 1


def _said(taken: Taken) -> tuple[bytes, str]:
    """Level and words for what came of a try."""
    if taken.part is None:
        return DiagnosticStatus.ERROR, (
            f'nothing was taken: the nearest part is {1000 * taken.distance_m:.0f} mm away'
        )
    if not taken.free:
        return DiagnosticStatus.WARN, f'a part was taken of which {taken.seen:.0%} was seen'
    return DiagnosticStatus.OK, 'a free part was taken'


def main() -> int:
    """Entry point of `ros2 run insegan_ros sim_camera`."""
    return run_node(SimCameraNode)


if __name__ == '__main__':
    raise SystemExit(main())
