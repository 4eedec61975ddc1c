"""Rotations that are spread evenly leave none out."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.geometry.rotations import all_rotations, looking_along, spread


def test_a_view_along_a_direction_has_it_in_the_line_of_sight():
    directions = spread(7)
    views = looking_along(directions, 4).reshape(7, 4, 3, 3)
    assert np.allclose(views @ directions[:, None, :, None], [[0], [0], [1]])


def test_every_rotation_is_near_one_of_them():
    views = Rotation.from_matrix(looking_along(spread(60), 12))
    for one in Rotation.random(50, random_state=0):
        assert np.degrees((one.inv() * views).magnitude().min()) < 25


def test_rotations_lie_evenly():
    turns = Rotation.from_matrix(all_rotations(500))
    apart = [np.degrees((one.inv() * turns).magnitude()) for one in turns]
    nearest = np.sort(apart, axis=1)[:, 1]
    assert nearest.min() > 12 and nearest.max() < 40
