"""Views of one resting pose: they differ by a shift on the floor and a turn about the vertical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from insegan_ros.reconstruction.fields import (
    UPRIGHT,
    Rules,
    Shape,
    align,
    costs,
    lattice,
    make_shape,
    rotations,
    tails,
)
from insegan_ros.reconstruction.views import View

TURNS = 24
# Poses are one if all but a fiftieth of their points agree within this share of the diameter.
# Splitting a pose costs time, merging two ruins the mesh.
SAME_POSE = 0.015
# Heights of one pose differ by no more than this share of the diameter, and the noise.
SAME_HEIGHT = 0.03


@dataclass(frozen=True)
class Cluster:
    """Views of one resting pose. members: their numbers; turns (N, 3, 3) and shifts (N, 3) from
    each one's frame to the first one's, in which `shape` is; floor_m as in a view."""

    members: tuple[int, ...]
    turns: Tensor
    shifts: Tensor
    shape: Shape
    floor_m: float


def find_clusters(
    views: Sequence[View], shapes: Sequence[Shape], diameter_m: float, noise_m: float
) -> list[Cluster]:
    """Resting poses, largest first; a view that is like no other is a cluster by itself."""
    left = set(range(len(views)))
    heights = np.array([2 * view.floor_m for view in views])
    near = SAME_HEIGHT * diameter_m + 2 * noise_m
    limit = SAME_POSE * diameter_m + 2 * noise_m
    found = []
    with tqdm(total=len(views), desc='resting poses', unit='view') as progress:
        while left:
            rivals = sorted(left)
            alike = np.abs(heights[rivals][:, None] - heights[rivals][None]) < near
            first = rivals[int(alike.sum(1).argmax())]
            members = [(first, torch.eye(3), torch.zeros(3))]
            for other in rivals:
                if other != first and abs(heights[other] - heights[first]) < near:
                    turn, shift, tail = lay_upright(
                        shapes[other], shapes[first], views[other].floor_m - views[first].floor_m
                    )
                    if tail < limit:
                        members.append((other, turn, shift))
            left -= {member for member, _, _ in members}
            progress.update(len(members))
            numbers, turns, shifts = zip(*members)
            found.append(
                cluster_of(views, shapes, numbers, torch.stack(turns), torch.stack(shifts))
            )
    return sorted(found, key=lambda one: -len(one.members))


def lay_upright(moved: Shape, fixed: Shape, lift_m: float) -> tuple[Tensor, Tensor, float]:
    """The best turn (3, 3) and shift (3,) that lay one view on another with their floors on one
    level, and by how much all but a fiftieth of the points then agree."""
    angles = torch.arange(TURNS) * (2 * np.pi / TURNS)
    turn = rotations(angles[:, None] * torch.tensor([[0.0, 0.0, 1.0]]))
    shift = torch.zeros(TURNS, 3)
    shift[:, 2] = lift_m
    for points, keep, steps in ((60, TURNS, 4), (250, 4, 6)):
        rules = Rules(points, unseen=0.3, free=UPRIGHT)
        best = costs(moved, fixed, turn, shift, rules).argsort()[:keep]
        turn, shift = align(moved, fixed, turn[best], shift[best], rules, steps)
    rules = Rules(500, unseen=0.02)
    tail = tails(moved, fixed, turn, shift, rules)
    best_one = int(tail.argmin())
    return turn[best_one], shift[best_one], float(tail[best_one])


def cluster_of(
    views: Sequence[View],
    shapes: Sequence[Shape],
    members: tuple[int, ...],
    turns: Tensor,
    shifts: Tensor,
) -> Cluster:
    """A resting pose of those views, by number, that turns (N, 3, 3) and shifts (N, 3) lay on the
    first of them."""
    shape = joint_shape([views[n] for n in members], turns, shifts, shapes[members[0]].half_m)
    return Cluster(members, turns, shifts, shape, views[members[0]].floor_m)


def joint_shape(
    views: Sequence[View], turns: Tensor, shifts: Tensor, half_m: float, share: float = 0.85
) -> Shape:
    """The hull that views leave together, in the frame to which turns (N, 3, 3) and shifts (N, 3)
    lead: of their bounds, the quantile `share`."""
    nodes = lattice(half_m)
    bounds = torch.stack([view.bound((nodes - s) @ t) for view, t, s in zip(views, turns, shifts)])
    points = torch.cat([view.points @ t.T + s for view, t, s in zip(views, turns, shifts)])
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    rank = max(1, round(share * len(views)))
    kept = bounds.T.contiguous().kthvalue(rank, dim=1).values
    return make_shape(kept, points[order], half_m)
