"""The floor that a picture itself shows."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.errors import InputError
from insegan_ros.floors import fit_floor
from insegan_ros.frame import Frame, Intrinsics


def test_fitted_floor_finds_the_plane_under_the_parts(camera):
    tilted = np.array([0.05, -0.1, -1.0])
    tilted /= np.linalg.norm(tilted)
    depth = (-0.6 / (camera.rays() @ tilted)).astype(np.float32)
    depth[30:70, 30:70] -= 0.05
    plane = fit_floor(Frame(depth, camera))
    assert np.allclose(plane, (*tilted, 0.6), atol=2e-3)


@pytest.mark.parametrize('tilt', [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2), (-0.2, 0.1), (0.1, -0.2)])
@pytest.mark.parametrize('beside', ['box', 'wall', 'noise'])
def test_the_floor_is_the_farthest_plane_that_faces_the_camera(camera, tilt, beside):
    """More of the picture shows a box of 6 cm that is as flat, or a wall beside it."""
    normal = np.array([*tilt, -1.0]) / np.linalg.norm([*tilt, -1.0])
    slope = camera.rays() @ normal
    depth = -0.5 / slope
    v, u = np.mgrid[:120, :160]
    if beside == 'box':
        depth[u < 90] = (-0.44 / slope)[u < 90]
        depth[(u > 140) & (v > 100)] = 0.0
    elif beside == 'wall':
        upright = np.cross(normal, (0.0, 1.0, 0.0))
        upright /= np.linalg.norm(upright)
        wall = camera.rays() @ upright
        at = (camera.rays() * depth[..., None])[60, 100] @ upright
        nearer = (at / wall > 0.2) & (at / wall < depth)
        depth[nearer] = (at / wall)[nearer]
        assert nearer.mean() > 0.15
    else:
        depth += np.random.default_rng(0).normal(0, 0.001, depth.shape)
    plane = fit_floor(Frame(depth.astype(np.float32), camera))
    assert np.allclose(plane, (*normal, 0.5), atol=1e-3 if beside == 'noise' else 2e-4)


@pytest.mark.parametrize('nothing', [np.nan, 0.0])
def test_fitting_a_floor_to_nothing_says_so(camera, nothing):
    depth = np.full((120, 160), nothing, np.float32)
    depth[3, :99] = 0.5
    with pytest.raises(InputError, match='99 pixels have a depth reading'):
        fit_floor(Frame(depth, camera))
    depth[:2] = 0.5
    assert fit_floor(Frame(depth, camera))[3] == pytest.approx(0.5)


@pytest.mark.parametrize('seed', range(6))
def test_points_that_share_no_plane_are_refused(seed):
    """So far away that rounding moves them by more than the tolerance."""
    noise = np.random.default_rng(seed).normal(1, 0.1, (10, 11))
    camera = Intrinsics(50.0, 50.0, 5.5, 5.0, 11, 10)
    with pytest.raises(InputError, match='no plane was found in the depth image: expected to see'):
        fit_floor(Frame((1e30 * noise).astype(np.float32), camera))
