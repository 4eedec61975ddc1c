"""The camera node on real DDS, fed by librealsense's own software device or by a recording."""

import os
import time

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from software_realsense import HEIGHT, WIDTH, SoftwareRealSense  # noqa: E402

from insegan_ros.camera.messages import colour_from_message, depth_from_message, stamp_ns  # noqa: E402
from insegan_ros.nodes.dds import dds_environment  # noqa: E402
from insegan_ros.nodes.realsense_camera import PARAMETERS, RealSenseCameraNode  # noqa: E402

BASE = '/camera/camera'


class Listener(Node):
    """Keeps the last message of every topic."""

    def __init__(self) -> None:
        super().__init__('listener')
        self.last: dict[str, object] = {}
        for name, kind in (
            ('depth/image_rect_raw', Image),
            ('depth/camera_info', CameraInfo),
            ('color/image_raw', Image),
            ('color/camera_info', CameraInfo),
            ('aligned_depth_to_color/image_raw', Image),
            ('aligned_depth_to_color/camera_info', CameraInfo),
        ):
            self.create_subscription(
                kind,
                f'{BASE}/{name}',
                lambda message, name=name: self.last.__setitem__(name, message),
                5,
            )


@pytest.fixture
def stage(monkeypatch):
    """Makes a camera node with parameters, and a listener; spins both."""
    for name, value in {**dds_environment(), 'ROS_DOMAIN_ID': str(100 + os.getpid() % 90)}.items():
        monkeypatch.setenv(name, value)
    nodes = []

    def make(parameters: dict[str, object], find=None):
        rclpy.init(
            args=[
                '--ros-args',
                *(
                    word
                    for name, value in parameters.items()
                    for word in ('-p', f'{name}:={value}')
                ),
            ]
        )
        executor = SingleThreadedExecutor()
        nodes.extend([RealSenseCameraNode(find), Listener()])
        for node in nodes:
            executor.add_node(node)

        def until(condition, timeout_s: float = 20) -> None:
            end = time.monotonic() + timeout_s
            while not condition():
                assert time.monotonic() < end, f'it never came; heard {sorted(nodes[1].last)}'
                executor.spin_once(timeout_sec=0.05)

        return nodes[0], nodes[1], until

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()


def test_a_camera_looks_like_realsense_ros_and_comes_back_after_it_was_unplugged(stage, capfd):
    depth = np.full((HEIGHT, WIDTH), 600, np.uint16)
    colour = np.full((HEIGHT, WIDTH, 3), (1, 2, 3), np.uint8)
    soft = SoftwareRealSense(depth, colour)
    plugged = [soft.device]
    node, listener, until = stage({'width': WIDTH, 'height': HEIGHT}, lambda: plugged[0])
    until(lambda: len(listener.last) == 6)
    image, info = listener.last['depth/image_rect_raw'], listener.last['depth/camera_info']
    assert (
        image.encoding == '16UC1'
        and image.header.frame_id == 'camera_depth_optical_frame'
        and np.allclose(depth_from_message(image), 0.6)
    )
    assert (info.width, info.k[0], info.k[2]) == (WIDTH, 300.0, 159.5) and abs(
        stamp_ns(image.header) - time.time_ns()
    ) < 5e9
    picture = listener.last['color/image_raw']
    assert picture.header.frame_id == 'camera_color_optical_frame' and tuple(
        colour_from_message(picture)[5, 5]
    ) == (1, 2, 3)
    assert listener.last['color/camera_info'].d[0] == pytest.approx(0.1)
    aligned = listener.last['aligned_depth_to_color/image_raw']
    assert aligned.header.frame_id == 'camera_color_optical_frame' and np.nanmedian(
        depth_from_message(aligned)
    ) == pytest.approx(0.6)
    # Unplugged: said, waited for, found again.
    soft.unplug()
    plugged[0] = None
    until(lambda: 'no RealSense camera is connected' in capfd.readouterr().err)
    again = SoftwareRealSense(depth // 2, colour)
    plugged[0] = again.device
    listener.last.clear()
    until(lambda: 'depth/image_rect_raw' in listener.last)
    assert np.allclose(depth_from_message(listener.last['depth/image_rect_raw']), 0.3)
    again.unplug()


def test_a_recording_is_played_again_and_again(stage, real_bag):
    node, listener, until = stage({'file': str(real_bag), 'align_depth': False})
    until(lambda: 'depth/image_rect_raw' in listener.last)
    assert 1.4 < np.nanmedian(depth_from_message(listener.last['depth/image_rect_raw'])) < 1.6
    assert not any(name.startswith('aligned') for name in listener.last)
    sent = node.sent
    until(lambda: node.sent >= sent + 4)


def test_the_manual_names_every_parameter(root):
    text = (root / 'docs/nodes.md').read_text()
    table = text[text.index('<!-- realsense_camera') :]
    rows = [line for line in table.splitlines() if line.startswith('| `')][: len(PARAMETERS)]
    assert rows == [f'| `{p.name}` | `{p.default}` | {p.description} |' for p in PARAMETERS]
