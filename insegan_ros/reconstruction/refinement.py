"""Every view's pose, refined against what all views say together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from tqdm import tqdm

from insegan_ros.reconstruction.clusters import Cluster
from insegan_ros.reconstruction.fields import Rules, Shape, align
from insegan_ros.reconstruction.fusion import Placed, fused_shape
from insegan_ros.reconstruction.linking import Hypothesis, lowest
from insegan_ros.reconstruction.views import View

ROUNDS = 4


def place(views: Sequence[View], clusters: Sequence[Cluster], linked: Hypothesis) -> list[Placed]:
    """Every view of the linked clusters in the frame of the first cluster."""
    out = []
    for pose, (cluster, turn, shift) in enumerate(zip(clusters, linked.turns, linked.shifts)):
        for number, own_turn, own_shift in zip(cluster.members, cluster.turns, cluster.shifts):
            out.append(Placed(views[number], turn @ own_turn, turn @ own_shift + shift, pose))
    return out


def refine(
    placed: Sequence[Placed], shapes: Sequence[Shape], linked: Shape, rounds: int = ROUNDS
) -> tuple[list[Placed], Shape]:
    """Views with better poses, and their common shape. shapes: the hull of each view;
    linked: what they leave together so far."""
    current = list(placed)
    model = fused_shape(current, linked)
    for _ in tqdm(range(rounds), desc='refine poses', unit='round'):
        current = [_laid(one, shape, model) for one, shape in zip(current, shapes)]
        model = fused_shape(current, model)
    return current, model


def _laid(one: Placed, shape: Shape, model: Shape) -> Placed:
    """A view laid on the model: what it sees is to lie on the surface, the model within its hull
    and on its floor."""
    rules = Rules(points=300, slack_m=0.0005, unseen=0.0, on_surface=True)
    turn, shift = align(shape, model, one.turn[None], one.shift[None], rules, 5)
    lifted = _onto_floor(model, turn[0], shift[0], one.view.floor_m)
    return one._replace(turn=turn[0], shift=lifted)


def _onto_floor(model: Shape, turn: Tensor, shift: Tensor, floor_m: float) -> Tensor:
    """The shift (3,) after half of what lays the model's lowest point on a view's floor. Hulls that
    slide into one another contradict nothing, and the part comes out too thin; but it cannot hang
    in the air. Half, since the views of the other side move as well."""
    step = 2 * model.half_m / (model.count - 1)
    low = lowest(model.surface(), turn, shift)
    lift = (low + floor_m).clamp(-step, 2 * step) / 2
    return shift + turn[:, 2] * lift
