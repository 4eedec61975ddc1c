import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from insegan_ros.reconstruction.fields import (
    Rules,
    Shape,
    _depths,
    align,
    costs,
    lattice,
    make_shape,
    rotations,
    tails,
)

HALF = 0.05
SIDES = torch.tensor([0.03, 0.02, 0.01])


def box() -> Shape:
    """A box of 60 x 40 x 20 mm, its surface seen all around."""
    excess = lattice(HALF).abs() - SIDES
    bound = excess.clamp(min=0).norm(dim=1) + excess.amax(1).clamp(max=0)
    points = (torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1) * SIDES
    face = torch.arange(2000) % 3
    points[torch.arange(2000), face] = points[torch.arange(2000), face].sign() * SIDES[face]
    return make_shape(bound, points, HALF)


def test_a_shape_tells_distance_and_slope():
    values = box().sample(torch.tensor([[0.04, 0.0, 0.0], [0.0, 0.0, 0.005], [0.0, 0.0, 0.07]]))
    assert np.allclose(values[:2, 0], [0.01, -0.005], atol=0.002)
    assert 0.05 < values[2, 0] < 0.065, 'it goes on beyond the lattice'
    assert np.allclose(values[0, 2:5], [1, 0, 0], atol=0.1)
    assert abs(float(values[0, 1]) - 0.01) < 0.003


def test_depths_are_those_of_the_whole_lattice_to_the_bit():
    within, at_the_edge = np.zeros((2, 20, 20, 20), bool)
    within[5:9, 3:16, 8:12], within[7, 7, 9] = True, False
    at_the_edge[:6, 4:, 2:18], at_the_edge[12, 2, 2] = True, True
    for solid in (within, at_the_edge, ~within):
        assert np.array_equal(_depths(solid), distance_transform_edt(solid))


def test_rotation_vectors_become_matrices():
    vectors = torch.tensor([[0.3, -0.2, 0.5], [0.0, 0.0, 0.0]])
    assert np.allclose(
        rotations(vectors), Rotation.from_rotvec(vectors.numpy()).as_matrix(), atol=1e-6
    )


def test_a_moved_shape_is_laid_back():
    shape = box()
    turn = rotations(torch.tensor([[0.2, -0.1, 0.15]]))
    shift = torch.tensor([[0.004, -0.003, 0.002]])
    rules = Rules(points=400, slack_m=0.0005)
    found, moved = align(shape, shape, turn, shift, rules, 12)
    angle = torch.rad2deg(torch.arccos(((found[0].trace() - 1) / 2).clamp(-1, 1)))
    assert angle < 3 and moved.norm() < 0.0015
    assert costs(shape, shape, found, moved, rules)[0] < costs(shape, shape, turn, shift, rules)[0]


def test_only_free_directions_move():
    turn, shift = torch.eye(3)[None], torch.tensor([[0.004, 0.0, 0.006]])
    found, moved = align(box(), box(), turn, shift, Rules(400, free=(2, 3, 4)), 8)
    assert moved[0, 2] == shift[0, 2] and torch.allclose(found[0, 2], torch.tensor([0.0, 0.0, 1.0]))


def test_tails_see_what_few_points_say():
    shape = box()
    spoilt = Shape(shape.table, HALF, shape.points.clone())
    spoilt.points[:60] += torch.tensor([0.0, 0.0, 0.02])
    rules, still = Rules(1000), (torch.eye(3)[None], torch.zeros(1, 3))
    assert tails(shape, shape, *still, rules)[0] < 0.002
    assert tails(spoilt, shape, *still, rules)[0] > 0.008
    assert costs(spoilt, shape, *still, rules)[0] < 0.001
