"""Rotations that are spread evenly leave none out."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.geometry.rotations import looking_along, spread


def test_a_view_along_a_direction_has_it_in_the_line_of_sight():
    directions = spread(7)
    views = looking_along(directions, 4).reshape(7, 4, 3, 3)
    assert np.allclose(views @ directions[:, None, :, None], [[0], [0], [1]])


def test_every_rotation_is_near_one_of_them():
    views = Rotation.from_matrix(looking_along(spread(60), 12))
    for one in Rotation.random(50, random_state=0):
        assert np.degrees((one.inv() * views).magnitude().min()) < 25
