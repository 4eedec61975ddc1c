"""Distances between poses, and which pairs are compared."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from insegan_ros.metrics.poses import add_s, match, mssd


def turn(axis: int, degrees: float, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    pose = trimesh.transformations.rotation_matrix(np.radians(degrees), np.eye(3)[axis])
    pose[:3, 3] = shift
    return pose


def test_measures_know_symmetries_and_lengths():
    points = np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.02, 0], [0, -0.02, 0]])
    half, quarter = turn(2, 180), turn(2, 90)
    symmetries = np.stack([np.eye(3), half[:3, :3]])
    assert (
        mssd(np.eye(4), half, points, symmetries)
        < 1e-9
        < 0.1
        < mssd(np.eye(4), half, points, symmetries[:1])
    )
    assert mssd(np.eye(4), turn(2, 0, (0, 0, 0.03)), points, symmetries) == pytest.approx(0.03)
    assert add_s(np.eye(4), half, points) < 1e-9 and add_s(np.eye(4), quarter, points) > 0.02


def test_pairs_are_one_to_one_and_overlap():
    truth = np.zeros((4, 8), int)
    truth[:, :4], truth[:, 4:] = 1, 2
    found = np.zeros((4, 8), int)
    found[:, 4:] = 1
    found[0, 0] = 2
    assert match(truth, found) == [(1, 0)]
