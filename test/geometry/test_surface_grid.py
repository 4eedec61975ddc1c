"""The tables of a surface answer as a search would."""

from __future__ import annotations

import numpy as np
import trimesh

from insegan_ros.geometry.surface_grid import SurfaceGrid


def sheet() -> tuple[SurfaceGrid, np.ndarray]:
    """A sheet of 40 x 20 x 1 mm, in m, and its samples."""
    mesh = trimesh.creation.box((0.04, 0.02, 0.001))
    points, faces = trimesh.sample.sample_surface(mesh, 3000, seed=0)
    return SurfaceGrid(np.asarray(points), np.asarray(mesh.face_normals[faces])), points


def test_distances_are_those_to_the_nearest_sample_to_within_a_cell():
    grid, points = sheet()
    places = np.random.default_rng(0).uniform(-0.02, 0.02, (200, 3)) * (1, 0.5, 0.2)
    exact = np.linalg.norm(places[:, None] - points, axis=-1).min(1)
    assert np.abs(grid.distance(places.astype(np.float32)) - exact).max() < grid.cell


def test_the_side_of_a_thin_sheet_that_is_seen_is_the_nearest():
    grid, _ = sheet()
    middle = np.zeros((1, 1, 3), np.float32)
    for down in (1.0, -1.0):
        sight = np.array([[0, 0, down]], np.float32)
        normal, gap = grid.planes(middle, sight, reach=0.002)
        # Its face towards the eye is half a millimetre before the middle.
        assert np.allclose(normal[0, 0], (0, 0, -down), atol=1e-6)
        assert np.isclose(gap[0, 0], 0.0005, atol=1e-6)
    far = np.array([[[0, 0, 0.01]]], np.float32)
    assert not grid.planes(far, sight, reach=0.002)[0].any()
