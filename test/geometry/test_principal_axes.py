"""Rotations in the picture and before the camera."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.geometry.principal_axes import (
    MAX_POINTS,
    camera_from_picture,
    poses_from_points,
    principal_axes,
)

CAMERA = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)


@pytest.mark.parametrize('degrees', [0, 50, 100, 150])
def test_axes_are_the_longest_and_the_shortest_the_last_towards_the_camera(degrees):
    """A bar of 60 x 10 px that lies so in the picture, on a slope, beside others."""
    v, u = np.mgrid[:120, :160]
    angle = np.radians(degrees)
    along = (u - 80) * np.cos(angle) + (v - 60) * np.sin(angle)
    across = (v - 60) * np.cos(angle) - (u - 80) * np.sin(angle)
    labels = ((np.abs(along) < 30) & (np.abs(across) < 5)).astype(np.uint16) * 2
    depth = (0.5 + 0.002 * (u - 80) - 0.001 * (v - 60)).astype(np.float32)
    depth[labels == 0] = 0.9
    depth[60:64, 78:82] = np.nan
    # As many readings as a frame needs, one less, and none at all; a fifth is seen nowhere.
    labels[0, 0:3], labels[0, 10:12], labels[0, 20:25] = 3, 4, 1
    depth[0, 20:25] = np.nan
    poses = poses_from_points(Frame(depth, CAMERA), labels, 5)
    assert [np.array_equal(pose, np.eye(4)) for pose in poses] == [True, False, False, True, True]
    seen = (labels == 2) & np.isfinite(depth)
    points = (CAMERA.rays() * depth[..., None])[seen].astype(float)
    axes = np.linalg.svd(points - points.mean(0), full_matrices=False)[2]
    x, y, z = poses[1, :3, :3].T
    assert poses[1, :3, 3] == pytest.approx(points.mean(0), abs=1e-6)
    assert abs(x @ axes[0]) > 0.9999 and abs(z @ axes[2]) > 0.9999
    assert z[2] < 0 and x[np.abs(x).argmax()] > 0 and np.cross(x, y) == pytest.approx(z, abs=1e-5)
    assert poses[2, :3, 3] == pytest.approx((CAMERA.rays() * depth[..., None])[0, 1], abs=1e-6)


def test_of_many_points_some_tell_the_same():
    labels = np.ones((480, 640), np.uint16)
    camera = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)
    assert labels.size > 100 * MAX_POINTS
    (pose,) = poses_from_points(Frame(np.full(labels.shape, 0.6, np.float32), camera), labels, 1)
    assert pose[:3, 3] == pytest.approx((0, 0, 0.6), abs=2e-3) and abs(pose[0, 0]) > 0.99


def test_axes_of_points_come_with_their_mean_and_variances():
    points = np.array([[1.0, 2, 0], [3, 2, 0], [2, 1.5, 0], [2, 2.5, 0]])
    mean, variances, axes = principal_axes(points)
    assert mean.tolist() == [2, 2, 0] and variances == pytest.approx([0, 0.5 / 3, 2 / 3])
    assert np.abs(axes) == pytest.approx(np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]))
    assert (principal_axes(points[:1])[1] == 0).all()


def test_rotations_in_the_picture_are_rotations_before_the_camera():
    quarter = Rotation.from_euler('z', 90, degrees=True).as_matrix()
    # From x (right) to y (down): as the camera sees it, about its own line of sight.
    assert np.allclose(camera_from_picture(quarter[None])[0], quarter)
    towards = Rotation.from_euler('x', 90, degrees=True).as_matrix()
    # From y (down) up to the camera, which is -z before it.
    assert np.allclose(camera_from_picture(towards[None])[0] @ (0, 1, 0), (0, 0, -1))
    leaning = Rotation.from_euler('x', 20, degrees=True).as_matrix() @ (0, 0, -1)
    up = camera_from_picture(towards[None], tuple(leaning))[0]
    assert np.allclose(up @ (0, 1, 0), leaning) and np.isclose(np.linalg.det(up), 1)
