"""Height maps of any camera."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.frame import Frame
from insegan_ros.heights import FOREGROUND_SHARE, floor_limit, height_scale, square_height_map


def test_square_map_covers_the_same_metres_for_any_resolution():
    from insegan_sim.camera import Camera
    from insegan_sim.scenes import bin_setup

    setup = bin_setup('nut')
    pose = np.eye(4)[None]
    pose[0, :3, 3] = (0.03, 0.02, 0.015)
    maps = []
    for camera in (Camera.over_bin(setup.container), Camera.realsense(setup.container)):
        frame = Frame(camera.render(setup.parts, pose).depth_m, camera.intrinsics)
        height, pixel_m = square_height_map(frame, camera.workspace, 64)
        y, x = np.nonzero(height > 0.02)
        maps.append(((x.mean() - 31.5) * pixel_m, (y.mean() - 31.5) * pixel_m, height.max()))
    assert np.allclose(maps[0], maps[1], atol=0.002)
    assert np.allclose(maps[0][:2], (0.03, -0.02), atol=0.003)


def piled(*heights_m: float, noise_m: float = 0.0) -> np.ndarray:
    """Height maps (8, 64, 64) of squares of such heights on a floor with noise, cut off at it as
    workspaces do."""
    rng = np.random.default_rng(0)
    maps = np.zeros((8, 64, 64))
    for index, height_m in enumerate(heights_m):
        maps[:, 4:20, 4 + 20 * index : 20 + 20 * index] = height_m
    return (maps + rng.normal(0, noise_m, maps.shape)).clip(0)


def test_sheets_lower_what_is_floor_and_noise_forbids_it():
    assert floor_limit(piled(0.02, 0.03)) == 0.005
    # A sheet of 3 mm, alone and beside its own upright flange.
    assert floor_limit(piled(0.003)) == pytest.approx(0.0018)
    assert floor_limit(piled(0.003, 0.04)) == pytest.approx(0.0018)
    assert 0.0015 < floor_limit(piled(0.003, 0.04, noise_m=0.0003)) < 0.0022
    # Where the noise is as high as the sheet, it cannot be told.
    assert floor_limit(piled(0.003, 0.04, noise_m=0.002)) == 0.005


def test_slopes_are_no_sheets():
    cone = piled(0.02)
    cone[:, 4:36, 40:60] = np.linspace(0, 0.02, 32)[:, None]
    assert floor_limit(cone) == 0.005


def test_a_flat_part_counts_as_one_under_its_height_scale():
    sheets = piled(0.003, 0.04)
    old, new = height_scale(sheets), height_scale(sheets, floor_limit(sheets))
    assert old == pytest.approx(0.04) and 0.003 < FOREGROUND_SHARE * old
    assert FOREGROUND_SHARE * new < 0.002 < 0.003
    assert height_scale(piled(0.02, 0.03), floor_limit(piled(0.02, 0.03))) == pytest.approx(0.03)
