"""Frames of cameras and robots. What needs the real tf2 is skipped where it is not installed: it
comes with ROS 2, not from PyPI."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time  # noqa: E402
from geometry_msgs.msg import PoseArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from live_nodes import CAMERA, FLOOR, box_depth, change, segmenter_node, state  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from insegan_ros.errors import ConfigError  # noqa: E402
from insegan_ros.nodes.transforms import TargetFrame, camera_frames, matrix_of, transform_message  # noqa: E402
from insegan_ros.picking.poses import OPTICAL  # noqa: E402

HAS_TF2 = all(importlib.util.find_spec(name) for name in ('tf2_ros', 'tf2_msgs'))
needs_tf2 = pytest.mark.skipif(not HAS_TF2, reason='tf2_ros is not installed: it is of ROS 2')


def pose_of(rotation: Rotation, *place: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.as_matrix(), place
    return pose


def chain(frames, child: str) -> np.ndarray:
    """The pose of a frame in camera_link."""
    pose = np.eye(4)
    while child != 'camera_link':
        ((parent, step),) = [(parent, step) for parent, name, step in frames if name == child]
        child, pose = parent, step @ pose
    return pose


def test_a_cameras_frames_are_those_of_its_driver():
    # The colour camera stands 15 mm to the right of depth's and is turned a little.
    colour_from_depth = pose_of(Rotation.from_euler('y', 2, degrees=True), -0.015, 0.001, 0.0)
    frames = camera_frames(colour_from_depth)
    depth, colour = (chain(frames, f'camera_{name}_optical_frame') for name in ('depth', 'color'))
    # REP 103: what lies ahead of the camera is x of its link, what lies to its right is -y.
    assert np.allclose(depth @ [0, 0, 1, 1], [1, 0, 0, 1])
    assert np.allclose(depth @ [1, 0, 0, 1], [0, -1, 0, 1])
    point = np.array([0.1, 0.2, 0.7, 1.0])
    assert np.allclose(np.linalg.inv(colour) @ depth @ point, colour_from_depth @ point)
    assert len(camera_frames()) == 2


def test_a_transform_is_read_as_it_was_written():
    pose = pose_of(Rotation.from_euler('xyz', (0.1, -0.4, 2.0)), 0.3, -0.2, 1.5)
    message = transform_message('base', 'camera', pose, Time(sec=3))
    assert (message.header.frame_id, message.child_frame_id) == ('base', 'camera')
    assert np.allclose(matrix_of(message.transform), pose) and message.header.stamp.sec == 3


@pytest.mark.skipif(HAS_TF2, reason='tf2_ros is installed')
def test_without_tf2_a_target_frame_is_refused_in_one_line(robot):
    with pytest.raises(ConfigError, match='tf2_ros cannot be imported') as caught:
        TargetFrame(robot, 'base')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('frame', [' ', 'base link', 'base\nlink', ' base'])
def test_what_is_no_name_of_a_frame_is_refused_in_one_line(robot, frame):
    with pytest.raises(ConfigError, match='expected a name such as base_link') as caught:
        TargetFrame(robot, frame)
    assert '\n' not in str(caught.value)


@needs_tf2
def test_picks_come_in_the_robots_own_frame(robot, tmp_path):
    """The real tf2: a base on /tf_static, a hand on /tf that moves, and a camera on it."""
    from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

    base_from_hand = pose_of(Rotation.from_euler('x', 180, degrees=True), 0.4, 0.1, 0.9)
    hand_from_camera = pose_of(Rotation.from_euler('z', 90, degrees=True), 0.0, 0.05, 0.02)
    fixed, moving = StaticTransformBroadcaster(robot), TransformBroadcaster(robot)
    fixed.sendTransform(
        transform_message('hand', 'camera_depth_optical_frame', hand_from_camera, Time())
    )
    heard: list[PoseArray] = []
    subscription = robot.create_subscription(PoseArray, '/placed/pick_candidates', heard.append, 10)
    process = segmenter_node(
        tmp_path / 'log', 'placed', model='kmeans', instances=2, floor=FLOOR, target_frame='base'
    )
    try:
        process.wait_for('listening on /cam/depth/image', robot.spin, 240)
        # Nobody has said yet where the hand is.
        process.wait_for(
            'no transform from camera_depth_optical_frame to target_frame base',
            lambda: (robot.send(box_depth(), '16UC1', CAMERA), robot.spin()),
            120,
        )
        assert not heard

        asked = set()

        def answers() -> list[PoseArray]:
            return [one for one in heard if one.header.stamp.sec in asked]

        end = time.monotonic() + 120
        while not answers():
            assert time.monotonic() < end, process.text()
            # The hand was there when the picture was taken, and elsewhere before and after.
            robot.stamp += 3
            stamp = robot.stamp + 1
            asked.add(stamp)
            for seconds, x in ((stamp - 1, 0.0), (stamp, 0.4), (stamp + 1, 0.8)):
                there = base_from_hand.copy()
                there[0, 3] = x
                moving.sendTransform(transform_message('base', 'hand', there, Time(sec=seconds)))
            robot.send(box_depth(), '16UC1', CAMERA)
            robot.spin(0.2)
        message = answers()[0]
    finally:
        process.stop()
        robot.destroy_subscription(subscription)
    assert message.header.frame_id == 'base' and len(message.poses) == 2
    # Boxes are 50 mm high on a floor at 600 mm, at these pixels of CAMERA.
    found = sorted((one.position.x, one.position.y, one.position.z) for one in message.poses)
    expected = []
    for column, row in ((84.5, 79.5), (224.5, 159.5)):
        ray = np.array([(column - 159.5) / 300, (row - 119.5) / 300, 1.0])
        expected.append(
            tuple((base_from_hand @ hand_from_camera @ [*(0.55 * ray), 1.0])[:3].tolist())
        )
    assert np.allclose(found, sorted(expected), atol=0.01)
    z = message.poses[0].orientation
    assert np.allclose(
        Rotation.from_quat([z.x, z.y, z.z, z.w]).as_matrix()[:, 2], (0, 0, -1), atol=0.05
    ), 'down, into the part'
    assert 'Traceback' not in process.text()


@pytest.mark.skipif(HAS_TF2, reason='tf2_ros is installed')
def test_a_node_without_tf2_stays_unconfigured_and_says_why(robot, tmp_path):
    process = segmenter_node(
        tmp_path / 'log', 'lost', model='kmeans', floor=FLOOR, target_frame='base'
    )
    try:
        process.wait_for('tf2_ros cannot be imported', robot.spin, 240)
        assert state(robot, 'lost') == 'unconfigured'
        assert not change(robot, Transition.TRANSITION_ACTIVATE, 'lost')
    finally:
        process.stop()


@needs_tf2
def test_the_simulated_camera_takes_the_drivers_place(robot, tmp_path):
    from live_nodes import Process
    from tf2_ros import Buffer, TransformListener

    buffer = Buffer(node=robot)
    listener = TransformListener(buffer, robot)
    process = Process(
        'insegan_ros.nodes.sim_camera', ['--ros-args', '-p', 'scenes:=1'], tmp_path / 'log'
    )
    try:
        pair = ('camera_link', 'camera_depth_optical_frame')
        robot.until(lambda: buffer.can_transform(*pair, rclpy.time.Time()), 240)
        found = buffer.lookup_transform(*pair, rclpy.time.Time())
    finally:
        process.stop()
        listener.unregister()
    assert np.allclose(matrix_of(found.transform), OPTICAL)
