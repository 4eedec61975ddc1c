"""ROS messages as arrays, by their encoding (REP 118 for depth), without ROS: for recordings and
nodes alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from insegan_ros.camera.lens import lens_warning, pinhole
from insegan_ros.errors import InputError
from insegan_ros.frame import Intrinsics, metres

# Larger than the image of any depth camera; every stage after this one costs memory and time by the
# pixel.
MAX_PIXELS = 1 << 24
DEPTH_KINDS = {'16UC1': 'u2', 'mono16': 'u2', '32FC1': 'f4'}


# Channels, and their order as red, green, blue.
COLOUR_KINDS = {
    'rgb8': (3, (0, 1, 2)),
    'bgr8': (3, (2, 1, 0)),
    'rgba8': (4, (0, 1, 2)),
    'bgra8': (4, (2, 1, 0)),
    'mono8': (1, (0, 0, 0)),
}


def depth_from_message(message: Any) -> np.ndarray:
    """sensor_msgs/Image -> (H, W) float32 metres, NaN = no reading. Honours step and endianness.

    16UC1 (and librealsense's mono16): millimetres, 0 = no reading. 32FC1: metres, NaN and
    infinities = no reading. Raises InputError for any other encoding or too little data.
    """
    if message.encoding not in DEPTH_KINDS:
        raise InputError(
            f'depth image has encoding "{message.encoding}": expected 16UC1 (mm) or 32FC1 (m); is a'
            ' colour topic remapped to depth/image?'
        )
    kind = np.dtype(DEPTH_KINDS[message.encoding]).newbyteorder(
        '>' if message.is_bigendian else '<'
    )
    values = _rows(message, kind.itemsize, 'depth image').view(kind).astype(np.float32)
    if kind.kind == 'u':
        return metres(values)
    values[~np.isfinite(values) | (values <= 0)] = np.nan
    return values


def colour_from_message(message: Any) -> np.ndarray:
    """sensor_msgs/Image -> (H, W, 3) uint8 RGB. Honours step. Raises InputError for encodings that
    are none of colour or grey with 8 bits, or too little data."""
    if message.encoding not in COLOUR_KINDS:
        raise InputError(
            f'colour image has encoding "{message.encoding}": expected {", ".join(COLOUR_KINDS)}'
        )
    channels, order = COLOUR_KINDS[message.encoding]
    pixels = _rows(message, channels, 'colour image').reshape(
        message.height, message.width, channels
    )
    return np.ascontiguousarray(pixels[..., list(order)])


def labels_from_message(message: Any) -> np.ndarray:
    """16UC1 labels -> (H, W) uint16. Raises InputError for another encoding or too little data."""
    if message.encoding not in ('16UC1', 'mono16'):
        raise InputError(f'label image has encoding "{message.encoding}": expected 16UC1')
    kind = np.dtype('u2').newbyteorder('>' if message.is_bigendian else '<')
    return _rows(message, 2, 'label image').view(kind).astype(np.uint16)


def stamp_ns(header: Any) -> int:
    """A header's stamp in nanoseconds."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def _rows(message: Any, pixel_bytes: int, what: str) -> np.ndarray:
    """The image's bytes without what pads its rows, (H, W * pixel_bytes) uint8. Raises InputError
    where there are too few, or more pixels than MAX_PIXELS."""
    height, width, step = message.height, message.width, message.step
    if (
        height * width == 0
        or step < width * pixel_bytes
        or len(message.data) < step * (height - 1) + width * pixel_bytes
    ):
        raise InputError(
            f'{what} says {width}x{height}, step {step}, and carries {len(message.data)} bytes: '
            f'expected at least {width * pixel_bytes} bytes a row and all rows'
        )
    if height * width > MAX_PIXELS:
        raise InputError(f'{what} is {width}x{height}: expected at most {MAX_PIXELS} pixels')
    # By strides, for the last row need not be padded, and its step may be any number.
    rows = np.ndarray(
        (height, width * pixel_bytes), np.uint8, memoryview(message.data), strides=(step, 1)
    )
    return np.ascontiguousarray(rows)


def intrinsics_from_message(message: Any) -> Intrinsics:
    """Intrinsics of a CameraInfo, of ROS 1 (K, P) or ROS 2 (k, p): of its rectified picture, where
    it says them."""
    (fx, fy, cx, cy), _ = pinhole(_numbers(message, 'k'), _numbers(message, 'p'))
    return Intrinsics(fx, fy, cx, cy, int(message.width), int(message.height))


def lens_warning_of(message: Any) -> str:
    """What to warn of where a CameraInfo's lens distorts a picture that is not rectified; empty
    where there is nothing to say. A P that is not K is a rectified picture's."""
    _, rectified = pinhole(_numbers(message, 'k'), _numbers(message, 'p'))
    if rectified:
        return ''
    model = str(message.distortion_model)
    return lens_warning(intrinsics_from_message(message), _numbers(message, 'd'), model)


def _numbers(message: Any, name: str) -> list[float]:
    """An array of a CameraInfo, whose name ROS 1 writes large."""
    return [float(one) for one in getattr(message, name.upper() if hasattr(message, 'K') else name)]
