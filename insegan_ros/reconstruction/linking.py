"""How resting poses belong together: the turn and shift that take one's frame to another's, found
by laying hulls on one another from all sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from insegan_ros.geometry.rotations import all_rotations
from insegan_ros.reconstruction.clusters import Cluster
from insegan_ros.reconstruction.fields import Rules, Shape, align, costs, lattice, make_shape, tails

ROTATIONS = 3000
# Starts along the vertical of what is moved, in half sides.
LIFTS = (-0.25, 0.0, 0.25)
# (points, how many starts are kept for them, Gauss-Newton steps).
STAGES = ((40, 1200, 3), (60, 250, 5), (150, 40, 6), (400, 12, 6))
# Before this one, starts that have come to one place become one; places are apart by this share of
# the half side.
SETTLED, APART = 2, 0.08
BEAM, CANDIDATES = 3, 6
# The lowest part of a wall is taken for floor.
LOWEST_SEEN_M = 0.0015
# Of a surface's points this share may lie lower than its lowest point.
LOWEST = 0.003


@dataclass(frozen=True)
class Hypothesis:
    """Clusters laid on one another. turns (N, 3, 3) and shifts (N, 3) from the frame of the i-th to
    that of the first; shape: what all leave together; energy in m: what one of them carves off
    that another has seen, and how far above its floor the part would hang."""

    turns: Tensor
    shifts: Tensor
    shape: Shape
    energy: float


def search(
    moved: Shape, fixed: Shape, slack_m: float, unseen: float = 0.02
) -> tuple[Tensor, Tensor, Tensor]:
    """Turns (K, 3, 3), shifts (K, 3) and costs (K,) in m of the best ways to lay one shape on
    another, cheapest first."""
    return search_from(*_all_around(fixed.half_m), moved, fixed, slack_m, unseen)


def _all_around(half_m: float) -> tuple[Tensor, Tensor]:
    """Turns (K, 3, 3) and shifts (K, 3) to start with."""
    turn = torch.tensor(all_rotations(ROTATIONS)).float().repeat(len(LIFTS), 1, 1)
    lift = torch.tensor(LIFTS).repeat_interleave(ROTATIONS) * half_m
    return turn, turn[:, :, 2] * lift[:, None]


def search_from(
    turn: Tensor,
    shift: Tensor,
    moved: Shape,
    fixed: Shape,
    slack_m: float,
    unseen: float = 0.02,
    wanted: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `search`, from given turns (K, 3, 3) and shifts (K, 3), coarse to fine. wanted: which of
    turns and shifts, (K,) bool, are gone on with after the first steps."""
    for number, (points, keep, steps) in enumerate(STAGES):
        rules = Rules(points, slack_m, unseen)
        best = costs(moved, fixed, turn, shift, rules).argsort()
        if number >= SETTLED:
            best = best[_apart(moved, turn[best], shift[best])]
        if number and wanted is not None:
            chosen = wanted(turn[best], shift[best])
            best = best[chosen] if chosen.any() else best
        turn, shift = align(moved, fixed, turn[best[:keep]], shift[best[:keep]], rules, steps)
    cost = costs(moved, fixed, turn, shift, rules)
    order = cost.argsort()
    return turn[order], shift[order], cost[order]


def _apart(moved: Shape, turn: Tensor, shift: Tensor) -> Tensor:
    """The numbers of those turns (K, 3, 3) and shifts (K, 3) that lay a shape elsewhere than all
    that are better, best first: many starts end in one place."""
    placed = moved.points[:40] @ turn.transpose(1, 2) + shift[:, None]
    left = torch.ones(len(turn), dtype=torch.bool)
    kept = []
    for number in range(len(turn)):
        if left[number]:
            kept.append(number)
            left &= (placed - placed[number]).norm(dim=-1).mean(1) > APART * moved.half_m
    return torch.tensor(kept)


def link(clusters: Sequence[Cluster], slack_m: float) -> list[Hypothesis]:
    """The best ways to lay clusters on one another, best first; the first cluster's frame is that
    of all."""
    beam = [_alone(clusters[0])]
    for number in tqdm(range(1, len(clusters)), desc='link poses', unit='pose'):
        grown = []
        for one in beam:
            turns, shifts, _ = search(clusters[number].shape, one.shape, slack_m)
            for turn, shift in list(zip(turns, shifts))[:CANDIDATES]:
                grown.append(_joined(one, clusters[: number + 1], turn, shift, slack_m))
        beam = _distinct(sorted(grown, key=lambda one: one.energy))[:BEAM]
    return beam


