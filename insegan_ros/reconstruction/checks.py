"""What cannot be told from the views is refused: a wrong mesh is worse than none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from torch import Tensor
from tqdm import tqdm

from insegan_ros.errors import InputError
from insegan_ros.reconstruction.clusters import TURNS, Cluster
from insegan_ros.reconstruction.fields import Rules, Shape, align, rotations
from insegan_ros.reconstruction.fusion import Placed
from insegan_ros.reconstruction.linking import LOWEST_SEEN_M, Hypothesis, search, search_from
from insegan_ros.reconstruction.views import View, lowest_m
from insegan_sim.camera import Caster

MIN_VIEWS = 20
# What lies around the parts is the floor, within this and the noise.
FLOOR_M = 0.0025
# At least this share of the views is in resting poses that were seen more than once.
CLUSTERED = 0.5
# What poses carve off that others have seen, as a share of the diameter.
CONTRADICTION = 0.003
# A second way to lay poses on one another contradicts itself more by this share of the diameter.
MARGIN = 0.0005
# A rendered view agrees with the true one: overlap of the masks, depth as a share of the diameter.
SAME_MASK, SAME_DEPTH = 0.88, 0.03
# Noise of one diameter would lower the overlap by this.
NOISY_MASK = 8.0
# Of views that were held out so many are explained.
EXPLAINED = 0.8
# Of a part that was seen in one resting pose this share may never be seen.
UNSEEN = 0.35
# A body's mean thickness as a share of its diameter.
THINNEST = 0.04


@dataclass(frozen=True)
class HeldOut:
    """How well the mesh explains one view that it was not made from: overlap of the masks, and the
    depth that nine of ten pixels are within, in m. rim: the share of the mask that is its rim of
    one pixel, which no overlap tells."""

    overlap: float
    depth_m: float
    rim: float = 0.0

    def merit(self) -> float:
        """The larger, the better the mesh explains the view."""
        return self.overlap - 20 * self.depth_m

    def explained(self, diameter_m: float, noise_m: float) -> bool:
        """Whether the view is one of this mesh."""
        limit = SAME_DEPTH * diameter_m + 3 * noise_m
        # Noise frays outlines.
        overlap = min(SAME_MASK, 0.98 - self.rim) - min(NOISY_MASK * noise_m / diameter_m, 0.1)
        return self.overlap >= overlap and self.depth_m <= limit


def check_views(views: Sequence[View], noise_m: float) -> None:
    """Raises InputError for too few views, or a floor that lies elsewhere."""
    if len(views) < MIN_VIEWS:
        raise InputError(
            f'{len(views)} views of parts that lie alone were found: expected at least {MIN_VIEWS};'
            ' record the bin with one to three parts that do not touch, laid anew for every'
            ' picture, and see that the floor of --workspace is right: what is lower than'
            f' {1000 * lowest_m(noise_m):.1f} mm is taken for floor'
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


def held_out_errors(
    views: Sequence[View],
    shapes: Sequence[Shape],
    placed: Sequence[Placed],
    model: Shape,
    mesh: trimesh.Trimesh,
    diameter_m: float,
    noise_m: float,
) -> list[HeldOut]:
    """How well the mesh, in the frame of the model and of the placed views, explains views that it
    was not made from."""
    caster = Caster(mesh, mesh, keep=False)
    known = list({one.pose: one for one in placed}.values())
    found = []
    for view, shape in tqdm(list(zip(views, shapes)), desc='held-out views', unit='view'):
        # Most views show a pose that is known; all others are looked for all around.
        starts = [_turned(one, view) for one in known]
        turns, shifts = (torch.cat(some) for some in zip(*starts))
        error = _best_error(
            view, shape, model, caster, search_from(turns, shifts, shape, model, 0.001)
        )
        if not error.explained(diameter_m, noise_m):
            error = max(
                error,
                _best_error(view, shape, model, caster, search(shape, model, 0.001)),
                key=HeldOut.merit,
            )
        found.append(error)
    return found


def _turned(one: Placed, view: View) -> tuple[Tensor, Tensor]:
    """Turns (K, 3, 3) and shifts (K, 3) that lay a view as one whose place is known, turned about
    the vertical."""
    angles = torch.arange(TURNS) * (2 * np.pi / TURNS)
    about = rotations(angles[:, None] * torch.tensor([[0.0, 0.0, 1.0]]))
    lift = one.turn[:, 2] * (view.floor_m - one.view.floor_m)
    return one.turn @ about, (one.shift + lift).expand(TURNS, 3)


def _best_error(
    view: View, shape: Shape, model: Shape, caster: Caster, found: tuple[Tensor, Tensor, Tensor]
) -> HeldOut:
    """The error of the best of several ways to lay a view on the model, after they were refined."""
    rules = Rules(400, 0.0005, 0.0, on_surface=True)
    turns, shifts = align(shape, model, found[0], found[1], rules, 8)
    errors = [
        render_error(Placed(view, turn, shift, 0), caster) for turn, shift in zip(turns, shifts)
    ]
    return max(errors, key=HeldOut.merit)


def render_error(placed: Placed, caster: Caster) -> HeldOut:
    """What a rendered mesh differs by from a view in its pose."""
    view = placed.view
    part_from_view = np.eye(4)
    part_from_view[:3, :3], part_from_view[:3, 3] = placed.turn.numpy(), placed.shift.numpy()
    height, width = view.mask.shape
    left, top = view.corner
    rays = view.intrinsics.rays()[top : top + height, left : left + width]
    depth, _ = caster.cast(rays, view.camera_from_view @ np.linalg.inv(part_from_view))
    # The lowest part of a wall is taken for floor in the view, too.
    turn = view.camera_from_view[:3, :3]
    above = (rays * depth[..., None] - view.camera_from_view[:3, 3]) @ turn
    hit = np.isfinite(depth) & (above[..., 2] > float(view.points[:, 2].min()) - LOWEST_SEEN_M)
    both = hit & view.mask
    overlap = float(both.sum() / max((hit | view.mask).sum(), 1))
    off = np.abs(depth - view.depth_m)[both]
    rim = 1 - float((view.picture[0] < -1).sum() / max(view.mask.sum(), 1))
    return HeldOut(overlap, float(np.quantile(off, 0.9)) if len(off) else float('inf'), rim)


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
            f'the part always lies in one way, and {100 * unseen:.0f} % of its surface was never'
            f' seen: expected at most {100 * UNSEEN:.0f} %; lay it on its other sides too'
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
