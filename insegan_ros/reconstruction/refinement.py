"""Every view's pose, refined against what all views say together."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from insegan_ros.reconstruction.clusters import Cluster
from insegan_ros.reconstruction.fields import Rules, Shape, align
from insegan_ros.reconstruction.fusion import Placed, fused_shape
from insegan_ros.reconstruction.linking import Hypothesis
from insegan_ros.reconstruction.views import View

ROUNDS = 3


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
    """A view laid on the model: what it sees is to lie on the surface, the model within its
    hull."""
    rules = Rules(points=300, slack_m=0.0005, unseen=0.0, on_surface=True)
    turn, shift = align(shape, model, one.turn[None], one.shift[None], rules, 5)
    return one._replace(turn=turn[0], shift=shift[0])
