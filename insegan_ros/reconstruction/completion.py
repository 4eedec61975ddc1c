"""What was never seen of a body of revolution: it is as it was seen elsewhere about its axis. A
part that is round lies on its side however it rolls, all these ways are one resting pose, and no
view shows what it lies on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from insegan_ros.geometry.rotations import spread
from insegan_ros.reconstruction.fields import CLIP, Shape, lattice, rotations
from insegan_ros.reconstruction.fusion import Placed

# Directions that are tried for the axis, how many of them are refined, and by how many tries each.
DIRECTIONS, REFINED, TRIES = 150, 4, 250
# Turns about the axis that must contradict nothing, and points that are turned.
ANGLES, POINTS = 12, 1500
# All but this share of the points may lie outside of the hull by this share of the diameter after a
# turn, beside the noise. Round parts have .7 to 1.4 %, a hexagonal nut 3 %.
STRAY, TURNED = 0.02, 0.02
# Of a point nearer than this share of the half side to seen surface the surface is known.
NEAR = 0.1
# A view is laid on the part in so many turns that there are about this many in all.
MOST_VIEWS = 96


class Axis(NamedTuple):
    """A line that the part can be turned about: direction (3,), of length 1, and a point (3,) of it
    in m, in the part's frame."""

    direction: Tensor
    point: Tensor

    def turn(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """The turns (A, 3, 3) and shifts (A, 3) of angles (A,) in radians about it."""
        turns = rotations(angles[:, None] * self.direction)
        return turns, self.point - turns @ self.point


def find_axis(model: Shape, part_m: float, noise_m: float) -> Axis | None:
    """The axis about which all that was seen can be turned without contradicting what was seen from
    elsewhere; None for a part that is not round. part_m, noise_m: size of the part, noise of the
    depth."""
    middle = lattice(model.half_m, model.count)[model.distance <= 0].mean(0)
    directions = torch.from_numpy(spread(DIRECTIONS)).float()
    first = torch.tensor([_cost(model, Axis(one, middle)) for one in directions])
    found = [_refined(model, Axis(directions[i], middle)) for i in first.argsort()[:REFINED]]
    axis = min(found, key=lambda one: _cost(model, one))
    stray = torch.quantile(_turned(model, axis, POINTS)[..., 0], 1 - STRAY)
    return axis if stray <= TURNED * part_m + noise_m else None


def turned_about(placed: Sequence[Placed], axis: Axis) -> list[Placed]:
    """The views, and each of them again in several turns about the axis."""
    copies = max(MOST_VIEWS // len(placed), 3)
    out = list(placed)
    for number, one in enumerate(placed):
        # No two views in the same turns: between them they go all around.
        between = (number + 0.5) / len(placed) - 0.5
        angles = (torch.arange(1, copies) + between) * (2 * np.pi / copies)
        for turn, shift in zip(*axis.turn(angles)):
            out.append(one._replace(turn=turn @ one.turn, shift=turn @ one.shift + shift))
    return out


def _turned(model: Shape, axis: Axis, points: int) -> Tensor:
    """What the model's fields say, (turns, points, 8), of seen points after turns about an axis."""
    turns, shifts = axis.turn(torch.arange(1, ANGLES) * (2 * np.pi / ANGLES))
    return model.sample(model.points[:points] @ turns.transpose(1, 2) + shifts[:, None])


def _cost(model: Shape, axis: Axis) -> float:
    """How far points lie from the surface that was seen, or outside of the hull where none was. The
    hull reaches deeper where nothing was seen: without the surface the axis would go there."""
    values = _turned(model, axis, 400)
    seen = values[..., 1] < NEAR * model.half_m
    off = torch.where(seen, values[..., 0].abs(), values[..., 0])
    return float(off.clamp(0, CLIP * model.half_m).mean())


def _refined(model: Shape, start: Axis) -> Axis:
    """The axis near another that contradicts least."""
    # Two directions across the axis: it is tilted and moved along both.
    across = torch.linalg.svd(start.direction[None]).Vh[1:]

    def moved(step: np.ndarray) -> Axis:
        tilt, shift = torch.from_numpy(step).float().view(2, 2) @ across
        direction = start.direction + tilt
        return Axis(direction / direction.norm(), start.point + model.half_m * shift)

    simplex = np.vstack([np.zeros(4), 0.15 * np.eye(4)])
    found = minimize(
        lambda step: _cost(model, moved(step)),
        np.zeros(4),
        method='Nelder-Mead',
        options={'initial_simplex': simplex, 'maxfev': TRIES, 'xatol': 1e-4, 'fatol': 1e-7},
    )
    return moved(found.x)
