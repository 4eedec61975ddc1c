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


def test_fitting_a_floor_to_nothing_says_so(camera):
    with pytest.raises(InputError, match='0 pixels have a depth reading'):
        fit_floor(Frame(np.full((120, 160), np.nan, np.float32), camera))


@pytest.mark.parametrize('seed', range(6))
def test_points_that_share_no_plane_are_refused(seed):
    """So far away that rounding moves them by more than the tolerance."""
    noise = np.random.default_rng(seed).normal(1, 0.1, (10, 11))
    camera = Intrinsics(50.0, 50.0, 5.5, 5.0, 11, 10)
    with pytest.raises(InputError, match='no plane was found in the depth image: expected to see'):
        fit_floor(Frame((1e30 * noise).astype(np.float32), camera))
