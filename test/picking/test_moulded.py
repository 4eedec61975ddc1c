"""Round corners, a round foot and walls that lean, told from upright boards and from what lies in a
bin."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from tilted_bins import BIN, MOULDED, cylinders_at, tilted_camera

from insegan_ros.frame import Frame
from insegan_ros.picking.moulded import fit_moulding, rounded_rectangle, without_corners
from insegan_ros.workspace import Workspace
from insegan_sim.container import Container

TOPS = np.full(4, 0.08)


def rectangle(radius: int) -> np.ndarray:
    """A mask of rows 20 to 219 and columns 30 to 329 with round corners."""
    mask = np.zeros((240, 360), np.uint8)
    for row, column in ((20, 30), (20, 329), (219, 30), (219, 329)):
        down, across = (radius if side < 100 else -radius for side in (row, column))
        cv2.circle(mask, (column + across, row + down), radius, 1, -1)
    mask[20 + radius : 220 - radius, 30:330] = 1
    mask[20:220, 30 + radius : 330 - radius] = 1
    return mask > 0


def test_a_floor_with_round_corners_is_its_whole_rectangle():
    found = rounded_rectangle(rectangle(30))
    assert found is not None and found[:2] == ((20, 220), (30, 330))
    assert found[2] == pytest.approx(30, abs=3)
    # The near rim hides two corners, and what is left of them is straight.
    cut = rectangle(30)
    cut[185:] = False
    found = rounded_rectangle(cut)
    assert found is not None and found[:2] == ((20, 185), (30, 330))
    assert found[2] == pytest.approx(30, abs=3)


def test_sharp_corners_and_what_lies_in_one_are_no_round_corners():
    assert rounded_rectangle(rectangle(0)) is None
    one = rectangle(0)
    one[20:60, 30:80] = False
    assert rounded_rectangle(one) is None
    other = rectangle(20)
    other[150:, 200:] = False
    assert rounded_rectangle(other) is None
    assert rounded_rectangle(np.zeros((50, 50), bool) | (np.eye(50) > 0)) is None


def test_corners_are_left_out_of_heights():
    heights = without_corners(np.ones((100, 150)), 20.0)
    assert np.isnan(heights).sum() == pytest.approx((4 - np.pi) * 20**2, rel=0.1)
    assert np.isnan(heights[[0, 0, -1, -1], [0, -1, 0, -1]]).all()
    assert np.isfinite(heights[50]).all() and np.isfinite(heights[:, 75]).all()


def walls_of(container: Container, tilt: tuple[float, float, float]) -> tuple[Frame, Workspace]:
    """A picture of an empty bin, and its walls by upright planes a millimetre off."""
    scene = cylinders_at(tilted_camera(tilt, container=container), sensor='d435')
    found = scene.require_workspace()
    x_min, y_min, x_max, y_max = found.require_bounds()
    bounds = x_min - 0.004, y_min - 0.002, x_max + 0.002, y_max + 0.004
    return scene.frame, Workspace(found.floor, bounds, found.bounds_turn_deg)


def test_the_shape_of_walls_is_fitted_and_upright_ones_stay_as_they_are():
    found = fit_moulding(*walls_of(MOULDED, (5.0, 3.0, 0.0)), TOPS)
    fitted = found.corner_radius_m, found.foot_radius_m, found.wall_slope_deg
    assert np.allclose(fitted, MOULDED.rounding, atol=(0.003, 0.002, 0.5))
    widths = np.array(found.require_bounds())[2:] - np.array(found.require_bounds())[:2]
    assert np.allclose(widths, (0.24, 0.18), atol=0.001)
    frame, upright = walls_of(BIN, (5.0, 3.0, 0.0))
    assert fit_moulding(frame, upright, TOPS) is upright
    # What is no shape of walls at all, or hardly seen, is not made one.
    rubble = np.random.default_rng(0).uniform(0.4, 0.5, frame.depth_m.shape).astype(np.float32)
    assert fit_moulding(replace(frame, depth_m=rubble), upright, TOPS) is upright
    nothing = np.full_like(rubble, np.nan)
    assert fit_moulding(replace(frame, depth_m=nothing), upright, TOPS) is upright
