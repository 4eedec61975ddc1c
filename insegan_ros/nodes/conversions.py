"""Between ROS messages and the core's dataclasses, copied once and never cast twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from insegan_ros.camera.messages import (
    colour_from_message,
    depth_from_message,
    intrinsics_from_message,
    stamp_ns,
)
from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Intrinsics, millimetres


def frame_from_messages(image: Image, info: CameraInfo, colour: Image | None = None) -> Frame:
    """Depth, its camera_info and the colour of the same moment as a Frame. Raises InputError for
    encodings and sizes that cannot be used."""
    picture = None if colour is None else colour_from_message(colour)
    if picture is not None and picture.shape[:2] != (image.height, image.width):
        height, width = picture.shape[:2]
        raise InputError(
            f'colour is {width}x{height} but depth {image.width}x{image.height}:'
            ' expected depth aligned to colour (aligned_depth_to_color with its camera_info)'
        )
    return Frame(
        depth_from_message(image),
        intrinsics_from_message(info),
        picture,
        stamp_ns(image.header),
        image.header.frame_id,
    )


def image_message(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    """An Image of (H, W) or (H, W, 3) pixels."""
    pixels = np.ascontiguousarray(pixels)
    message = Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
    )
    # frombytes on the message's own array: assigning bytes or an ndarray is a hundred times slower.
    message.data.frombytes(pixels.data.cast('B'))
    return message


def depth_message(frame: Frame) -> Image:
    """Depth as RealSense drivers publish it: 16UC1 millimetres, 0 = no reading."""
    return image_message(millimetres(frame.depth_m), '16UC1', header_of(frame))


def header_of(frame: Frame) -> Header:
    """Stamp and frame_id of a frame."""
    return Header(
        stamp=Time(sec=frame.stamp_ns // 10**9, nanosec=frame.stamp_ns % 10**9),
        frame_id=frame.frame_id,
    )


def camera_info_message(
    intrinsics: Intrinsics, header: Header, distortion: Sequence[float] = (0.0,) * 5
) -> CameraInfo:
    """A CameraInfo; distortion: plumb bob's five coefficients."""
    k = intrinsics.matrix
    return CameraInfo(
        header=header,
        width=intrinsics.width,
        height=intrinsics.height,
        distortion_model='plumb_bob',
        d=[float(v) for v in distortion],
        k=k.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=np.hstack([k, np.zeros((3, 1))]).ravel().tolist(),
    )


def pose_array_message(poses: np.ndarray, header: Header) -> PoseArray:
    """Camera-from-object poses (N, 4, 4) as a PoseArray."""
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat().tolist() if len(poses) else []
    return PoseArray(
        header=header,
        poses=[
            Pose(
                position=Point(x=float(p[0, 3]), y=float(p[1, 3]), z=float(p[2, 3])),
                orientation=Quaternion(x=q[0], y=q[1], z=q[2], w=q[3]),
            )
            for p, q in zip(poses, quaternions)
        ],
    )
