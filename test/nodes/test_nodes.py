"""The nodes on real DDS: the segmenter in a process of its own, fed and watched from this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from live_nodes import CAMERA, DOMAIN, Process, Robot, environment  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from insegan_ros.camera.messages import labels_from_message, stamp_ns
from insegan_ros.frame import Frame, Intrinsics  # noqa: E402
from insegan_ros.nodes.conversions import camera_info_message, image_message  # noqa: E402

BOXES = ((60, 60, 110, 100), (200, 130, 250, 190))


def box_depth() -> np.ndarray:
    depth = np.full((240, 320), 600, np.uint16)
    for left, top, right, bottom in BOXES:
        depth[top:bottom, left:right] = 550
    return depth


def assert_boxes(labels: np.ndarray) -> None:
    found = {
        int(labels[(top + bottom) // 2, (left + right) // 2]) for left, top, right, bottom in BOXES
    }
    assert found == {1, 2}
    for left, top, right, bottom in BOXES:
        inside = labels[top:bottom, left:right]
        assert (inside == inside[10, 10]).mean() > 0.95
    assert labels[5, 5] == 0 and (labels > 0).sum() == pytest.approx(50 * 40 + 50 * 60, rel=0.05)


@pytest.fixture(scope='module')
def robot():
    os.environ.update(environment())
    rclpy.init()
    node = Robot()
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture(scope='module')
def segmenter(robot, tmp_path_factory):
    process = Process(
        'insegan_ros.nodes.segmenter',
        [
            '--ros-args',
            '-p',
            'model:=kmeans',
            '-p',
            'instances:=2',
            '-p',
            'autostart:=true',
            '-p',
            'floor:=[0.0, 0.0, -1.0, 0.6]',
            '-r',
            'depth/image:=/cam/depth/image',
            '-r',
            'depth/camera_info:=/cam/depth/camera_info',
        ],
        tmp_path_factory.mktemp('log') / 'segmenter.log',
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
    assert (inside.max(1) - inside.min(1)).min() > 30, 'an instance is coloured'
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


def call(robot: Node, kind, name: str, request, again_s: float = 5.0):
    """The service's answer. A service may be found before it has found the caller, and the answer
    to a first question is lost then: it is asked again."""
    client = robot.create_client(kind, name)
    assert client.wait_for_service(timeout_sec=20)
    end = time.monotonic() + 60
    while True:
        assert time.monotonic() < end, f'{name} never answered'
        future, until = client.call_async(request), time.monotonic() + again_s
        while not future.done() and time.monotonic() < until:
            robot.spin()
        if future.done():
            robot.destroy_client(client)
            return future.result()
        client.remove_pending_request(future)


def change(robot: Node, transition: int) -> bool:
    # Not asked twice: the second time there would be nothing left to change.
    return call(
        robot,
        ChangeState,
        '/segmenter/change_state',
        ChangeState.Request(transition=Transition(id=transition)),
        again_s=60,
    ).success


def state(robot: Node) -> str:
    return call(robot, GetState, '/segmenter/get_state', GetState.Request()).current_state.label


def test_deactivate_releases_the_subscription_and_activate_takes_it_up(segmenter, robot):
    assert state(robot) == 'active' and robot.count_subscribers('/cam/depth/image') == 1
    assert change(robot, Transition.TRANSITION_DEACTIVATE) and state(robot) == 'inactive'
    robot.until(lambda: robot.count_subscribers('/cam/depth/image') == 0)
    assert change(robot, Transition.TRANSITION_CLEANUP) and state(robot) == 'unconfigured'
    assert change(robot, Transition.TRANSITION_CONFIGURE) and change(
        robot, Transition.TRANSITION_ACTIVATE
    )
    assert_boxes(robot.answer(box_depth()))


def set_parameter(robot: Node, name: str, value: float | bool | str | list[float]):
    kinds = {
        bool: (1, 'bool_value'),
        float: (3, 'double_value'),
        str: (4, 'string_value'),
        list: (8, 'double_array_value'),
    }
    number, field = kinds[type(value)]
    request = SetParameters.Request(
        parameters=[Parameter(name=name, value=ParameterValue(type=number, **{field: value}))]
    )
    return call(robot, SetParameters, '/segmenter/set_parameters', request).results[0]


def test_picks_lie_on_the_boxes_and_follow_the_gripper_at_run_time(segmenter, robot):
    robot.picks.clear(), robot.states.clear()
    robot.until(lambda: robot.answer(box_depth()) is not None and robot.picks and robot.states)
    assert robot.states[-1].data == 'pickable' and len(robot.picks[-1].poses) == 2
    for pose in robot.picks[-1].poses:
        u, v = (
            pose.position.x / pose.position.z * 300 + 159.5,
            pose.position.y / pose.position.z * 300 + 119.5,
        )
        assert any(
            left + 8 < u < right - 8 and top + 8 < v < bottom - 8
            for left, top, right, bottom in BOXES
        ) and pose.position.z == pytest.approx(0.55, abs=0.005)
        # z into the part, away from the camera.
        x, y, z, w = pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w
        assert 1 - 2 * (x * x + y * y) > 0.99 and x * x + y * y + z * z + w * w == pytest.approx(1)
    refused = set_parameter(robot, 'picks.cup_radius_m', -1.0)
    assert (
        not refused.successful and 'cup_radius_m -1: expected lengths in metres' in refused.reason
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
    refused = set_parameter(robot, 'model', 'insegan-nut')
    assert (
        not refused.successful
        and 'model acts at configure: clean the node up first' in refused.reason
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
    assert not refused.successful and 'is no plane before the camera' in refused.reason
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
        median, rest = values[f'{stage} ms'].split(' (99 %: ')
        assert 0 <= float(median) <= float(rest.rstrip(')')) < 10_000
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


@pytest.mark.slow
def test_nothing_is_segmented_while_nobody_listens_and_colour_is_waited_for(robot, tmp_path):
    process = Process(
        'insegan_ros.nodes.segmenter',
        [
            '--ros-args',
            '-r',
            '__node:=shy',
            '-p',
            'model:=kmeans',
            '-p',
            'instances:=2',
            '-p',
            'autostart:=true',
            '-p',
            'use_colour:=true',
            '-p',
            'floor:=[0.0, 0.0, -1.0, 0.6]',
            '-r',
            'depth/image:=/cam/depth/image',
            '-r',
            'depth/camera_info:=/cam/depth/camera_info',
            '-r',
            'color/image:=/cam/color/image',
        ],
        tmp_path / 'log',
    )
    colour = robot.create_publisher(Image, '/cam/color/image', 5)
    pictures: list[Image] = []
    heard: list[DiagnosticArray] = []
    robot.create_subscription(DiagnosticArray, '/diagnostics', heard.append, 10)

    def send() -> None:
        header = robot.header()
        robot.info.publish(camera_info_message(CAMERA, header))
        colour.publish(
            image_message(np.full((240, 320, 3), (10, 200, 30), np.uint8), 'rgb8', header)
        )
        robot.depth.publish(image_message(box_depth(), '16UC1', header))
        robot.spin(0.05)

    def counts() -> dict[str, int]:
        own = [one for array in heard for one in array.status if one.name == '/shy']
        return (
            {
                pair.key: int(pair.value)
                for pair in own[-1].values
                if pair.key.startswith('frames ') and pair.value.isdigit()
            }
            if own
            else {}
        )

    try:
        process.wait_for(
            'listening on /cam/depth/image and /cam/depth/camera_info and /cam/color/image'
        )
        robot.until(lambda: send() is None and counts().get('frames idle', 0) > 3)
        assert counts()['frames out'] == 0
        subscription = robot.create_subscription(Image, '/shy/overlay', pictures.append, 10)
        robot.until(lambda: send() is None and pictures)
        picture = np.frombuffer(pictures[-1].data, np.uint8).reshape(240, 320, 3)
        assert tuple(picture[5, 5]) == (10, 200, 30) and tuple(picture[80, 80]) != (10, 200, 30)
        robot.destroy_subscription(subscription)
        # Depth goes on, colour does not.
        process.wait_for(
            'but no colour within 0.02 s of it on /cam/color/image',
            lambda: (robot.send(box_depth(), '16UC1', CAMERA), robot.spin(0.05)),
        )
    finally:
        assert process.stop() == 0
    assert 'Traceback' not in process.text()


def labels_in_colour(
    robot, process: Process, node: str, picture: np.ndarray, depth: np.ndarray, camera: Intrinsics
) -> np.ndarray:
    """Labels (240, 320) that a node makes of depth and colour of one moment, sent until it answers;
    the node is stopped then."""
    colours, masks = robot.create_publisher(Image, '/cam/color/image', 5), []
    robot.create_subscription(Image, f'/{node}/instances', masks.append, 10)

    def send() -> None:
        header = robot.header()
        robot.info.publish(camera_info_message(camera, header))
        colours.publish(image_message(picture, 'rgb8', header))
        robot.depth.publish(image_message(depth, '16UC1', header))
        robot.spin(0.1)

    try:
        process.wait_for(
            'listening on /cam/depth/image and /cam/depth/camera_info and /cam/color/image'
        )
        robot.until(lambda: send() is None and masks)
    finally:
        assert process.stop() == 0
    return np.frombuffer(masks[-1].data, np.uint16).reshape(240, 320)


@pytest.mark.slow
def test_a_gate_that_looks_at_colour_waits_for_it_and_shuts_out_what_it_does_not_find(
    robot, tmp_path
):
    process = Process(
        'insegan_ros.nodes.segmenter',
        [
            '--ros-args',
            '-r',
            '__node:=gated',
            '-p',
            'model:=kmeans',
            '-p',
            'instances:=1',
            '-p',
            'gate:=grabcut-colour',
            '-p',
            'autostart:=true',
            '-p',
            'floor:=[0.0, 0.0, -1.0, 0.6]',
            '-r',
            'depth/image:=/cam/depth/image',
            '-r',
            'depth/camera_info:=/cam/depth/camera_info',
            '-r',
            'color/image:=/cam/color/image',
        ],
        tmp_path / 'log',
    )
    picture = np.full((240, 320, 3), 110, np.uint8)
    left, top, right, bottom = BOXES[0]
    picture[top:bottom, left:right] = 220, 30, 30
    found = labels_in_colour(robot, process, 'gated', picture, box_depth(), CAMERA) > 0
    inside = np.zeros_like(found)
    inside[top:bottom, left:right] = True
    assert (found & inside).sum() / (found | inside).sum() > 0.85
    assert 'Traceback' not in process.text()


@pytest.mark.slow
def test_masks_with_classes_run_in_the_node_like_any_other_model(robot, tmp_path):
    """A bin of several kinds, colour and depth on real topics, and irnet-mixed: most parts have a
    mask of their own."""
    from insegan_sim.generate import SimulateConfig
    from insegan_sim.scenes import scene_stream

    setup = SimulateConfig(
        part='nut,bolt,cone', instances='4', size='320x240', fill=0.4, colour=True, seed=91
    )
    scene = next(scene_stream(setup.setup(setup.parts())))
    frame, workspace, truth = scene.frame, scene.workspace, scene.labelled()
    process = Process(
        'insegan_ros.nodes.segmenter',
        [
            '--ros-args',
            '-r',
            '__node:=named',
            '-p',
            'model:=irnet-mixed',
            '-p',
            'autostart:=true',
            '-p',
            f'floor:={[float(v) for v in workspace.floor]}',
            '-p',
            f'bounds:={[float(v) for v in workspace.bounds]}',
            '-r',
            'depth/image:=/cam/depth/image',
            '-r',
            'depth/camera_info:=/cam/depth/camera_info',
            '-r',
            'color/image:=/cam/color/image',
        ],
        tmp_path / 'log',
    )
    found = labels_in_colour(
        robot,
        process,
        'named',
        frame.colour,
        np.nan_to_num(1000 * frame.depth_m).astype(np.uint16),
        frame.intrinsics,
    )
    own = [found == label for label in range(1, int(found.max()) + 1)]
    best = [max((mask & one).sum() / (mask | one).sum() for one in own) for mask in truth.masks()]
    assert len(own) >= 2 and sum(iou > 0.5 for iou in best) >= 2
    assert 'Traceback' not in process.text()


@pytest.mark.slow
def test_the_pose_encoder_runs_in_the_node_like_any_other_model(robot, tmp_path):
    from insegan_ros.metrics.masks import honest_miou
    from insegan_sim.generate import SimulateConfig
    from insegan_sim.scenes import scene_stream

    setup = SimulateConfig(part='nut', size='320x240', seed=91)
    scene = next(scene_stream(setup.setup(setup.parts())))
    frame, workspace, truth = scene.frame, scene.workspace, scene.labelled()
    process = Process(
        'insegan_ros.nodes.segmenter',
        [
            '--ros-args',
            '-r',
            '__node:=encoder',
            '-p',
            'model:=insegan-generator-nut',
            '-p',
            'segmenter:=insegan',
            '-p',
            'autostart:=true',
            '-p',
            'use_colour:=true',
            '-p',
            f'floor:={[float(v) for v in workspace.floor]}',
            '-p',
            f'bounds:={[float(v) for v in workspace.bounds]}',
            '-r',
            'depth/image:=/cam/depth/image',
            '-r',
            'depth/camera_info:=/cam/depth/camera_info',
            '-r',
            'color/image:=/cam/color/image',
        ],
        tmp_path / 'log',
    )
    grey = np.full((240, 320, 3), 110, np.uint8)
    found = labels_in_colour(
        robot,
        process,
        'encoder',
        grey,
        np.nan_to_num(1000 * frame.depth_m).astype(np.uint16),
        frame.intrinsics,
    )
    assert 3 <= found.max() <= 5 and honest_miou(truth.labels, found) > 0.3
    assert 'Traceback' not in process.text()


@pytest.mark.slow
def test_a_model_replaced_by_garbage_while_running_changes_nothing_until_it_is_loaded_again(
    robot, root, tmp_path
):
    import shutil

    model = tmp_path / 'model'
    shutil.copytree(root / 'checkpoints/insegan-nut', model)
    process = Process(
        'insegan_ros.nodes.segmenter',
        ['--ros-args', '-r', '__node:=other', '-p', f'model:={model}', '-p', 'autostart:=true'],
        tmp_path / 'log',
    )
    try:
        process.wait_for('listening on')
        (model / 'weights.safetensors').write_bytes(b'garbage' * 100)

        def other(transition: int) -> bool:
            return call(
                robot,
                ChangeState,
                '/other/change_state',
                ChangeState.Request(transition=Transition(id=transition)),
            ).success

        assert (
            other(Transition.TRANSITION_DEACTIVATE)
            and other(Transition.TRANSITION_ACTIVATE)
            and other(Transition.TRANSITION_DEACTIVATE)
        )
        assert other(Transition.TRANSITION_CLEANUP) and not other(Transition.TRANSITION_CONFIGURE)
        process.wait_for('cut short or damaged')
        shutil.copy(root / 'checkpoints/insegan-nut/weights.safetensors', model)
        assert other(Transition.TRANSITION_CONFIGURE) and other(Transition.TRANSITION_ACTIVATE)
    finally:
        assert process.stop() == 0


@pytest.mark.slow
def test_after_a_kill_the_next_start_is_clean(robot, tmp_path):
    arguments = [
        '--ros-args',
        '-r',
        '__node:=victim',
        '-p',
        'model:=kmeans',
        '-p',
        'autostart:=true',
        '-r',
        'depth/image:=/cam/depth/image',
    ]
    first = Process('insegan_ros.nodes.segmenter', arguments, tmp_path / 'first')
    first.wait_for('listening on')
    first.popen.kill()
    assert first.popen.wait(timeout=30) == -signal.SIGKILL
    second = Process('insegan_ros.nodes.segmenter', arguments, tmp_path / 'second')
    second.wait_for('listening on')
    second.popen.send_signal(signal.SIGTERM)
    assert second.popen.wait(timeout=30) == 0 and 'Traceback' not in second.text()


@pytest.mark.slow
@pytest.mark.parametrize(
    'parameters, words',
    [
        (['model:=kmeans', 'picks.gripper:=magnet'], 'a gripper suction or parallel'),
        (['model:=nowhere'], 'no checkpoint or method "nowhere"'),
        (['model:={broken}'], 'cut short or damaged'),
        (
            ['model:=kmeans', 'floor:=[1.0, 2.0]'],
            'parameter floor has 2 values: expected 4 or none',
        ),
        (
            ['model:=kmeans', 'bounds:=[0.0, 0.0, 1.0, 1.0]'],
            'parameter bounds is given without floor',
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_is_said_and_the_node_stays(
    robot, tmp_path, parameters, words
):
    broken = tmp_path / 'broken'
    broken.mkdir()
    (broken / 'weights.safetensors').write_bytes(b'\x10\0\0\0\0\0\0\0{"a"')
    arguments = [item for text in parameters for item in ('-p', text.format(broken=broken))]
    process = Process(
        'insegan_ros.nodes.segmenter',
        ['--ros-args', '-r', '__node:=other', '-p', 'autostart:=true', *arguments],
        tmp_path / 'log',
    )
    try:
        process.wait_for(words)
        assert process.popen.poll() is None
        assert (
            call(robot, GetState, '/other/get_state', GetState.Request()).current_state.label
            == 'unconfigured'
        )
    finally:
        assert process.stop() == 0
    assert 'Traceback' not in process.text()


@pytest.mark.slow
@pytest.mark.parametrize(
    'module, parameter, words',
    [
        ('segmenter', 'min_score:=2.0', 'min_score'),
        ('segmenter', 'instances:=0', 'instances'),
        ('segmenter', 'max_rate:=fast', 'max_rate'),
        ('realsense_camera', 'decimation:=9', 'decimation 9'),
        ('sim_camera', 'rate:=-1.0', 'rate'),
    ],
)
def test_a_value_that_cannot_be_ends_a_start_with_one_line(tmp_path, module, parameter, words):
    process = Process(
        f'insegan_ros.nodes.{module}', ['--ros-args', '-p', parameter], tmp_path / 'log'
    )
    assert process.popen.wait(timeout=60) == 2
    assert (
        words in process.text()
        and 'Traceback' not in process.text()
        and words in process.text().strip().splitlines()[-1]
    )


@pytest.mark.slow
def test_an_unknown_part_ends_the_simulated_camera_with_one_line(tmp_path):
    process = Process(
        'insegan_ros.nodes.sim_camera', ['--ros-args', '-p', 'part:=sprocket'], tmp_path / 'log'
    )
    assert process.popen.wait(timeout=60) == 2
    assert (
        'unknown part "sprocket": expected one of 5-pin, bolt, cone' in process.text()
        and 'Traceback' not in process.text()
    )


@pytest.mark.slow
def test_a_domain_that_cannot_be_is_said(tmp_path):
    process = subprocess.run(
        [sys.executable, '-m', 'insegan_ros.cli', 'demo', '--out', str(tmp_path)],
        capture_output=True,
        text=True,
        env={**environment(), 'ROS_DOMAIN_ID': '4000'},
        timeout=60,
    )
    assert (
        process.returncode == 2
        and 'ROS_DOMAIN_ID between 0 and 232' in process.stderr
        and 'Traceback' not in process.stderr
    )


@pytest.mark.slow
def test_the_demo_refuses_a_domain_in_use(robot, tmp_path):
    other = robot.create_publisher(Image, '/camera/camera/depth/image_rect_raw', 1)
    try:
        process = subprocess.run(
            [sys.executable, '-m', 'insegan_ros.cli', 'demo', '--out', str(tmp_path)],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60,
        )
    finally:
        robot.destroy_publisher(other)
    assert process.returncode == 2 and 'is in use: somebody publishes /' in process.stderr


@pytest.mark.slow
def test_the_demo_flows_scores_and_leaves_nothing_behind(tmp_path):
    import json

    import cv2

    process = subprocess.run(
        [
            sys.executable,
            '-m',
            'insegan_ros.cli',
            'demo',
            '--out',
            str(tmp_path),
            '--seconds',
            '6',
            '--rate',
            '10',
        ],
        capture_output=True,
        text=True,
        env={**environment(), 'ROS_DOMAIN_ID': str(int(DOMAIN) + 1)},
        timeout=150,
    )
    assert process.returncode == 0, process.stderr
    numbers = json.loads((tmp_path / 'demo.json').read_text())
    assert (
        set(numbers['stages_ms']) == {'wait', 'convert', 'infer', 'post-process', 'publish'}
        and numbers['frames_refused'] == 0
    )
    assert numbers['frames'] > 10 and numbers['latency_ms_median'] < 1000 and numbers['miou'] > 0.7
    picture = cv2.imread(str(tmp_path / 'demo.png'))
    assert picture.shape == (2 * (480 + 30), 1280, 3) and picture.std() > 10
    left = subprocess.run(
        ['pgrep', '-f', f'{sys.executable} -m insegan_ros.nodes.sim_camera'],
        capture_output=True,
        text=True,
    )
    assert not left.stdout.strip()


@pytest.mark.slow
def test_the_simulated_camera_looks_like_a_realsense(robot, tmp_path):
    heard: dict[str, list] = {'depth': [], 'info': [], 'truth': []}
    base = '/camera/camera'
    subscriptions = [
        robot.create_subscription(kind, topic, heard[name].append, 10)
        for name, kind, topic in (
            ('depth', Image, f'{base}/depth/image_rect_raw'),
            ('info', CameraInfo, f'{base}/depth/camera_info'),
            ('truth', Image, f'{base}/ground_truth/labels'),
        )
    ]
    process = Process(
        'insegan_ros.nodes.sim_camera',
        ['--ros-args', '-p', 'scenes:=2', '-p', 'rate:=10.0'],
        tmp_path / 'log',
    )
    try:
        robot.until(lambda: all(heard.values()), 60)
    finally:
        process.stop()
        for subscription in subscriptions:
            robot.destroy_subscription(subscription)
    depth, info, truth = (heard[name][0] for name in ('depth', 'info', 'truth'))
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


def test_frames_survive_the_way_through_messages():
    from insegan_ros.nodes.conversions import depth_message, frame_from_messages

    depth = np.full((240, 320), 0.512, np.float32)
    depth[3, 4] = np.nan
    frame = Frame(depth, CAMERA, stamp_ns=12_345_678_901)
    message = depth_message(frame)
    again = frame_from_messages(message, camera_info_message(CAMERA, message.header))
    assert again.stamp_ns == frame.stamp_ns and again.intrinsics == CAMERA
    assert np.isnan(again.depth_m[3, 4]) and np.allclose(
        again.depth_m, depth, atol=5e-4, equal_nan=True
    )


def test_the_manuals_tables_are_the_codes(root):
    from types import SimpleNamespace

    from insegan_ros.nodes.outputs import outputs
    from insegan_ros.nodes.parameters import PARAMETERS

    text = (root / 'docs/nodes.md').read_text()

    def rows(start: str, end: str) -> list[str]:
        table = text[text.index(start) :]
        return [line for line in table[: table.index(end)].splitlines() if line.startswith('| `')]

    assert rows('<!-- parameters', 'A value that cannot be') == [
        f'| `{p.name}` | `{p.default}` | {"at once" if p.live else "at configure"} |'
        f' {p.description} |'
        for p in PARAMETERS
    ]
    vision = SimpleNamespace(
        **{
            name: type(name, (), {'__module__': 'vision_msgs.msg._x'})
            for name in ('Detection2DArray', 'LabelInfo')
        }
    )
    assert rows('<!-- outputs', 'All are reliable') == [
        f'| `~/{one.name}` | {one.kind.__module__.split(".")[0]}/{one.kind.__name__} | {one.text} |'
        for one in outputs(vision)
    ]


@pytest.mark.slow
def test_a_recording_is_replayed_into_the_live_node_and_scored(nut_data, tmp_path):
    import json

    from insegan_ros.data.convert import convert

    convert(nut_data, tmp_path / 'bag', 'recording')
    process = subprocess.run(
        [
            sys.executable,
            '-m',
            'insegan_ros.cli',
            'replay',
            '--recording',
            str(tmp_path / 'bag'),
            '--model',
            'insegan-nut',
            '--rate',
            '0.04',
            '--out',
            str(tmp_path / 'out'),
        ],
        capture_output=True,
        text=True,
        env={**environment(), 'ROS_DOMAIN_ID': str(int(DOMAIN) + 1)},
        timeout=150,
    )
    assert process.returncode == 0, process.stderr
    numbers = json.loads((tmp_path / 'out/replay.json').read_text())
    assert numbers['frames'] == numbers['answered'] == numbers['scored'] == 6
    assert (
        numbers['honest_miou'] > 0.7
        and numbers['ap50'] > 0.7
        and numbers['first_picks'] > 0
        and numbers['latency_ms_median'] < 2000
    )
    assert (tmp_path / 'out/replay.png').stat().st_size > 1000 and 'Traceback' not in process.stderr


@pytest.mark.slow
def test_a_recording_with_colour_is_replayed_into_a_model_of_classes(tmp_path):
    """Bins of several kinds, recorded as realsense-ros does with align_depth, through the player
    and the node on real DDS: masks of the shipped model."""
    import json

    from insegan_ros.data.convert import convert
    from insegan_sim.generate import SimulateConfig, simulate

    simulate(
        SimulateConfig(
            part='nut,bolt,cone',
            scenes=4,
            instances='3',
            size='224',
            fill=0.4,
            colour=True,
            seed=5,
            workers=1,
            out=str(tmp_path / 'data'),
        )
    )
    convert(tmp_path / 'data', tmp_path / 'bag', 'recording')
    process = subprocess.run(
        [
            sys.executable,
            '-m',
            'insegan_ros.cli',
            'replay',
            '--recording',
            str(tmp_path / 'bag'),
            '--model',
            'irnet-mixed',
            '--rate',
            '0.03',
            '--out',
            str(tmp_path / 'out'),
        ],
        capture_output=True,
        text=True,
        env={**environment(), 'ROS_DOMAIN_ID': str(int(DOMAIN) + 1)},
        timeout=150,
    )
    assert process.returncode == 0, process.stderr
    numbers = json.loads((tmp_path / 'out/replay.json').read_text())
    assert (
        numbers['frames'] == numbers['answered'] == numbers['scored'] == 4
        and numbers['honest_miou'] > 0.6
        and numbers['ap50'] > 0.6
    )
    # Without ROS the same recording gives masks with names.
    process = subprocess.run(
        [
            sys.executable,
            '-m',
            'insegan_ros.cli',
            'segment',
            str(tmp_path / 'bag'),
            '--model',
            'irnet-mixed',
            '--out',
            str(tmp_path / 'masks'),
        ],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=100,
    )
    assert process.returncode == 0, process.stderr
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert (
        len(rows) == 4
        and {one['class'] for row in rows for one in row['instances']} & {'nut', 'bolt', 'cone'}
        and rows[0]['intrinsics']['width'] == 224
    )


@pytest.mark.slow
def test_a_replay_whose_model_cannot_be_loaded_ends_at_once(nut_data, tmp_path):
    from insegan_ros.data.convert import convert

    convert(nut_data, tmp_path / 'bag', 'recording')
    process = subprocess.run(
        [
            sys.executable,
            '-m',
            'insegan_ros.cli',
            'replay',
            '--recording',
            str(tmp_path / 'bag'),
            '--model',
            str(tmp_path),
            '--out',
            str(tmp_path / 'out'),
        ],
        capture_output=True,
        text=True,
        env={**environment(), 'ROS_DOMAIN_ID': str(int(DOMAIN) + 1)},
        timeout=60,
    )
    assert (
        process.returncode == 2
        and 'no checkpoint at' in process.stderr
        and 'Traceback' not in process.stderr
    )


@pytest.mark.slow
def test_an_empty_bin_is_calibrated_from_a_live_topic(robot, tmp_path):
    """A tray with walls on real DDS; the file that comes out is one that the segmenter loads."""
    from insegan_ros.workspace import read_workspace

    depth = np.full((240, 320), 600, np.uint16)
    depth[30:210, 40:280] = 560
    depth[38:202, 48:272] = 600
    command = [
        sys.executable,
        '-m',
        'insegan_ros.cli',
        'calibrate',
        '--topic',
        '/cam/depth/image',
        '--out',
        str(tmp_path / 'robot.yaml'),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    while process.poll() is None:
        robot.send(depth, '16UC1', CAMERA)
        robot.spin(0.03)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert '30 pictures: floor at 0.600 m' in out and 'walls of 40 mm' in out
    found = read_workspace(tmp_path / 'robot.yaml')
    # 224 px at .6 m and a focal length of 300 px, less 3 mm on either side.
    assert found.bounds[2] - found.bounds[0] == pytest.approx(
        223 / 300 * 0.6 - 0.006, abs=0.004
    ) and found.floor_distance_m == pytest.approx(0.6, abs=1e-3)
    again = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert again.returncode == 2 and 'robot.yaml exists: expected a new file' in again.stderr


@pytest.mark.slow
def test_a_recording_that_is_none_ends_the_player_with_one_line(tmp_path):
    process = Process(
        'insegan_ros.nodes.recording_player',
        ['--ros-args', '-p', f'recording:={tmp_path}/nowhere.bag'],
        tmp_path / 'log',
    )
    assert process.popen.wait(timeout=60) == 2
    assert 'nowhere.bag does not exist' in process.text() and 'Traceback' not in process.text()
