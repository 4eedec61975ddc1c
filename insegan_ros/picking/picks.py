"""Which instance a robot should take first, where, and how: uncovered, high, free around it, flat
where it is held.

Everything is read from the depth itself and the instances' visible masks, so it works for any
segmenter. Where grasps were taught on the part's mesh, they are laid on the instances' poses.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import cv2
import numpy as np
from scipy.ndimage import find_objects, maximum

from insegan_ros.frame import Instances
from insegan_ros.limits import check_time
from insegan_ros.picking.holds import Holds, seen_share, uncovered_share
from insegan_ros.picking.pick import Blocked, Pick, PickConfig, Surface, load_tooling
from insegan_ros.picking.tool import NO_TOOLING, Tooling
from insegan_ros.workspace import Workspace

__all__ = [
    'BinState',
    'Blocked',
    'Pick',
    'PickConfig',
    'Surface',
    'bin_state',
    'load_tooling',
    'rank_picks',
    'uncovered_share',
]

DEFAULT = PickConfig()
# Instances tried a frame, so that clutter cannot hold a node up.
MAX_TRIED = 100
# A bin in which this share of the pixels has no reading says nothing.
MIN_READ = 0.3


class BinState(StrEnum):
    """The bin in words that a cell needs."""

    NO_READING = 'no_reading'
    EMPTY = 'empty'
    PICKABLE = 'pickable'
    OCCUPIED_NOT_PICKABLE = 'occupied_not_pickable'
    OVERFILLED = 'overfilled'


def rank_picks(
    surface: Surface,
    instances: Instances,
    config: PickConfig = DEFAULT,
    part_area_m2: float = 0.0,
    tooling: Tooling = NO_TOOLING,
) -> list[Pick]:
    """All instances' best picks, the best first; impossible ones last. Of more than MAX_TRIED
    instances those that stand highest.

    part_area_m2: what one whole part covers; a mask that is much larger is suspected of two. 0
    compares with the median of the masks. tooling: the gripper's body, and grasps for the
    instances' poses; one that was not registered has no pick then. Raises InputError where there
    are grasps but no poses.
    """
    holds = Holds(surface, instances.labels[surface.inside], config, tooling)
    poses = instances.require_poses() if tooling.grasps else np.empty((0, 4, 4))
    known = instances.in_mesh_frame if tooling.grasps else np.ones(len(instances), bool)
    areas = holds.areas(len(instances))
    usual = part_area_m2 or float(np.median(areas[areas > 0])) if (areas > 0).any() else 0.0
    highest = max(float(surface.height[holds.labels > 0].max(initial=0)), 1e-6)
    picks = []
    boxes = find_objects(holds.labels, len(instances))
    for label in _tried(holds, len(instances)):
        check_time()
        box = boxes[label - 1] if known[label - 1] else None
        pose = poses[label - 1] if tooling.grasps else None
        found = holds.hold(label, box, seen_share(instances, label), pose) if box else None
        if found is None:
            continue
        two = found.double or bool(usual and areas[label - 1] > 1.6 * usual)
        pick = replace(found, double=two)
        if two and config.doubles == 'never':
            pick = replace(pick, possible=False, blocked=pick.blocked or Blocked.TWO_PARTS)
        # That nothing lies on it comes first, then that it is held well, then height: what lies
        # high hides the rest.
        behind = pick.double and config.doubles != 'any'
        score = pick.uncovered**4 * (1.0 if pick.possible else 0.1) * (0.5 if behind else 1.0)
        score *= (
            (0.6 + 0.4 * pick.height_m / highest)
            * (0.7 + 0.3 * min(max(pick.clearance_m, 0) / 0.02, 1))
            * (0.8 + 0.2 * float(instances.scores[label - 1]))
        )
        picks.append(replace(pick, score=float(score)))
    return sorted(picks, key=lambda pick: _rank(pick, surface.workspace, config))


def _rank(pick: Pick, workspace: Workspace, config: PickConfig) -> tuple[bool, bool, float]:
    """What picks are sorted by, the best first."""
    if config.order == 'score':
        return not pick.possible, False, -pick.score
    behind = pick.double and config.doubles != 'any'
    if config.order == 'highest':
        return not pick.possible, behind, -pick.height_m
    x_min, y_min, x_max, y_max = workspace.bounds or (0.0,) * 4
    away = workspace.on_floor(pick.pose[:3, 3]) - ((x_min + x_max) / 2, (y_min + y_max) / 2)
    return not pick.possible, behind, float(np.linalg.norm(away))


def _tried(holds: Holds, count: int) -> list[int]:
    """The labels of those of `count` instances that are looked at, in order."""
    labels = np.arange(1, count + 1)
    if count > MAX_TRIED:
        tops = maximum(holds.height, holds.labels, labels)
        labels = np.sort(labels[np.argsort(-tops, kind='stable')[:MAX_TRIED]])
    return labels.tolist()


def bin_state(
    surface: Surface,
    picks: list[Pick],
    config: PickConfig = DEFAULT,
    min_height_m: float = 0.005,
    overfilled: bool = False,
) -> BinState:
    """The bin in one word. Empty is a bin in which next to nothing stands min_height_m above the
    floor. overfilled: whether it is known to be, besides what the configuration says of it."""
    if surface.read[surface.floor].mean() < MIN_READ:
        return BinState.NO_READING
    if overfilled or (
        config.full_height_m
        and np.quantile(surface.height[surface.floor], 0.999) > config.full_height_m
    ):
        return BinState.OVERFILLED
    if any(pick.possible for pick in picks):
        return BinState.PICKABLE
    pixel_m2 = surface.workspace.floor_distance_m**2 / (surface.fx * surface.fy)
    # Two square centimetres: less is dust, or the camera's noise.
    occupied = (
        cv2.erode(surface.height, np.ones((3, 3), np.uint8)) > min_height_m
    ).sum() * pixel_m2 > 2e-4
    return BinState.OCCUPIED_NOT_PICKABLE if occupied or picks else BinState.EMPTY
