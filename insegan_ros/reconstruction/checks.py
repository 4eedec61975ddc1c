"""What cannot be told from the views is refused: a wrong mesh is worse than none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh

from insegan_ros.errors import InputError
from insegan_ros.reconstruction.clusters import Cluster
from insegan_ros.reconstruction.held_out import EXPLAINED, HeldOut
from insegan_ros.reconstruction.linking import Hypothesis
from insegan_ros.reconstruction.views import View, lowest_m

MIN_VIEWS = 20
# What lies around the parts is the floor, within this and the noise.
FLOOR_M = 0.0025
# At least this share of the views is in resting poses that were seen more than once.
CLUSTERED = 0.5
# What poses carve off that others have seen, as a share of the diameter.
CONTRADICTION = 0.01
# A second way to lay poses on one another contradicts itself more by this share of the diameter.
MARGIN = 0.0005
# Of a part that was seen in one resting pose this share may never be seen.
UNSEEN = 0.35
# A body's mean thickness as a share of its diameter.
THINNEST = 0.04


def check_views(views: Sequence[View], noise_m: float) -> None:
    """Raises InputError for too few views, or a floor that lies elsewhere."""
    if len(views) < MIN_VIEWS:
        raise InputError(
            f'{len(views)} views of parts that lie alone were found: expected at least'
            f' {MIN_VIEWS}; record the bin with one to three parts that do not touch, rearranged'
            ' for every picture, and check that the floor of --workspace is right: what is lower'
            f' than {1000 * lowest_m(noise_m):.1f} mm is taken for floor'
        )
    off = float(np.median([view.ground_m for view in views]))
    if abs(off) > FLOOR_M + noise_m:
        raise InputError(
            f'what lies around the parts reads {1000 * off:.1f} mm above the floor: expected at'
            f' most {1000 * FLOOR_M:.1f} mm; calibrate the empty bin again (`insegan calibrate`)'
        )


def check_clusters(clusters: Sequence[Cluster], views: int) -> list[Cluster]:
    """The resting poses that were seen more than once. Raises InputError where they are few."""
    often = [one for one in clusters if len(one.members) > 1]
    share = sum(len(one.members) for one in often) / views
    if share < CLUSTERED:
        raise InputError(
            f'only {100 * share:.0f} % of {views} views show a pose that another shows too:'
            f' expected {100 * CLUSTERED:.0f} %; record one kind of rigid part, more often, with'
            ' less noise or from nearer'
        )
    return often


def check_link(linked: Sequence[Hypothesis], margin_m: float, diameter_m: float) -> None:
    """Raises InputError where resting poses contradict one another, or fit in two ways."""
    energy = linked[0].energy / diameter_m
    if energy > CONTRADICTION:
        raise InputError(
            f'the resting poses contradict one another by {100 * energy:.2f} % of the diameter:'
            f' expected at most {100 * CONTRADICTION:.1f} %; record one kind of rigid part on a'
            ' floor that is calibrated, and more views of every pose'
        )
    if margin_m < MARGIN * diameter_m:
        raise InputError(
            f'the resting poses fit together in two ways that differ by {1000 * margin_m:.3f} mm:'
            f' expected {1000 * MARGIN * diameter_m:.3f} mm; record more views, also of rare poses'
        )


def check_held_out(errors: Sequence[HeldOut], diameter_m: float, noise_m: float) -> float:
    """The share of held-out views that the mesh explains. Raises InputError where it is small."""
    share = float(np.mean([one.explained(diameter_m, noise_m) for one in errors]))
    if share < EXPLAINED:
        raise InputError(
            f'the mesh explains {100 * share:.0f} % of {len(errors)} views that were held out:'
            f' expected {100 * EXPLAINED:.0f} %; record one kind of rigid part, alone on the'
            ' calibrated floor, and more views'
        )
    return share


def check_seen(unseen: float, poses: int) -> None:
    """Raises InputError for a part that was seen in one resting pose and in too little of its
    surface: it could look like anything below."""
    if poses == 1 and unseen > UNSEEN:
        raise InputError(
            f'the part always lies the same way up, and {100 * unseen:.0f} % of its surface was'
            f' never seen: expected at most {100 * UNSEEN:.0f} %; lay it on its other sides too'
        )


def check_body(mesh: trimesh.Trimesh, diameter_m: float) -> None:
    """Raises InputError for a mesh that physics cannot hold."""
    if not mesh.is_watertight or mesh.volume <= 0:
        raise InputError('the surface does not close: expected a solid part; record more views')
    thickness = 2 * mesh.volume / mesh.area
    if thickness < THINNEST * diameter_m:
        raise InputError(
            f'the part is a sheet of {1000 * thickness:.1f} mm: expected at least'
            f' {1000 * THINNEST * diameter_m:.1f} mm, which is what the depth can tell'
        )
