"""Depth images of ROS messages as metres, by their encoding (REP 118): used by recordings and by nodes alike."""
from __future__ import annotations

from typing import Any

import numpy as np

from insegan_ros.errors import InputError


def depth_from_message(message: Any) -> np.ndarray:
    """sensor_msgs/Image -> (H, W) float32 metres, NaN = no reading. Honours step and endianness.

    16UC1 (and librealsense's mono16): millimetres, 0 = no reading. 32FC1: metres, NaN and infinities = no reading.
    Raises InputError for any other encoding or too little data.
    """
    kinds = {'16UC1': 'u2', 'mono16': 'u2', '32FC1': 'f4'}
    if message.encoding not in kinds:
        raise InputError(f'depth image has encoding "{message.encoding}": expected 16UC1 (mm) or 32FC1 (m); is a colour topic remapped to depth/image?')
    kind = np.dtype(kinds[message.encoding]).newbyteorder('>' if message.is_bigendian else '<')
    height, width, step = message.height, message.width, message.step
    if height * width == 0 or step < width * kind.itemsize or len(message.data) < step * (height - 1) + width * kind.itemsize:
        raise InputError(f'depth image says {width}x{height}, step {step}, and carries {len(message.data)} bytes: '
                         f'expected at least {width * kind.itemsize} bytes a row and all rows')
    data = np.frombuffer(memoryview(message.data), np.uint8)
    padded = np.zeros(step * height, np.uint8) if len(data) < step * height else data
    if padded is not data:
        padded[:len(data)] = data
    rows = padded[:step * height].reshape(height, step)[:, :width * kind.itemsize]
    values = np.ascontiguousarray(rows).view(kind).astype(np.float32)
    if kind.kind == 'u':
        return np.where(values > 0, values * np.float32(1e-3), np.float32(np.nan))
    values[~np.isfinite(values) | (values <= 0)] = np.nan
    return values
