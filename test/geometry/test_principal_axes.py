"""Rotations in the picture and before the camera."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.geometry.principal_axes import camera_from_picture


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
