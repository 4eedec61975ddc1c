"""The simulated camera."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from insegan_ros.camera.messages import labels_from_message

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from geometry_msgs.msg import Point, PoseStamped  # noqa: E402
from live_nodes import Process  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

BASE = '/camera/camera'
TOPICS = {
    'depth': (Image, f'{BASE}/depth/image_rect_raw'),
    'info': (CameraInfo, f'{BASE}/depth/camera_info'),
    'truth': (Image, f'{BASE}/ground_truth/labels'),
    'taken': (DiagnosticStatus, f'{BASE}/taken'),
}


@contextmanager
def shown(robot, log, *names, **given):
    """What a simulated camera with such parameters publishes, by the names of TOPICS, as it comes;
    and its process."""
    heard = {name: [] for name in names}
    subscriptions = [
        robot.create_subscription(*TOPICS[name], heard[name].append, 10) for name in names
    ]
    words = [word for name, value in given.items() for word in ('-p', f'{name}:={value}')]
    process = Process('insegan_ros.nodes.sim_camera', ['--ros-args', *words], log)
    try:
        yield heard, process
    finally:
        process.stop()
        for subscription in subscriptions:
            robot.destroy_subscription(subscription)


@pytest.mark.slow
def test_an_unknown_part_ends_the_simulated_camera_with_one_line(tmp_path):
    process = Process(
        'insegan_ros.nodes.sim_camera', ['--ros-args', '-p', 'part:=sprocket'], tmp_path / 'log'
    )
    assert process.popen.wait(timeout=60) == 2
    assert (
        'unknown part "sprocket": expected one of 5-pin, angle-bracket, bolt' in process.text()
        and 'Traceback' not in process.text()
    )


@pytest.mark.slow
def test_the_simulated_camera_shows_a_users_mesh(robot, bracket_data, tmp_path):
    given = {
        'mesh': bracket_data[1],
        'mesh_scale': 0.001,
        'instances': 2,
        'sensor': 'ideal',
        'scenes': 1,
    }
    with shown(robot, tmp_path / 'log', 'truth', **given) as (heard, process):
        robot.until(lambda: heard['truth'], 60)
    assert labels_from_message(heard['truth'][0]).max() == 2
    assert '1 bins of 2 x bracket simulated' in process.text()


@pytest.mark.slow
def test_the_simulated_camera_looks_like_a_realsense(robot, tmp_path):
    names = 'depth', 'info', 'truth'
    with shown(robot, tmp_path / 'log', *names, scenes=2, rate=10.0) as (heard, _):
        robot.until(lambda: all(heard.values()), 60)
    depth, info, truth = (heard[name][0] for name in names)
    assert (depth.encoding, depth.width, depth.height, depth.header.frame_id) == (
        '16UC1',
        640,
        480,
        'camera_depth_optical_frame',
    )
    assert (info.width, info.k[0]) == (640, 615.0) and truth.encoding == '16UC1'
    millimetres = np.frombuffer(depth.data, np.uint16).reshape(480, 640)
    labels = labels_from_message(truth)
    assert labels.max() == 5 and 280 < np.median(millimetres) < 700
    assert np.median(millimetres[labels > 0]) < np.median(millimetres[labels == 0]) - 10


@pytest.mark.slow
def test_a_part_is_taken_where_a_tool_comes_and_is_not_shown_any_more(robot, tmp_path, request):
    heard: dict[str, list] = {}
    tool = robot.create_publisher(PoseStamped, f'{BASE}/take', 10)
    request.addfinalizer(lambda: robot.destroy_publisher(tool))
    given = {'scenes': 1, 'instances': 3, 'sensor': 'ideal', 'dwell_s': 1000.0, 'rate': 10.0}

    def take(x: float, y: float, z: float, frame: str) -> tuple[bytes, str, dict[str, str]]:
        heard['taken'].clear()
        pose = PoseStamped()
        pose.header.frame_id = frame
        pose.pose.position = Point(x=x, y=y, z=z)
        tool.publish(pose)
        robot.until(lambda: heard['taken'], 60)
        (answer,) = heard['taken']
        return answer.level, answer.message, {pair.key: pair.value for pair in answer.values}

    names = 'depth', 'truth', 'taken'
    with shown(robot, tmp_path / 'log', *names, **given) as (found, _):
        heard.update(found)
        robot.until(lambda: heard['depth'] and heard['truth'], 60)
        robot.until(
            lambda: tool.get_subscription_count() and robot.count_publishers(f'{BASE}/taken')
        )
        labels = labels_from_message(heard['truth'][-1])
        depth = np.frombuffer(heard['depth'][-1].data, np.uint16).reshape(labels.shape) / 1000
        rows, columns = np.nonzero(labels == 2)
        row, column = rows[len(rows) // 2], columns[len(rows) // 2]
        z = float(depth[row, column])
        place = (column - 319.5) / 615 * z, (row - 239.5) / 615 * z, z
        level, text, _ = take(*place, 'base_link')
        assert level == DiagnosticStatus.ERROR and 'expected one of finite numbers in' in text
        level, text, values = take(0.0, 0.0, 0.05, 'camera_depth_optical_frame')
        assert level == DiagnosticStatus.ERROR and text.startswith('nothing was taken')
        assert values['left'] == '3'
        level, _, values = take(*place, 'camera_depth_optical_frame')
        assert level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
        assert (values['part'], values['left']) == ('1', '2')
        heard['truth'].clear()
        robot.until(lambda: len(heard['truth']) > 1)
        assert labels_from_message(heard['truth'][-1]).max() == 2