def margin_of(
    best: Hypothesis, clusters: Sequence[Cluster], slack_m: float, same_m: float
) -> float:
    """By how much more, in m, linked clusters contradict one another if one of them lies in the
    next best way. Another way is one in which more than a fiftieth of the points differ from the
    shape by more than same_m and what a link leaves open: a way that the part's symmetry makes
    equal is none. Infinite where there is none: one pose alone, or a part round in every way."""
    least = float('inf')
    # What may hang may also slide.
    far_m = same_m + _loose_m(best.shape)
    for number in tqdm(range(1, len(clusters)), desc='other ways', unit='pose'):
        rest = [n for n in range(len(clusters)) if n != number]
        others = [clusters[n] for n in rest]
        without = joined_all(others, best.turns[rest], best.shifts[rest], slack_m)
        moved = clusters[number].shape

        def is_another(turn: Tensor, shift: Tensor, moved: Shape = moved) -> Tensor:
            return tails(moved, best.shape, turn, shift, Rules(200)) > far_m

        turns, shifts, _ = search_from(
            *_all_around(moved.half_m), moved, without.shape, slack_m, wanted=is_another
        )
        differ = is_another(turns, shifts)
        for turn, shift in list(zip(turns[differ], shifts[differ]))[:CANDIDATES]:
            other = _joined(without, [*others, clusters[number]], turn, shift, slack_m)
            least = min(least, other.energy - best.energy)
    return least


def add_rare(
    linked: Hypothesis,
    clusters: Sequence[Cluster],
    rare: Sequence[Cluster],
    slack_m: float,
    most_m: float,
) -> tuple[Hypothesis, list[Cluster]]:
    """A hypothesis with those rare poses that contradict it by less than most_m in m, and its
    clusters; two parts that touch contradict it by more."""
    kept = list(clusters)
    for one in tqdm(rare, desc='rare poses', unit='pose'):
        turns, shifts, _ = search(one.shape, linked.shape, slack_m)
        tried = [
            _joined(linked, [*kept, one], turn, shift, slack_m)
            for turn, shift in list(zip(turns, shifts))[:CANDIDATES]
        ]
        best = min(tried, key=lambda grown: grown.energy)
        if best.energy * (len(kept) + 1) - linked.energy * len(kept) < most_m:
            linked, kept = best, [*kept, one]
    return linked, kept


def _alone(cluster: Cluster) -> Hypothesis:
    """What one resting pose says."""
    return Hypothesis(torch.eye(3)[None], torch.zeros(1, 3), cluster.shape, 0.0)


def joined_all(
    clusters: Sequence[Cluster], turns: Tensor, shifts: Tensor, slack_m: float
) -> Hypothesis:
    """Clusters laid on one another by turns (N, 3, 3) and shifts (N, 3)."""
    out = _alone(clusters[0])
    for number in range(1, len(turns)):
        out = _joined(out, clusters[: number + 1], turns[number], shifts[number], slack_m)
    return out


def _joined(
    one: Hypothesis, clusters: Sequence[Cluster], turn: Tensor, shift: Tensor, slack_m: float
) -> Hypothesis:
    """A hypothesis with one more cluster, the last."""
    last, half_m = clusters[-1].shape, one.shape.half_m
    nodes = lattice(half_m)
    hull = torch.maximum(one.shape.distance, last.sample((nodes - shift) @ turn)[:, 0])
    points = torch.cat([one.shape.points, last.points @ turn.T + shift])
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    shape = make_shape(hull, points[order], half_m)
    turns = torch.cat([one.turns, turn[None]])
    shifts = torch.cat([one.shifts, shift[None]])
    return Hypothesis(turns, shifts, shape, energy(shape, clusters, turns, shifts, slack_m))


def energy(
    shape: Shape, clusters: Sequence[Cluster], turns: Tensor, shifts: Tensor, slack_m: float
) -> float:
    """How far a shape contradicts clusters, in m: the mean distance of what they have seen from it,
    and how far above their floor it would hang."""
    clip = 0.2 * shape.half_m
    body, loose_m = shape.surface(), _loose_m(shape)
    total = 0.0
    for cluster, turn, shift in zip(clusters, turns, shifts):
        seen = cluster.shape.points[:1000] @ turn.T + shift
        lost = (shape.sample(seen)[:, 0] - slack_m).clamp(0, clip).mean()
        gap = (lowest(body, turn, shift) + cluster.floor_m - slack_m - loose_m).clamp(0, clip)
        total += float(lost + 0.3 * gap)
    return total / len(clusters)


def _loose_m(shape: Shape) -> float:
    """How far a part may hang above its floor before that counts, in m: what is lower than floor
    and noise allow is not seen, and the lattice is coarse. `refine` lays it down."""
    return LOWEST_SEEN_M + 4 * shape.half_m / shape.count


def lowest(body: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """How high the lowest of a surface's points (N, 3) lies in the frame that turn (3, 3) and shift
    (3,) lead from, () in m; infinite without points."""
    heights = ((body - shift) @ turn)[:, 2]
    return torch.quantile(heights, LOWEST) if len(heights) else torch.tensor(torch.inf)


def _distinct(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Those whose shapes differ, best first."""
    kept: list[Hypothesis] = []
    for one in hypotheses:
        if all(overlap(one.shape, other.shape) < 0.96 for other in kept):
            kept.append(one)
    return kept


def overlap(first: Shape, second: Shape) -> float:
    """Intersection over union of two hulls on the same lattice."""
    a, b = first.distance <= 0, second.distance <= 0
    return float((a & b).sum() / (a | b).sum().clamp(min=1))
