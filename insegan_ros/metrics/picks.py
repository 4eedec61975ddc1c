"""Whether what would be picked first was truly free."""

from __future__ import annotations

import numpy as np

from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.frame import IGNORE, Instances
from insegan_ros.picking.picks import PickConfig, Surface, rank_picks, uncovered_share
from insegan_ros.workspace import resolve_workspace

FREE = 0.95


def free_parts(scene: Scene, surface: Surface) -> np.ndarray:
    """Which of a scene's true parts (N,) are free: more than FREE of them is seen where amodal
    masks say so, else nothing stands higher along FREE of their border."""
    truth = scene.labelled()
    if truth.amodal is not None:
        return visible_fractions(truth) > FREE
    labels = truth.labels[surface.inside]
    return np.array(
        [
            bool((labels == label).any())
            and uncovered_share(labels == label, surface.height) > FREE
            for label in range(1, len(truth) + 1)
        ],
        bool,
    )


def first_pick_is_free(
    scene: Scene, found: Instances, config: PickConfig | None = None, part_area_m2: float = 0.0
) -> bool | None:
    """Whether the best pick among the instances found is of a part that is truly free; None where
    no part of the scene is, False where no pick is offered. The part is the one that most of the
    picked mask lies on."""
    surface = Surface(scene.frame, resolve_workspace(scene.workspace, scene.frame))
    free = free_parts(scene, surface)
    if not free.any():
        return None
    picks = rank_picks(surface, found, config or PickConfig(), part_area_m2)
    if not picks:
        return False
    under = scene.labelled().labels[found.labels == picks[0].label]
    under = under[(under > 0) & (under != IGNORE)]
    return bool(len(under) and free[np.bincount(under).argmax() - 1])
