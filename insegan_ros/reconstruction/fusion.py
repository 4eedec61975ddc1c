"""Many views, each in its pose, as one closed surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import open3d as o3d
import torch
import trimesh
from skimage.measure import marching_cubes
from torch import Tensor

from insegan_ros.errors import InputError
from insegan_ros.reconstruction.fields import Shape, lattice, make_shape
from insegan_ros.reconstruction.views import View

FINE = 112
# How deep behind a seen surface a view still says where it is, as a share of the half side.
BAND = 0.06
# Faces of the mesh at most: what is seen of a flat face needs few.
FACES = 20_000
SEEN_SAMPLE = 3000


class Placed(NamedTuple):
    """A view in the part's frame: turn (3, 3) and shift (3,) lead there from its own. pose: the
    resting pose that it shows, by number."""

    view: View
    turn: Tensor
    shift: Tensor
    pose: int


def fuse(placed: Sequence[Placed], nodes: Tensor, band_m: float) -> Tensor:
    """Signed distance (M,) in m at nodes (M, 3), cut at ±band_m: of every resting pose the median
    of the views to which a node is not hidden, of the poses the one that leaves the least."""
    out = torch.full((len(nodes),), -band_m)
    for pose in sorted({one.pose for one in placed}):
        own = [one for one in placed if one.pose == pose]
        bounds = torch.stack([one.view.bound((nodes - one.shift) @ one.turn) for one in own])
        hidden = bounds < -band_m
        # A wall is seen from one side alone, so a few views suffice; one may be laid wrongly.
        known = (~hidden).sum(0) >= max(1, round(0.15 * len(own)))
        ranked = torch.where(hidden, torch.inf, bounds).T.contiguous().sort(1).values
        middle = ((~hidden).sum(0) // 2).clamp(max=len(own) - 1)
        median = ranked.gather(1, middle[:, None])[:, 0]
        median = torch.where(known, median, -band_m).clamp(-band_m, band_m)
        out = torch.maximum(out, median)
    return out


def fused_shape(placed: Sequence[Placed], before: Shape) -> Shape:
    """What views say together, as a coarse shape to lay views on. before: it, roughly."""
    band = BAND * before.half_m
    nodes, values = lattice(before.half_m), before.distance.clone()
    near = values.abs() < 2 * band
    fused = fuse(placed, nodes[near], band)
    # Beyond the band the distance is the Euclidean one.
    values[near] = torch.where(fused.abs() < band, fused, fused.sign() * before.half_m)
    values[~near] = values[~near].sign() * before.half_m
    return make_shape(values, seen_points(placed), before.half_m)


def seen_points(placed: Sequence[Placed]) -> Tensor:
    """What all views have seen, (P, 3) in the part's frame, in random order."""
    points = torch.cat([one.view.points @ one.turn.T + one.shift for one in placed])
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    return points[order]


def surface(placed: Sequence[Placed], coarse: Shape) -> trimesh.Trimesh:
    """The closed surface of what views leave, in m in the part's frame. Raises InputError where
    nothing, or no body, is left."""
    half_m, band = coarse.half_m, BAND * coarse.half_m
    nodes = lattice(half_m, FINE)
    values = coarse.sample(nodes)[:, 0]
    near = values.abs() < band + 2 * half_m / coarse.count
    values[near] = fuse(placed, nodes[near], band)
    grid = values.reshape(FINE, FINE, FINE).numpy()
    # Beyond the lattice is air.
    grid = np.pad(grid[1:-1, 1:-1, 1:-1], 1, constant_values=band)
    if not (grid < 0).any():
        raise InputError('the views leave no body: expected views of one rigid part')
    step = 2 * half_m / (FINE - 1)
    # The one that leaves least carves a little too much where poses are not exact: what was seen
    # says by how much.
    seen = fuse(placed, seen_points(placed)[:SEEN_SAMPLE], band)
    level = float(seen.median().clamp(-0.4 * band, 0.4 * band))
    vertices, faces, _, _ = marching_cubes(grid, level, spacing=(step,) * 3)
    mesh = trimesh.Trimesh(vertices[:, ::-1] - half_m, faces)
    pieces = mesh.split(only_watertight=False)
    mesh = max(pieces, key=lambda one: abs(one.volume)) if len(pieces) else mesh
    return _smooth(mesh, step)


def _smooth(mesh: trimesh.Trimesh, step_m: float) -> trimesh.Trimesh:
    """The mesh without the lattice's ripples, with fewer faces, its normals outward."""
    heavy = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(mesh.vertices), o3d.utility.Vector3iVector(mesh.faces)
    )
    even = heavy.filter_smooth_taubin(number_of_iterations=15)
    light = even.simplify_quadric_decimation(FACES)
    for candidate in (light, even, heavy):
        candidate.orient_triangles()
        out = trimesh.Trimesh(np.asarray(candidate.vertices), np.asarray(candidate.triangles))
        out.merge_vertices()
        if out.is_watertight:
            break
    if out.volume < 0:
        out.invert()
    return out
