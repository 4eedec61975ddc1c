"""What views say of space, on a lattice: how far outside the part a point lies, and how far from
what was seen. And the alignment of two such shapes, many starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter
from torch import Tensor

LATTICE = 64
# Beyond this share of the half side residuals say no more.
CLIP = 0.2


@lru_cache(maxsize=4)
def lattice(half_m: float, count: int = LATTICE) -> Tensor:
    """Points (count³, 3) of a cube about the origin; x runs fastest."""
    axis = torch.linspace(-half_m, half_m, count)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing='ij')
    return torch.stack([x, y, z], -1).reshape(-1, 3)


@dataclass(frozen=True)
class Shape:
    """A hull and what was seen of its surface.

    table (n³, 8): signed distance D to the hull (positive outside), distance U to seen points, and
    both gradients, at the nodes of a lattice of half_m. points (P, 3): seen, in random order.
    """

    table: Tensor
    half_m: float
    points: Tensor

    @property
    def count(self) -> int:
        """Nodes along an edge of the lattice."""
        return round(len(self.table) ** (1 / 3))

    @property
    def distance(self) -> Tensor:
        """D at the nodes, (n³,) in m."""
        return self.table[:, 0]

    def surface(self) -> Tensor:
        """Points (N, 3) of the hull's surface: of the outermost nodes inside it. Places outside may
        be near two hulls and yet no surface."""
        step = 2 * self.half_m / (self.count - 1)
        near = (self.distance <= 0) & (self.distance > -step)
        slopes = self.table[near, 2:5]
        return lattice(self.half_m, self.count)[near] - self.distance[near, None] * slopes

    def sample(self, points: Tensor) -> Tensor:
        """All channels at points (..., 3), (..., 8): the nearest node's, continued along its
        gradients."""
        last = self.count - 1
        step = 2 * self.half_m / last
        node = ((points + self.half_m) / step).round().clamp(0, last)
        x, y, z = node.long().unbind(-1)
        out = self.table[(z * (last + 1) + y) * (last + 1) + x]
        rest = points - (node * step - self.half_m)
        out[..., 0] += (out[..., 2:5] * rest).sum(-1)
        out[..., 1] += (out[..., 5:8] * rest).sum(-1)
        return out


def make_shape(bound: Tensor, points: Tensor, half_m: float) -> Shape:
    """A shape of a bound (n³,) in m on the lattice and seen points (P, 3)."""
    count = round(len(bound) ** (1 / 3))
    step = 2 * half_m / (count - 1)
    raw = bound.reshape(count, count, count).numpy()
    solid = raw <= 0
    if not solid.any():
        solid = raw <= raw.min()
    # The bound is exact near the surface, the Euclidean distance far from it.
    # Nodes stand half a step from the surface between them, on average.
    outside = (distance_transform_edt(~solid) - 0.5) * step
    inside = (_depths(solid) - 0.5) * step
    distance = np.where(solid, -np.minimum(-raw.clip(max=0), inside), np.minimum(raw, outside))
    unseen = distance_transform_edt(~_occupied(points, half_m, count)) * step
    both = [distance.astype(np.float32), unseen.astype(np.float32)]
    # Slopes alone are smoothed: a thin pin would be smoothed away.
    smooth = [gaussian_filter(values, 0.6) for values in both]
    slopes = [slope for values in smooth for slope in np.gradient(values, step)[::-1]]
    table = np.stack([*both, *slopes], -1).reshape(-1, 8).astype(np.float32)
    return Shape(torch.from_numpy(table), half_m, points)


def _depths(solid: np.ndarray) -> np.ndarray:
    """How deep nodes lie in a solid (n, n, n) bool, in nodes; 0 outside. What is nearest to a node
    outside the solid is never farther out than one node about it, so that is all that is looked
    at."""
    part = find_objects(solid.astype(np.uint8))[0]
    about = tuple(slice(max(one.start - 1, 0), one.stop + 1) for one in part)
    out = np.zeros(solid.shape)
    out[about] = distance_transform_edt(solid[about])
    return out


def _occupied(points: Tensor, half_m: float, count: int) -> np.ndarray:
    """The nodes (n, n, n) bool nearest to points (P, 3)."""
    nearest = ((points / half_m + 1) / 2 * (count - 1)).round().long().clamp(0, count - 1).numpy()
    out: np.ndarray = np.zeros((count,) * 3, bool)
    out[nearest[:, 2], nearest[:, 1], nearest[:, 0]] = True
    return out


@dataclass(frozen=True)
class Rules:
    """How two shapes are compared: points that are used, slack in m before a point counts as
    outside, weight of points that lie far from all that was seen, which of the six directions
    (turn, shift) are free, and whether the moved shape's points are to lie on the fixed one's
    surface, not only within it."""

    points: int = 100
    slack_m: float = 0.001
    unseen: float = 0.02
    free: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    on_surface: bool = False


UPRIGHT = (2, 3, 4)


def residuals(
    moved: Shape, fixed: Shape, turn: Tensor, shift: Tensor, rules: Rules
) -> tuple[Tensor, Tensor]:
    """Values (K, P, 8) of the moved shape's points in the fixed one, and of the fixed one's points
    in the moved, under turns (K, 3, 3) and shifts (K, 3)."""
    there = moved.points[: rules.points] @ turn.transpose(1, 2) + shift[:, None]
    back = (fixed.points[: rules.points] - shift[:, None]) @ turn
    return fixed.sample(there), moved.sample(back)


def costs(moved: Shape, fixed: Shape, turn: Tensor, shift: Tensor, rules: Rules) -> Tensor:
    """Cost (K,) in m of laying one shape on another: how far the points of each lie outside the
    other, and, by a little, how far from what was seen there."""
    total = torch.zeros(len(turn))
    clip = CLIP * fixed.half_m
    for values in residuals(moved, fixed, turn, shift, rules):
        out = (values[..., 0] - rules.slack_m).clamp(0, clip)
        total += (out + rules.unseen * values[..., 1].clamp(max=clip)).mean(1) / 2
    return total


def tails(
    moved: Shape, fixed: Shape, turn: Tensor, shift: Tensor, rules: Rules, share: float = 0.98
) -> Tensor:
    """How far outside the other all but the worst points (a share) of either shape lie at most,
    (K,) in m. Poses that differ by a latch alone differ in few points."""
    each = residuals(moved, fixed, turn, shift, rules)
    return torch.stack([torch.quantile(v[..., 0], share, dim=1) for v in each]).amax(0)


def align(
    moved: Shape, fixed: Shape, turn: Tensor, shift: Tensor, rules: Rules, steps: int
) -> tuple[Tensor, Tensor]:
    """Turns (K, 3, 3) and shifts (K, 3) after Gauss-Newton steps on absolute residuals (iterated
    weights): all starts at once."""
    free = torch.tensor(rules.free)
    clip, scale = CLIP * fixed.half_m, fixed.half_m
    for _ in range(steps):
        there = moved.points[: rules.points] @ turn.transpose(1, 2) + shift[:, None]
        seen = fixed.points[: rules.points].expand(len(turn), -1, 3)
        values = fixed.sample(there)
        own = moved.sample((seen - shift[:, None]) @ turn)
        back = turn.transpose(1, 2)
        normal = torch.zeros(len(turn), 6, 6)
        right = torch.zeros(len(turn), 6)
        for kind, weight in ((0, 1.0), (1, rules.unseen)):
            if not weight:
                continue
            slack = rules.slack_m if kind == 0 and not rules.on_surface else 0.0
            columns = slice(2 + 3 * kind, 5 + 3 * kind)
            for place, read, slope in (
                (there, values, values[..., columns]),
                (seen, own, -own[..., columns] @ back),
            ):
                low = -clip if rules.on_surface and place is there else 0.0
                rest = (read[..., kind] - slack).clamp(low, clip)
                active = (rest != 0).float() * weight / rest.abs().clamp(min=5e-4)
                active = active * (rest.abs() < clip)
                jacobian = torch.cat([torch.linalg.cross(place, slope) / scale, slope], -1)
                weighted = jacobian * active[..., None]
                normal += weighted.transpose(1, 2) @ jacobian
                right += (weighted * rest[..., None]).sum(1)
        chosen = normal[:, free][:, :, free]
        damping = 0.02 * chosen.diagonal(dim1=1, dim2=2).mean(1) + 1e-6
        chosen = chosen + damping[:, None, None] * torch.eye(len(free))
        step = torch.zeros(len(turn), 6)
        step[:, free] = -torch.linalg.solve(chosen, right[:, free, None])[..., 0]
        # No step is longer than a sixth of the half side: the fields are no straight lines.
        limit = scale / 6
        step = step * (limit / step.norm(dim=1, keepdim=True).clamp(min=limit))
        rotation = rotations(step[:, :3] / scale)
        turn, shift = rotation @ turn, (rotation @ shift[..., None])[..., 0] + step[:, 3:]
    return turn, shift


def rotations(vectors: Tensor) -> Tensor:
    """Rotation vectors (K, 3) as matrices (K, 3, 3), by Rodrigues' formula."""
    angle = vectors.norm(dim=-1).clamp(min=1e-9)[:, None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    skew = torch.stack([torch.stack(row, -1) for row in rows], -2) / angle
    return torch.eye(3) + angle.sin() * skew + (1 - angle.cos()) * (skew @ skew)
