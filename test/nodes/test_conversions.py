"""Messages and frames, there and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from insegan_ros.camera.messages import (
    intrinsics_from_message,
    labels_from_message,
    lens_warning_of,
)
from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Intrinsics

rclpy = pytest.importorskip('rclpy')

from live_nodes import CAMERA  # noqa: E402
from sensor_msgs.msg import CameraInfo  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from insegan_ros.nodes.conversions import (  # noqa: E402
    camera_info_message,
    depth_message,
    frame_from_messages,
    header_of,
    image_message,
    pose_array_message,
)

SIZES = st.integers(1, 40)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=9, max_size=9),
    st.just(30) | SIZES,
    st.just(20) | SIZES,
)
@settings(max_examples=300, deadline=None)
@example([500.0, 0.0, float('nan'), 0.0, 500.0, 10.0, 0.0, 0.0, 1.0], 30, 20)
@example([float('inf'), 0.0, 15.0, 0.0, 500.0, 10.0, 0.0, 0.0, 1.0], 30, 20)
@example([500.0, 0.0, 15.0, 0.0, 500.0, 10.0, 0.0, 0.0, 1.0], 30, 20)
def test_any_camera_info_becomes_a_camera_or_is_refused(k, width, height):
    depth = image_message(np.full((20, 30), 500, np.uint16), '16UC1', Header())
    try:
        frame = frame_from_messages(depth, CameraInfo(width=width, height=height, k=k))
    except InputError as error:
        assert '\n' not in str(error) and 'expected' in str(error)
    else:
        assert (
            isinstance(frame, Frame)
            and (width, height) == (30, 20)
            and np.isfinite(frame.intrinsics.rays()).all()
        )


@given(SIZES, SIZES, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_labels_and_cameras_survive_the_way_there_and_back(height, width, seed):
    labels = np.random.default_rng(seed).integers(0, 65536, (height, width)).astype(np.uint16)
    assert (labels_from_message(image_message(labels, '16UC1', Header())) == labels).all()
    camera = Intrinsics(300.5, 299.5, width / 2, height / 2, width, height)
    assert (
        frame_from_messages(
            image_message(labels, '16UC1', Header()), camera_info_message(camera, Header())
        ).intrinsics
        == camera
    )


def test_colour_of_another_size_is_refused():
    depth = image_message(np.ones((4, 6), np.uint16), '16UC1', Header())
    colour = image_message(np.zeros((8, 12, 3), np.uint8), 'rgb8', Header())
    with pytest.raises(
        InputError, match='colour is 12x8 but depth 6x4: expected depth aligned to colour'
    ):
        frame_from_messages(
            depth, camera_info_message(Intrinsics(5, 5, 3, 2, 6, 4), Header()), colour
        )


def test_frames_survive_the_way_through_messages():
    depth = np.full((240, 320), 0.512, np.float32)
    depth[3, 4] = np.nan
    frame = Frame(depth, CAMERA, stamp_ns=12_345_678_901)
    message = depth_message(frame)
    again = frame_from_messages(message, camera_info_message(CAMERA, message.header))
    assert again.stamp_ns == frame.stamp_ns and again.intrinsics == CAMERA
    assert np.isnan(again.depth_m[3, 4]) and np.allclose(
        again.depth_m, depth, atol=5e-4, equal_nan=True
    )


def test_a_rectified_pictures_camera_is_its_p():
    info = camera_info_message(CAMERA, Header(), (-0.2, 0.05, 0.0, 0.0, 0.0))
    assert intrinsics_from_message(info) == CAMERA
    assert "the camera's lens moves pixels by up to" in lens_warning_of(info)
    p = np.array(info.p).reshape(3, 4)
    p[0, 0], p[1, 1] = 0.9 * CAMERA.fx, 0.95 * CAMERA.fy
    info.p = p.ravel()
    assert intrinsics_from_message(info) == replace(CAMERA, fx=0.9 * CAMERA.fx, fy=0.95 * CAMERA.fy)
    assert lens_warning_of(info) == ''
    # Some drivers fill in K alone.
    info.p = np.zeros(12)
    assert intrinsics_from_message(info) == CAMERA
    assert lens_warning_of(camera_info_message(CAMERA, Header())) == ''


def test_poses_and_cameras_as_messages():
    header = Header(frame_id='optical')
    header.stamp.sec = 3
    info = camera_info_message(Intrinsics(300.0, 310.0, 20.0, 15.0, 40, 30), header)
    assert info.header == header and (info.width, info.height) == (40, 30)
    assert info.k.tolist() == [300, 0, 20, 0, 310, 15, 0, 0, 1]
    assert info.p.tolist() == [300, 0, 20, 0, 0, 310, 15, 0, 0, 0, 1, 0]
    assert info.r.tolist() == np.eye(3).ravel().tolist() and list(info.d) == [0.0] * 5
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, 3] = (1, 2, 3), (4, 5, 6)
    turn = Rotation.from_euler('xyz', (20, -40, 70), degrees=True)
    poses[1, :3, :3] = turn.as_matrix()
    message = pose_array_message(poses, header)
    assert message.header == header
    for pose, place, quaternion in zip(
        message.poses, ((1, 2, 3), (4, 5, 6)), ((0, 0, 0, 1), turn.as_quat())
    ):
        assert (pose.position.x, pose.position.y, pose.position.z) == place
        q = pose.orientation
        assert [q.x, q.y, q.z, q.w] == pytest.approx(quaternion)
    assert len(pose_array_message(np.zeros((0, 4, 4)), header).poses) == 0


def test_a_frame_is_its_depths_messages_with_colour_in_its_view():
    header = Header(frame_id='optical')
    header.stamp.sec, header.stamp.nanosec = 1_700_000_000, 123_456_789
    depth = image_message(np.full((20, 30), 500, np.uint16), '16UC1', header)
    camera = Intrinsics(300.0, 310.0, 15.0, 10.0, 30, 20)
    info = camera_info_message(camera, header)
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    frame = frame_from_messages(depth, info, image_message(picture, 'rgb8', Header()))
    assert np.array_equal(frame.colour, picture) and frame.intrinsics == camera
    assert (frame.stamp_ns, frame.frame_id) == (1_700_000_000_123_456_789, 'optical')
    assert header_of(frame) == header and depth_message(frame) == depth
