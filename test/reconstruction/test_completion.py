import numpy as np
import pytest
import torch
from lone_parts import lone_scenes, rests, stepped_block

from insegan_ros.benchmarks.shape import compare
from insegan_ros.reconstruction.completion import Axis, find_axis, turned_about
from insegan_ros.reconstruction.fields import Shape, lattice, make_shape
from insegan_ros.reconstruction.fusion import Placed
from insegan_ros.reconstruction.pipeline import reconstruct
from insegan_ros.reconstruction.views import lone_views
from insegan_sim.parts import load_part

HALF_M, RADIUS_M, LONG_M = 0.05, 0.02, 0.03


def lying(corners: int | None) -> Shape:
    """A rod along x, round or with so many corners, seen from above only: filled down to the
    floor below it."""
    x, y, z = lattice(HALF_M).unbind(-1)
    ends = x.abs() - LONG_M
    if corners is None:
        side = torch.hypot(y, z) - RADIUS_M
    else:
        angles = (torch.arange(corners) + 0.5) * (2 * np.pi / corners)
        flat = RADIUS_M * np.cos(np.pi / corners)
        side = (y[:, None] * angles.cos() + z[:, None] * angles.sin()).amax(1) - flat
    below = torch.maximum(y.abs() - RADIUS_M, torch.maximum(z, -RADIUS_M - z))
    bound = torch.maximum(ends, torch.minimum(side, below))
    near = (bound.abs() < 0.0008) & (z > -0.004)
    points = lattice(HALF_M)[near]
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    return make_shape(bound, points[order], HALF_M)


def test_the_axis_of_what_is_round_is_found_though_its_underside_was_never_seen():
    axis = find_axis(lying(None), 0.07, 0.0)
    assert axis is not None
    assert abs(axis.direction[0]) > np.cos(np.radians(2))
    assert axis.point[1:].norm() < 0.001


def test_what_has_corners_is_not_round():
    assert find_axis(lying(6), 0.07, 0.0) is None
    assert find_axis(lying(4), 0.07, 0.0) is None


def test_views_are_laid_all_around_the_axis():
    (view,) = lone_views(lone_scenes(stepped_block(), rests((0, 0, 0)), 1), 0.0015)
    axis = Axis(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.01, 0.0, 0.0]))
    one = Placed(view, torch.eye(3), torch.zeros(3), 0)
    every = turned_about([one, one], axis)
    assert every[:2] == [one, one] and len(every) == 96
    # The axis stays where it is.
    for placed in every:
        assert torch.allclose(placed.turn @ axis.point + placed.shift, axis.point, atol=1e-6)
    angles = sorted(float(torch.atan2(p.turn[1, 0], p.turn[0, 0])) for p in every[2:])
    assert np.diff(angles).max() < 0.2 and angles[0] < -2.9 and angles[-1] > 2.9
    # Those of one view lie between those of the other, but about the views themselves.
    assert np.allclose(np.sort(np.diff(angles))[:-1], 2 * np.pi / 96, atol=1e-4)


@pytest.mark.slow
def test_a_round_part_that_lies_on_its_side_is_whole():
    part = load_part('stopper')
    scenes = lone_scenes(part, rests((90, 0, 0), (0, 0, 0)), 24)
    found = reconstruct(scenes)
    assert found.axis is not None and abs(found.axis @ found.axis - 1) < 1e-5
    values = compare(found.mesh, part)
    assert values['chamfer'] < 0.015 and values['volume IoU'] > 0.9
    # What no view has seen is still said.
    assert 0.05 < 1 - found.seen.mean()
