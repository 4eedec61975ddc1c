"""Height maps of any camera."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from box_scenes import CAMERA, FLOOR

from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame
from insegan_ros.heights import (
    FOREGROUND_SHARE,
    HEADROOM,
    above_floor,
    floor_limit,
    height_scale,
    height_shares,
    pixel_size_m,
    resize_height,
    signed,
    square_height_map,
    unsigned,
)
from insegan_ros.workspace import TRAINING_MARGIN, Workspace


def test_the_three_scales_of_a_height():
    shares = height_shares(np.array([-0.01, 0.0, 0.05, 0.1, 0.2]), 0.1)
    assert shares == pytest.approx([0, 0, 0.5, 1, HEADROOM])
    assert signed(shares) == pytest.approx([-1, -1, 0, 1, 2 * HEADROOM - 1])
    assert unsigned(signed(shares)) == pytest.approx(shares) and unsigned(-1.0) == 0
    heights = torch.tensor([[-1.0, signed(FOREGROUND_SHARE), signed(FOREGROUND_SHARE) + 1e-3]])
    assert above_floor(heights).tolist() == [[False, False, True]]


def test_a_pixel_is_as_large_as_its_share_of_the_floor():
    assert pixel_size_m(FLOOR, CAMERA) == pytest.approx(0.5 / 200)
    tilted = Workspace((0.0, -0.6, -0.8, 0.4))
    assert pixel_size_m(tilted, CAMERA) == pytest.approx(0.5 / 200), 'on the optical axis'


@pytest.mark.parametrize('scale, shape', [(0.25, (3, 5)), (1.5, (18, 30)), (0.01, (1, 1))])
def test_the_mean_height_is_kept_when_a_map_shrinks(scale, shape):
    height = np.zeros((12, 20), np.float32)
    height[:, 1::4] = 0.04
    small = resize_height(height, scale)
    assert small.shape == shape
    if scale < 1:
        assert small == pytest.approx(0.01)
    else:
        # Between two pixels it is between their heights.
        assert np.isin(small.round(4), height).mean() < 0.7


@pytest.mark.parametrize('tall', [False, True])
@pytest.mark.parametrize('size', [17, 120])
def test_a_bin_that_is_not_square_lies_whole_in_the_square(tall, size):
    bounds = (-0.03, -0.1, 0.02, 0.1) if tall else (-0.1, -0.03, 0.1, 0.02)
    workspace = Workspace(FLOOR.floor, bounds)
    left, top, right, bottom = workspace.window(CAMERA, TRAINING_MARGIN)
    side = max(right - left, bottom - top)
    assert min(right - left, bottom - top) < 0.5 * side
    depth = np.full((120, 160), 0.5, np.float32)
    # Every fifth column stands, in the lower or right half alone.
    depth[60:, 80::5] = 0.47
    small, pixel_m = square_height_map(Frame(depth, CAMERA), workspace, size)
    assert pixel_m == pytest.approx(side / size * 0.5 / 200) and small.shape == (size, size)
    heights = workspace.height_map(Frame(depth, CAMERA))
    assert small.sum() * (side / size) ** 2 == pytest.approx(heights.sum(), rel=0.03)
    zoom = size / side
    middle_x, middle_y = (
        (small.sum(axis) * (np.arange(size) + 0.5)).sum() / small.sum() for axis in (0, 1)
    )
    rows, columns = np.nonzero(heights)
    assert middle_x == pytest.approx((columns.mean() - left + 0.5) * zoom, abs=0.3)
    assert middle_y == pytest.approx((rows.mean() - top + 0.5) * zoom, abs=0.3)
    if size > side:
        assert ((small > 0) & (small < 0.029)).sum() > 0.5 * (small > 0).sum(), 'between two'


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


def test_the_share_of_what_is_flat_decides():
    maps = piled(0.02)
    maps[0, 40:50, 0:25] = 0.003
    flat = 250 / (250 + 8 * 256)
    assert floor_limit(maps, share=flat - 1e-3) == pytest.approx(0.0018)
    assert floor_limit(maps, share=flat + 1e-3) == 0.005
    # Of sheets of several heights the most frequent one, and the middle of it.
    maps[0, 40:50, 0:15] += np.linspace(0, 0.0008, 15)
    middle = np.median(maps[(maps > 0) & (maps < 0.005)])
    assert floor_limit(maps) == pytest.approx(0.6 * middle, rel=0.01)


def test_a_bin_without_parts_has_no_height_scale():
    heights = np.zeros((2, 30, 30))
    heights[0, :3, :33], heights[0, 3, :10] = 0.03, 0.03
    assert (heights > 0).sum() == 100 and height_scale(heights) == pytest.approx(0.03)
    heights[0, 0, 0] = 0.005
    with pytest.raises(DatasetError, match='nothing in the data stands 5 mm or more'):
        height_scale(heights)


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
