"""Rotations that are spread evenly leave none out."""

from __future__ import annotations

import numpy as np
import pytest
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


@pytest.mark.parametrize('count', [60, 400])
def test_directions_lie_evenly(count):
    """As far apart as if each had its own square of the sphere, and none is left out."""
    directions = spread(count)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    side = np.sqrt(4 * np.pi / count)
    apart = np.arccos((directions @ directions.T).clip(-1, 1))
    np.fill_diagonal(apart, np.pi)
    assert 0.8 * side < apart.min(1).min() and apart.min(1).max() < 1.1 * side
    others = np.random.default_rng(0).normal(size=(2000, 3))
    others /= np.linalg.norm(others, axis=1)[:, None]
    assert np.arccos((others @ directions.T).clip(-1, 1)).min(1).max() < 0.9 * side


@pytest.mark.parametrize('turns', [1, 3, 4, 12])
def test_views_along_a_direction_go_once_around_it(turns):
    views = looking_along(np.array([[0.6, 0.0, -0.8]]), turns)
    angles = [Rotation.from_matrix(view @ views[0].T).as_rotvec(degrees=True) for view in views]
    expected = (np.arange(turns) * 360 / turns + 180) % 360 - 180
    assert np.allclose(np.array(angles)[:, :2], 0, atol=1e-6)
    off = (np.array(angles)[:, 2] - expected + 180) % 360 - 180
    assert np.allclose(off, 0, atol=1e-6)
