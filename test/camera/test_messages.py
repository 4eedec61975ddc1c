"""Any image message that a driver could send becomes pixels, or is refused in one line."""

from __future__ import annotations

import array
import mmap
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insegan_ros.camera.messages import (
    COLOUR_KINDS,
    DEPTH_KINDS,
    colour_from_message,
    depth_from_message,
    intrinsics_from_message,
    labels_from_message,
    lens_warning_of,
    stamp_ns,
)
from insegan_ros.errors import InputError
from insegan_ros.frame import Intrinsics

rclpy = pytest.importorskip('rclpy')

from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from insegan_ros.nodes.conversions import image_message  # noqa: E402


def message(pixels: np.ndarray, encoding: str, pad: int = 0, big: bool = False) -> SimpleNamespace:
    kind = pixels.dtype.newbyteorder('>' if big else '<')
    rows = np.pad(
        pixels.astype(kind).view(np.uint8).reshape(pixels.shape[0], -1), ((0, 0), (0, pad))
    )
    return SimpleNamespace(
        encoding=encoding,
        is_bigendian=big,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=rows.shape[1],
        data=rows.tobytes(),
    )


@pytest.mark.parametrize('pad, big', [(0, False), (6, False), (0, True), (10, True)])
def test_millimetres_and_metres_honour_step_and_endianness(pad, big):
    millimetres = np.array([[0, 500, 65535], [1, 2, 3]], np.uint16)
    depth = depth_from_message(message(millimetres, '16UC1', pad, big))
    assert (
        np.isnan(depth[0, 0])
        and np.allclose(depth[0, 1:], (0.5, 65.535))
        and depth.dtype == np.float32
    )
    metres = np.array([[0.5, np.nan, np.inf], [0.0, -1.0, 2.0]], np.float32)
    depth = depth_from_message(message(metres, '32FC1', pad, big))
    assert (
        np.isfinite(depth).tolist() == [[True, False, False], [False, False, True]]
        and depth[1, 2] == 2
    )


@pytest.mark.parametrize(
    'change, words',
    [
        ({'encoding': 'rgb8'}, 'encoding "rgb8": expected 16UC1'),
        ({'data': b'\0' * 7}, 'carries 7 bytes'),
        ({'data': b'\0' * 31}, 'carries 31 bytes'),
        ({'step': 7}, 'step 7'),
        ({'height': 0}, '4x0'),
        ({'width': 0}, '0x4'),
    ],
)
def test_messages_that_cannot_be_depth_are_refused_in_words(change, words):
    broken = message(np.ones((4, 4), np.uint16), '16UC1')
    vars(broken).update(change)
    with pytest.raises(InputError, match=words):
        depth_from_message(broken)


@pytest.mark.parametrize('pad, big', [(0, False), (6, False), (0, True), (10, True)])
def test_labels_honour_step_and_endianness(pad, big):
    labels = np.array([[0, 1, 258], [65535, 2, 3]], np.uint16)
    found = labels_from_message(message(labels, 'mono16', pad, big))
    assert found.dtype == np.uint16 and np.array_equal(found, labels)
    with pytest.raises(InputError, match='label image has encoding "mono8": expected 16UC1'):
        labels_from_message(message(labels, 'mono8'))


def test_the_last_row_need_not_be_padded():
    rows = message(np.array([[500, 501], [502, 503]], np.uint16), '16UC1', pad=4)
    rows.data = rows.data[:-4]
    assert depth_from_message(rows) == pytest.approx(np.array([[0.5, 0.501], [0.502, 0.503]]))


@pytest.mark.parametrize('ros1', [False, True])
def test_a_camera_info_of_either_ros_says_its_rectified_picture(ros1):
    k, p = [600.0, 0, 320, 0, 601, 240, 0, 0, 1], [590.0, 0, 321, 0, 0, 592, 241, 0, 0, 0, 1, 0]
    info = SimpleNamespace(width=640, height=480, distortion_model='plumb_bob')
    for name, value in (('k', k), ('p', p), ('d', [-0.2, 0.05, 0, 0, 0])):
        setattr(info, name.upper() if ros1 else name, value)
    assert intrinsics_from_message(info) == Intrinsics(590.0, 592.0, 321.0, 241.0, 640, 480)
    assert lens_warning_of(info) == ''
    setattr(info, 'P' if ros1 else 'p', [600.0, 0, 320, 0, 0, 601, 240, 0, 0, 0, 1, 0])
    assert intrinsics_from_message(info) == Intrinsics(600.0, 601.0, 320.0, 240.0, 640, 480)
    assert "the camera's lens moves pixels by up to 31" in lens_warning_of(info)


def test_a_stamp_is_its_seconds_and_nanoseconds():
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1_700_000_000, nanosec=123_456_789))
    assert stamp_ns(header) == 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    'convert, encoding', [(depth_from_message, '16UC1'), (colour_from_message, 'mono8')]
)
def test_a_step_that_pads_a_row_beyond_reason_costs_no_memory(convert, encoding):
    row = message(np.full((1, 4), 500, np.uint16), encoding)
    row.step, row.width = 10**8, 4
    tracemalloc.start()
    pixels = convert(row)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pixels.shape[:2] == (1, 4) and peak < 10**6
    if encoding == '16UC1':
        assert np.allclose(pixels, 0.5)


def test_an_image_of_more_pixels_than_any_camera_has_is_refused():
    # Pages of zeros that nobody touches take no memory.
    whole = mmap.mmap(-1, 5000 * 4000 * 2)
    broken = message(np.ones((4, 4), np.uint16), '16UC1')
    broken.width, broken.height, broken.step, broken.data = 5000, 4000, 10000, whole
    with pytest.raises(InputError, match='depth image is 5000x4000: expected at most 16777216'):
        depth_from_message(broken)


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
