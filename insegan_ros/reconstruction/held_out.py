"""Views that the mesh was not made from: how well it explains them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
import trimesh
from torch import Tensor
from tqdm import tqdm

from insegan_ros.reconstruction.clusters import TURNS
from insegan_ros.reconstruction.fields import Rules, Shape, align, rotations
from insegan_ros.reconstruction.fusion import Placed
from insegan_ros.reconstruction.linking import LOWEST_SEEN_M, search, search_from
from insegan_ros.reconstruction.views import View
from insegan_sim.camera import Caster

# A rendered view agrees with the true one: overlap of the masks, depth as a share of the diameter.
SAME_MASK, SAME_DEPTH = 0.88, 0.03
# It stands on the view's floor within this share of the diameter.
ON_FLOOR = 0.02
# Of views that were held out so many are explained.
EXPLAINED = 0.8
# Rendered depth that changes by this share of the part's extent from pixel to pixel is an edge: a
# camera reads anything there.
EDGE = 0.05
# Noise of one diameter would lower the overlap by this.
NOISY_MASK = 8.0


@dataclass(frozen=True)
class HeldOut:
    """How well the mesh explains one view that it was not made from: overlap of the masks, and the
    depth that nine of ten pixels off the edges are within, in m. rim: the share of the mask that is
    its rim of one pixel, which no overlap tells. gap_m: how high above the view's floor the mesh
    would hang, negative where it would reach below: a mesh that is too thin or too thick can be
    laid on what is seen of a view, but not on its floor at the same time."""

    overlap: float
    depth_m: float
    rim: float = 0.0
    gap_m: float = 0.0

    def merit(self) -> float:
        """The larger, the better the mesh explains the view."""
        return self.overlap - 20 * self.depth_m

    def explained(self, diameter_m: float, noise_m: float) -> bool:
        """Whether the view is one of this mesh."""
        limit = SAME_DEPTH * diameter_m + 3 * noise_m
        # Noise frays outlines.
        overlap = min(SAME_MASK, 0.98 - self.rim) - min(NOISY_MASK * noise_m / diameter_m, 0.1)
        stands = abs(self.gap_m) <= ON_FLOOR * diameter_m + LOWEST_SEEN_M + noise_m
        return self.overlap >= overlap and self.depth_m <= limit and stands


class Rendered(NamedTuple):
    """The mesh, ready for rays, and the corners (N, 3) of its hull, on which it can stand."""

    caster: Caster
    corners: np.ndarray


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
    rendered = Rendered(Caster(mesh, mesh, keep=False), np.asarray(mesh.convex_hull.vertices))
    known = list({one.pose: one for one in placed}.values())
    found = list[HeldOut]()
    for view, shape in tqdm(list(zip(views, shapes)), desc='held-out views', unit='view'):
        # Most views show a pose that is known; all others are looked for all around.
        starts = [_turned(one, view) for one in known]
        turns, shifts = (torch.cat(some) for some in zip(*starts))
        error = _best_error(
            view, shape, model, rendered, search_from(turns, shifts, shape, model, 0.001)
        )
        failed = sum(not one.explained(diameter_m, noise_m) for one in found)
        # Where enough have failed already nothing is to be gained.
        if not error.explained(diameter_m, noise_m) and failed <= (1 - EXPLAINED) * len(views):
            error = max(
                error,
                _best_error(view, shape, model, rendered, search(shape, model, 0.001)),
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
    view: View, shape: Shape, model: Shape, rendered: Rendered, found: tuple[Tensor, Tensor, Tensor]
) -> HeldOut:
    """The error of the best of several ways to lay a view on the model, after they were refined."""
    rules = Rules(400, 0.0005, 0.0, on_surface=True)
    turns, shifts = align(shape, model, found[0], found[1], rules, 8)
    errors = [
        render_error(Placed(view, turn, shift, 0), rendered) for turn, shift in zip(turns, shifts)
    ]
    return max(errors, key=HeldOut.merit)


def render_error(placed: Placed, rendered: Rendered) -> HeldOut:
    """What a rendered mesh differs by from a view in its pose."""
    view = placed.view
    part_from_view = np.eye(4)
    part_from_view[:3, :3], part_from_view[:3, 3] = placed.turn.numpy(), placed.shift.numpy()
    height, width = view.mask.shape
    left, top = view.corner
    rays = view.intrinsics.rays()[top : top + height, left : left + width]
    depth, _ = rendered.caster.cast(rays, view.camera_from_view @ np.linalg.inv(part_from_view))
    # The lowest part of a wall is taken for floor in the view, too.
    turn = view.camera_from_view[:3, :3]
    above = (rays * depth[..., None] - view.camera_from_view[:3, 3]) @ turn
    hit = np.isfinite(depth) & (above[..., 2] > float(view.points[:, 2].min()) - LOWEST_SEEN_M)
    both = hit & view.mask
    overlap = float(both.sum() / max((hit | view.mask).sum(), 1))
    clear = both & _off_edges(np.where(hit, depth, 0), EDGE * np.ptp(rendered.corners, 0).max())
    off = np.abs(depth - view.depth_m)[clear if clear.any() else both]
    rim = 1 - float((view.picture[0] < -1).sum() / max(view.mask.sum(), 1))
    depth_m = float(np.quantile(off, 0.9)) if len(off) else float('inf')
    low = ((rendered.corners - placed.shift.numpy()) @ placed.turn.numpy())[:, 2].min()
    return HeldOut(overlap, depth_m, rim, float(low) + view.floor_m)


def _off_edges(depth: np.ndarray, step_m: float) -> np.ndarray:
    """Where depth (h, w) in m differs from no neighbour's by more than a step, (h, w) bool."""
    around: np.ndarray = np.ones((3, 3), np.uint8)
    up, down = cv2.dilate(depth, around) - depth, depth - cv2.erode(depth, around)
    return np.maximum(up, down) < step_m
