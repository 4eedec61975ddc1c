"""What many views leave of a part, on views whose bounds are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from insegan_ros.errors import InputError
from insegan_ros.reconstruction.fields import lattice, make_shape
from insegan_ros.reconstruction.fusion import Placed, fuse, seen_points, surface

BAND = 0.01


def placed(*values: float, pose: int = 0) -> list[Placed]:
    """Views of one resting pose, of which each bounds all nodes alike."""
    return [
        Placed(
            SimpleNamespace(bound=lambda nodes, own=one: torch.full((len(nodes),), own)),
            torch.eye(3),
            torch.zeros(3),
            pose,
        )
        for one in values
    ]


@pytest.mark.parametrize(
    'values, left',
    [
        ((0.003,), 0.003),
        # Views to which a node is hidden say nothing; of an even number the one that leaves less.
        ((0.003, -0.002, -0.5), 0.003),
        ((0.003, -0.002, 0.001, -0.5), 0.001),
        ((0.004, -0.002, 0.001, 0.002), 0.002),
        # No farther than the band either way.
        ((0.5, 0.5), BAND),
        ((-0.5, -0.5), -BAND),
        ((-0.5, -0.009), -0.009),
    ],
)
def test_of_one_resting_pose_the_middle_view_says_where_the_surface_is(values, left):
    assert fuse(placed(*values), torch.zeros(2, 3), BAND).tolist() == pytest.approx([left] * 2)


def test_one_of_many_views_may_be_laid_wrongly():
    """Of twenty views three must see a node, of ten two."""
    for count, needed in ((20, 3), (10, 2), (3, 1)):
        for seen in (needed - 1, needed):
            some = placed(*[0.002] * seen, *[-0.5] * (count - seen))
            found = float(fuse(some, torch.zeros(1, 3), BAND))
            assert found == pytest.approx(0.002 if seen >= needed else -BAND)


def test_of_several_resting_poses_the_one_that_leaves_least_counts():
    some = placed(0.001, 0.001, 0.006) + placed(-0.004, pose=3) + placed(0.002, 0.002, pose=1)
    assert float(fuse(some, torch.zeros(1, 3), BAND)) == pytest.approx(0.002)
    assert float(fuse(some[:4], torch.zeros(1, 3), BAND)) == pytest.approx(0.001)


def test_views_are_asked_in_their_own_frames_and_their_points_lie_in_the_parts():
    turn = torch.from_numpy(Rotation.from_rotvec([0.3, -0.8, 0.5]).as_matrix()).float()
    shift, own = torch.tensor([0.01, -0.02, 0.03]), torch.randn(50, 3) * 0.002
    # Outside of the view's own plane z = 1 mm.
    view = SimpleNamespace(bound=lambda nodes: nodes[:, 2] - 0.001, points=own)
    one = Placed(view, turn, shift, 0)
    nodes = own @ turn.T + shift
    assert torch.allclose(
        fuse([one], nodes, BAND), (own[:, 2] - 0.001).clamp(-BAND, BAND), atol=1e-6
    )
    found = seen_points([one, one])
    assert len(found) == 100 and not torch.allclose(found[:50], nodes)
    nearest = torch.cdist(found, nodes).amin(1)
    assert np.allclose(nearest, 0, atol=1e-4)


def test_the_surface_lies_where_the_views_leave_a_body(monkeypatch):
    """A box of 60 x 40 x 20 mm that is not in the middle, and a crumb beside it."""
    sides, middle = torch.tensor([0.03, 0.02, 0.01]), torch.tensor([0.006, -0.004, 0.003])

    monkeypatch.setattr('insegan_ros.reconstruction.fusion.FINE', 56)

    def distance(nodes: torch.Tensor) -> torch.Tensor:
        excess = (nodes - middle).abs() - sides
        box = excess.clamp(min=0).norm(dim=1) + excess.amax(1).clamp(max=0)
        return torch.minimum(box, (nodes - torch.tensor([0.0, 0.0, -0.03])).norm(dim=1) - 0.004)

    half_m = 0.05
    nodes = lattice(half_m)
    near = nodes[distance(nodes).abs() < 0.0005]
    coarse = make_shape(distance(nodes), near, half_m)
    view = SimpleNamespace(bound=distance, points=near)
    found = surface([Placed(view, torch.eye(3), torch.zeros(3), 0)] * 3, coarse)
    assert found.is_watertight and found.body_count == 1
    low, high = found.bounds
    assert low == pytest.approx((middle - sides).numpy(), abs=0.0015)
    assert high == pytest.approx((middle + sides).numpy(), abs=0.0015)
    assert found.volume == pytest.approx(0.06 * 0.04 * 0.02, rel=0.05)
    nothing = SimpleNamespace(bound=lambda some: torch.ones(len(some)), points=near)
    empty = make_shape(torch.ones(len(nodes)), near, half_m)
    with pytest.raises(InputError, match='the views leave no body'):
        surface([Placed(nothing, torch.eye(3), torch.zeros(3), 0)], empty)
