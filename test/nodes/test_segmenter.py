"""The segmenter in a process of its own on real DDS, fed and watched from this one."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from insegan_ros.camera.messages import labels_from_message, stamp_ns
from insegan_ros.frame import Intrinsics

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from live_nodes import (  # noqa: E402
    BOXES,
    CAMERA,
    FLOOR,
    assert_boxes,
    box_depth,
    change,
    segmenter_node,
    set_parameter,
    state,
)
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from insegan_ros.nodes.conversions import camera_info_message, image_message  # noqa: E402


@pytest.fixture(scope='module')
def segmenter(robot, tmp_path_factory):
    process = segmenter_node(
        tmp_path_factory.mktemp('log') / 'segmenter.log', model='kmeans', instances=2, floor=FLOOR
    )
    process.wait_for('listening on /cam/depth/image')
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.text()


def test_depth_without_camera_info_is_named_first(segmenter, robot):
    def send() -> None:
        # Until the processes have found each other, nothing arrives.
        robot.send(box_depth(), '16UC1', None)
        robot.spin(0.1)

    segmenter.wait_for('no camera_info on /cam/depth/camera_info', send)
    assert not robot.masks


def test_a_first_frame_waits_for_its_camera_info(segmenter, robot):
    assert change(robot, Transition.TRANSITION_DEACTIVATE)
    robot.until(lambda: not robot.depth.get_subscription_count())
    assert change(robot, Transition.TRANSITION_ACTIVATE)
    robot.until(
        lambda: robot.depth.get_subscription_count() and robot.info.get_subscription_count()
    )
    # The node must have found this side, too.
    end = time.monotonic() + 1
    robot.until(lambda: time.monotonic() > end)
    stamp = robot.send(box_depth(), '16UC1', None)
    time.sleep(0.1)
    robot.info.publish(camera_info_message(CAMERA, Header()))
    robot.until(lambda: any(stamp_ns(one.header) == stamp for one in robot.masks))


def test_masks_poses_and_overlay_come_out_with_the_inputs_header(segmenter, robot):
    assert_boxes(robot.answer(box_depth()))
    robot.until(lambda: robot.poses)
    assert len(robot.poses[-1].poses) == 2
    position = robot.poses[-1].poses[0].position
    assert position.z == pytest.approx(0.55, abs=0.01) and abs(position.x) < 0.2
    robot.until(lambda: robot.overlays or robot.answer(box_depth()) is None)
    picture = np.frombuffer(robot.overlays[-1].data, np.uint8).reshape(240, 320, 3)
    assert robot.overlays[-1].encoding == 'rgb8'
    left, top, right, bottom = BOXES[0]
    inside = picture[top + 5 : bottom - 5, left + 5 : right - 5].reshape(-1, 3).astype(int)
    # All but the number that is written on it.
    coloured = inside.max(1) - inside.min(1) > 30
    assert coloured.mean() > 0.8, 'an instance is coloured'
    floor = picture[5:20, 5:20].astype(int)
    assert (floor.max(-1) - floor.min(-1)).max() == 0, 'the floor is grey'


def test_metres_and_another_size_work_at_once(segmenter, robot):
    assert_boxes(robot.answer((box_depth() / 1000).astype(np.float32), '32FC1'))
    half = Intrinsics(150.0, 150.0, 79.5, 59.5, 160, 120)
    labels = robot.answer(np.ascontiguousarray(box_depth()[::2, ::2]), '16UC1', half)
    assert labels.shape == (120, 160) and labels.max() == 2
    assert_boxes(robot.answer(box_depth()))


@pytest.mark.parametrize(
    'pixels, encoding, words',
    [
        (
            np.zeros((240, 320, 3), np.uint8),
            'rgb8',
            'encoding "rgb8": expected 16UC1 (mm) or 32FC1 (m)',
        ),
        (
            np.full((100, 100), 600, np.uint16),
            '16UC1',
            'depth is 100x100 but its camera_info says 320x240',
        ),
    ],
)
def test_images_that_cannot_be_used_are_refused_and_the_node_lives(
    segmenter, robot, pixels, encoding, words
):
    for _ in range(5):
        robot.send(pixels, encoding, CAMERA)
        robot.spin(0.1)
    segmenter.wait_for(words, robot.spin)
    assert segmenter.popen.poll() is None
    assert_boxes(robot.answer(box_depth()))


@pytest.mark.parametrize(
    'pixels, encoding',
    [
        (np.zeros((240, 320), np.uint16), '16UC1'),
        (np.full((240, 320), np.nan, np.float32), '32FC1'),
    ],
)
def test_no_reading_is_no_instance_and_a_warning(segmenter, robot, pixels, encoding):
    assert not robot.answer(pixels, encoding).any()
    segmenter.wait_for('the depth image has no reading at all', robot.spin)
    assert_boxes(robot.answer(box_depth()))


def test_the_newest_frame_wins_when_the_camera_is_faster(segmenter, robot):
    robot.answer(box_depth())
    robot.masks.clear()
    sent = [robot.send(box_depth(), '16UC1', None) for _ in range(60)]
    robot.until(lambda: any(stamp_ns(m.header) == sent[-1] for m in robot.masks))
    answered = [stamp_ns(m.header) for m in robot.masks if stamp_ns(m.header) in sent]
    assert answered[-1] == sent[-1] and len(answered) < len(sent) and answered == sorted(answered)


def test_deactivate_releases_the_subscription_and_activate_takes_it_up(segmenter, robot):
    assert state(robot) == 'active' and robot.count_subscribers('/cam/depth/image') == 1
    assert change(robot, Transition.TRANSITION_DEACTIVATE) and state(robot) == 'inactive'
    robot.until(lambda: robot.count_subscribers('/cam/depth/image') == 0)
    assert change(robot, Transition.TRANSITION_CLEANUP) and state(robot) == 'unconfigured'
    assert change(robot, Transition.TRANSITION_CONFIGURE) and change(
        robot, Transition.TRANSITION_ACTIVATE
    )
    assert_boxes(robot.answer(box_depth()))


def test_picks_lie_on_the_boxes_and_follow_the_gripper_at_run_time(segmenter, robot):
    robot.picks.clear(), robot.states.clear()
    robot.until(lambda: robot.answer(box_depth()) is not None and robot.picks and robot.states)
    assert robot.states[-1].data == 'pickable' and len(robot.picks[-1].poses) == 2
    for pose in robot.picks[-1].poses:
        u = pose.position.x / pose.position.z * 300 + 159.5
        v = pose.position.y / pose.position.z * 300 + 119.5
        assert any(
            left + 8 < u < right - 8 and top + 8 < v < bottom - 8
            for left, top, right, bottom in BOXES
        ) and pose.position.z == pytest.approx(0.55, abs=0.005)
        # z into the part, away from the camera.
        x, y, z, w = pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w
        assert 1 - 2 * (x * x + y * y) > 0.99 and x * x + y * y + z * z + w * w == pytest.approx(1)
    refused = set_parameter(robot, 'picks.cup_radius_m', -1.0)
    assert (
        not refused.successful
        and 'picks.cup_radius_m is -1: expected 1e-05 to 1 m' in refused.reason
    )
    # A cup wider than the boxes has no place on them.
    assert set_parameter(robot, 'picks.cup_radius_m', 0.2).successful
    robot.until(
        lambda: (
            robot.answer(box_depth()) is not None
            and robot.states[-1].data == 'occupied_not_pickable'
        )
    )
    assert not robot.picks[-1].poses
    assert set_parameter(robot, 'picks.cup_radius_m', 0.006).successful
    robot.until(
        lambda: (
            robot.answer(np.full((240, 320), 600, np.uint16)) is not None
            and robot.states[-1].data == 'empty'
        )
    )
    robot.until(
        lambda: (
            robot.answer(np.zeros((240, 320), np.uint16)) is not None
            and robot.states[-1].data == 'no_reading'
        )
    )


def test_silence_is_named_with_who_publishes(segmenter, robot):
    assert set_parameter(robot, 'silence_s', 0.5).successful
    segmenter.wait_for(
        'nothing is heard on /cam/depth/image, though it is published by robot'
        ' (sensor_msgs/msg/Image, reliable)',
        robot.spin,
    )
    assert set_parameter(robot, 'silence_s', 3.0).successful
    assert_boxes(robot.answer(box_depth()))


def test_parameters_act_at_once_or_say_why_not(segmenter, robot):
    refused = set_parameter(robot, 'instances', 3)
    assert (
        not refused.successful
        and 'instances acts at configure: clean the node up first' in refused.reason
    )
    assert not set_parameter(robot, 'min_score', 1.5).successful
    assert not set_parameter(robot, 'floor', [0.0, 0.0, 1.0, 0.6]).successful, (
        'a floor behind the camera'
    )
    assert set_parameter(robot, 'bounds', [0.0, -1.0, 1.0, 1.0]).successful
    # The box on the left lies outside of the bounds now.
    robot.until(lambda: not robot.answer(box_depth())[60:100, 60:110].any())
    assert set_parameter(robot, 'bounds', []).successful
    assert_boxes(robot.answer(box_depth()))
    refused = set_parameter(robot, 'floor', [0.0, 0.0, -2.0, 0.6])
    assert not refused.successful and 'is not a plane in front of the camera' in refused.reason
    for name, value, words in (
        ('floor', [0.0, 0.0, -1.0, math.inf], 'expected finite numbers'),
        ('bounds', [-math.inf, -1.0, 1.0, 1.0], 'expected finite numbers'),
        ('picks.full_height_m', math.nan, 'picks.full_height_m is nan: expected 0 to 100 m'),
        ('picks.wall_m', math.inf, 'picks.wall_m is inf: expected 0 to 100 m'),
        ('max_rate', 1e-300, 'max_rate is 1e-300: expected 0.01 frames a second or more'),
    ):
        refused = set_parameter(robot, name, value)
        assert not refused.successful and words in refused.reason
    assert set_parameter(robot, 'min_score', 1.0).successful
    robot.until(lambda: not robot.answer(box_depth()).any())
    assert set_parameter(robot, 'min_score', 0.0).successful


def test_a_highest_rate_is_kept(segmenter, robot):
    assert_boxes(robot.answer(box_depth()))
    assert set_parameter(robot, 'max_rate', 4.0).successful
    robot.masks.clear()
    end = time.monotonic() + 2
    sent = 0
    while time.monotonic() < end:
        robot.send(box_depth(), '16UC1', None)
        sent += 1
        robot.spin(0.03)
    assert sent > 20 and 4 <= len({stamp_ns(one.header) for one in robot.masks}) <= 10
    assert set_parameter(robot, 'max_rate', 0.0).successful


def diagnosis(
    robot: Node, condition, pixels: np.ndarray, encoding: str = '16UC1'
) -> dict[str, str]:
    """The first DiagnosticStatus of the segmenter that fulfils a condition, as a mapping with level
    and message, while such images are sent."""
    heard: list[DiagnosticArray] = []
    subscription = robot.create_subscription(DiagnosticArray, '/diagnostics', heard.append, 10)

    def found() -> dict[str, str] | None:
        for array in heard:
            (one,) = array.status
            values = {
                'name': one.name,
                'level': one.level,
                'message': one.message,
                **{pair.key: pair.value for pair in one.values},
            }
            if condition(values):
                return values
        heard.clear()
        return None

    end = time.monotonic() + 20
    while (values := found()) is None:
        assert time.monotonic() < end, 'no such diagnosis'
        robot.send(pixels, encoding, CAMERA)
        robot.spin(0.1)
    robot.destroy_subscription(subscription)
    return values


def test_diagnostics_count_frames_and_time_every_stage(segmenter, robot):
    assert_boxes(robot.answer(box_depth()))
    values = diagnosis(
        robot, lambda v: v['bin'] == 'pickable' and v['level'] == DiagnosticStatus.OK, box_depth()
    )
    assert (
        values['name'] == '/segmenter'
        and values['state'] == 'active'
        and values['model'] == 'kmeans'
        and 'frames/s' in values['message']
    )
    assert int(values['frames in']) >= int(values['frames out']) > 0
    for stage in ('wait', 'convert', 'infer', 'post-process', 'publish'):
        median, high = (float(values[f'{stage} ms, {what}']) for what in ('median', '99 %'))
        assert 0 <= median <= high < 10_000
    assert float(values['resident memory MB']) > 50
    # A refused frame is seen in the level and in words.
    values = diagnosis(
        robot,
        lambda v: v['level'] == DiagnosticStatus.WARN,
        np.zeros((240, 320, 3), np.uint8),
        'rgb8',
    )
    assert 'encoding "rgb8"' in values['message'] and int(values['frames refused']) >= 1


def test_one_frame_on_request_whoever_listens(segmenter, robot):
    assert set_parameter(robot, 'continuous', False).successful
    robot.spin(0.3)
    robot.masks.clear()
    for _ in range(5):
        robot.send(box_depth(), '16UC1', CAMERA)
        robot.spin(0.1)
    assert not robot.masks, 'nothing is segmented unless asked for'
    client = robot.create_client(Trigger, '/segmenter/segment_once')
    assert client.wait_for_service(timeout_sec=20)
    future = client.call_async(Trigger.Request())

    def answered() -> bool:
        robot.send(box_depth(), '16UC1', CAMERA)
        return future.done()

    robot.until(answered)
    assert future.result().success and future.result().message == '2 instances, bin pickable'
    robot.until(lambda: robot.masks)
    assert_boxes(labels_from_message(robot.masks[0]))
    # With no camera, the answer says so.
    silent = client.call_async(Trigger.Request())
    robot.until(silent.done, 30)
    assert (
        not silent.result().success
        and 'nothing is heard on /cam/depth/image' in silent.result().message
    )
    robot.destroy_client(client)
    assert set_parameter(robot, 'continuous', True).successful
    assert_boxes(robot.answer(box_depth()))


def test_all_who_ask_at_once_are_answered(segmenter, robot):
    """One frame answers them, in one burst. What a client keeps is its own affair."""
    client = robot.create_client(
        Trigger, '/segmenter/segment_once', qos_profile=QoSProfile(depth=100)
    )
    assert client.wait_for_service(timeout_sec=20)
    robot.spin(1)
    futures = [client.call_async(Trigger.Request()) for _ in range(30)]

    def answered() -> bool:
        robot.send(box_depth(), '16UC1', CAMERA)
        return all(future.done() for future in futures)

    robot.until(answered)
    assert all(future.result().success for future in futures)
    robot.destroy_client(client)


def test_a_driver_that_dies_and_comes_back_is_heard_again(segmenter, robot):
    robot.destroy_publisher(robot.depth)
    segmenter.wait_for(
        'nobody publishes /cam/depth/image: expected a depth camera there', robot.spin
    )
    robot.depth = robot.create_publisher(Image, '/cam/depth/image', 5)
    assert_boxes(robot.answer(box_depth()))


def test_a_second_camera_on_the_topic_and_a_stamp_of_zero_are_said(segmenter, robot):
    other = robot.create_publisher(Image, '/cam/depth/image', 5)
    segmenter.wait_for(
        '2 nodes publish /cam/depth/image (robot, robot): expected one camera', robot.spin
    )
    robot.destroy_publisher(other)
    robot.info.publish(camera_info_message(CAMERA, Header()))
    robot.spin(0.2)

    def send() -> None:
        robot.depth.publish(image_message(box_depth(), '16UC1', Header()))
        robot.spin(0.1)

    segmenter.wait_for("the depth image's stamp is zero", send)
    # A clock that was set back, as when a recording begins again, is no reason to stop.
    robot.stamp = 0
    robot.masks.clear()
    assert_boxes(robot.answer(box_depth()))
