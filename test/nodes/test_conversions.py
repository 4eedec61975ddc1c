"""Any message that a driver could send: it becomes a frame, or is refused in one line."""

import array

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')

from hypothesis import example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from insegan_ros.camera.messages import (
    COLOUR_KINDS,
    DEPTH_KINDS,
    colour_from_message,
    depth_from_message,
    labels_from_message,
)
from insegan_ros.errors import InputError  # noqa: E402
from insegan_ros.frame import Frame, Intrinsics  # noqa: E402
from insegan_ros.nodes.conversions import camera_info_message, frame_from_messages, image_message  # noqa: E402

SIZES = st.integers(1, 40)


@given(
    st.sampled_from([*DEPTH_KINDS, *COLOUR_KINDS, '8UC1', '32FC3', '', 'ÿ']),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 400),
    st.booleans(),
    st.integers(0, 6000),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=400, deadline=None)
def test_any_image_becomes_an_array_or_is_refused(encoding, height, width, step, big, length, seed):
    data = np.random.default_rng(seed).integers(0, 256, length, np.uint8)
    message = Image(
        height=height,
        width=width,
        step=step,
        encoding=encoding,
        is_bigendian=int(big),
        data=array.array('B', data.tobytes()),
    )
    try:
        depth = depth_from_message(message)
    except InputError as error:
        assert '\n' not in str(error) and 'expected' in str(error)
    else:
        assert (
            depth.shape == (height, width)
            and depth.dtype == np.float32
            and not (depth <= 0).any()
            and not np.isinf(depth).any()
        )
        assert step >= width * np.dtype(DEPTH_KINDS[encoding]).itemsize
    try:
        colour = colour_from_message(message)
    except InputError as error:
        assert '\n' not in str(error) and 'expected' in str(error)
    else:
        assert (
            colour.shape == (height, width, 3)
            and colour.dtype == np.uint8
            and encoding in COLOUR_KINDS
        )


@given(
    SIZES,
    SIZES,
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
    st.sampled_from(['16UC1', 'mono16', '32FC1']),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_padding_endianness_and_a_short_last_row_change_nothing(
    height, width, padding, big, short, encoding, seed
):
    millimetres = np.random.default_rng(seed).integers(0, 5000, (height, width)).astype(np.uint16)
    kind = np.dtype(DEPTH_KINDS[encoding]).newbyteorder('>' if big else '<')
    pixels = (millimetres if kind.kind == 'u' else millimetres / 1000).astype(kind)
    rows = np.concatenate(
        [pixels.view(np.uint8).reshape(height, -1), np.full((height, padding), 7, np.uint8)], 1
    )
    data = rows.tobytes()[: len(rows.tobytes()) - padding] if short else rows.tobytes()
    message = Image(
        height=height,
        width=width,
        step=rows.shape[1],
        encoding=encoding,
        is_bigendian=int(big),
        data=array.array('B', data),
    )
    depth = depth_from_message(message)
    assert (np.isnan(depth) == (millimetres == 0)).all() and np.allclose(
        np.nan_to_num(depth), millimetres / 1000, atol=1e-6
    )


@given(SIZES, SIZES, st.sampled_from(sorted(COLOUR_KINDS)), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_colour_comes_out_as_rgb(height, width, encoding, seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if encoding == 'mono8':
        rgb[:] = rgb[..., :1]
        pixels = rgb[..., 0]
    else:
        pixels = rgb[..., ::-1] if encoding.startswith('bgr') else rgb
        pixels = (
            np.concatenate([pixels, np.full((height, width, 1), 255, np.uint8)], -1)
            if encoding.endswith('a8')
            else pixels
        )
    assert (colour_from_message(image_message(pixels, encoding, Header())) == rgb).all()


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
    depth, colour = (
        image_message(np.ones((4, 6), np.uint16), '16UC1', Header()),
        image_message(np.zeros((8, 12, 3), np.uint8), 'rgb8', Header()),
    )
    with pytest.raises(
        InputError, match='colour is 12x8 but depth 6x4: expected depth aligned to colour'
    ):
        frame_from_messages(
            depth, camera_info_message(Intrinsics(5, 5, 3, 2, 6, 4), Header()), colour
        )
