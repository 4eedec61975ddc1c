"""From a recording to the part's mesh, step by step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree
from tqdm import tqdm

from insegan_ros.data.scene import Scene
from insegan_ros.reconstruction.checks import (
    check_body,
    check_clusters,
    check_held_out,
    check_link,
    check_seen,
    check_views,
)
from insegan_ros.reconstruction.clusters import Cluster, find_clusters
from insegan_ros.reconstruction.completion import find_axis, turned_about
from insegan_ros.reconstruction.fields import Shape, lattice, make_shape
from insegan_ros.reconstruction.fusion import Placed, fused_shape, seen_points, surface
from insegan_ros.reconstruction.held_out import HeldOut, held_out_errors
from insegan_ros.reconstruction.linking import Hypothesis, add_rare, link, margin_of
from insegan_ros.reconstruction.refinement import place, refine
from insegan_ros.reconstruction.stages import (
    Stages,
    pack_clusters,
    pack_linked,
    pack_views,
    unpack_clusters,
    unpack_linked,
    unpack_views,
)
from insegan_ros.reconstruction.views import View, depth_noise, lone_views, lowest_m

# A point of the mesh is seen if a view has a point within this share of the diameter.
SEEN = 0.03
MOST_POSES = 7
# Two shapes are one if all but a fiftieth of their points agree within this share of the diameter.
SAME_SHAPE = 0.03
HELD_OUT = 8
# A pose that was seen once counts where depth has less noise than this, and where it contradicts
# the others by less than this share of the size.
QUIET_M, RARE, MOST_RARE = 0.0003, 0.003, 5
# Views that are larger than this, in sizes of the part, show more than one.
LARGE = 1.15


@dataclass(frozen=True)
class Reconstruction:
    """A part's mesh, in m about its centre of mass, and how it came about.

    seen (V,) bool: which vertices some view has seen. placed: the views that made it, in the
    mesh's frame. poses: how many views each resting pose has. energy_m, margin_m: how far the
    poses contradict one another, and how much more in the next best way. errors: of views that
    were held out. axis: the direction (3,) of the line that the part is round about, None where it
    is not: what was never seen of a round part is what was seen elsewhere about its axis.
    """

    mesh: trimesh.Trimesh
    seen: np.ndarray
    placed: tuple[Placed, ...]
    poses: tuple[int, ...]
    diameter_m: float
    noise_m: float
    energy_m: float
    margin_m: float
    errors: tuple[HeldOut, ...]
    explained: float
    seconds: float
    axis: np.ndarray | None = None


def reconstruct(
    scenes: Iterable[Scene], views: int = 40, seed: int = 0, stages: Stages | None = None
) -> Reconstruction:
    """The mesh of the part that scenes show alone, of `views` views at most. stages: where what was
    found so far is kept; scenes are read only where the views are not among it. Raises InputError
    with the reason where it cannot be told, DatasetError where the floor is not known or the stages
    are of another reconstruction."""
    begun = time.monotonic()
    kept = stages or Stages(None, {})
    found, noise_m = kept.keep('views', lambda: find_views(scenes, views), pack_views, unpack_views)
    check_views(found, noise_m)
    held, used = _held_out(found, seed)
    sizes = Sizes.of(used, noise_m)
    shapes = sizes.shapes(used)
    linked, clusters = _linked(kept, used, shapes, sizes)
    placed = place(used, clusters, linked.final)
    own = [shapes[number] for cluster in clusters for number in cluster.members]
    placed, model = refine(placed, own, linked.final.shape)
    axis = find_axis(model, sizes.part_m, noise_m)
    known = turned_about(placed, axis) if axis else placed
    model = fused_shape(known, model) if axis else model
    mesh = surface(known, model)
    check_body(mesh, sizes.part_m)
    judges = [view for view in held if view.size_m < LARGE * sizes.part_m]
    errors = held_out_errors(
        judges, sizes.shapes(judges), placed, model, mesh, sizes.part_m, noise_m
    )
    explained = check_held_out(errors, sizes.part_m, noise_m)
    seen = _seen(mesh, placed, sizes)
    told = _seen(mesh, known, sizes) if axis else seen
    check_seen(unseen_share(mesh, told), len(clusters))
    middle = mesh.center_mass
    mesh.apply_translation(-middle)
    moved = torch.from_numpy(np.asarray(middle)).float()
    return Reconstruction(
        mesh,
        seen,
        tuple(one._replace(shift=one.shift - moved) for one in placed),
        tuple(len(one.members) for one in clusters),
        float(2 * np.linalg.norm(mesh.vertices, axis=1).max()),
        noise_m,
        linked.energy_m,
        linked.margin_m,
        tuple(errors),
        explained,
        time.monotonic() - begun,
        axis.direction.numpy() if axis else None,
    )


def unseen_share(mesh: trimesh.Trimesh, seen: np.ndarray) -> float:
    """The share of the surface of a mesh whose vertices were seen, (V,) bool, or not."""
    return float(mesh.area_faces[~seen[mesh.faces].all(1)].sum() / mesh.area)


def _seen(mesh: trimesh.Trimesh, placed: Sequence[Placed], sizes: Sizes) -> np.ndarray:
    """Which vertices some view has seen, (V,) bool."""
    near = cKDTree(seen_points(placed).numpy()).query(mesh.vertices, workers=1)[0]
    return np.asarray(near < SEEN * sizes.part_m + sizes.noise_m)


class Sizes(NamedTuple):
    """Lengths in m that everything is measured by. part_m: how large the part is; noise_m: of the
    depth."""

    part_m: float
    noise_m: float

    @classmethod
    def of(cls, views: Sequence[View], noise_m: float) -> Sizes:
        """By the views of the part."""
        return cls(float(np.quantile([view.size_m for view in views], 0.9)), noise_m)

    @property
    def slack_m(self) -> float:
        """So much may views contradict one another."""
        return 0.001 + self.noise_m

    def shapes(self, views: Sequence[View]) -> list[Shape]:
        """What each view says of space, on one lattice around the part."""
        half_m = 0.65 * self.part_m
        nodes = lattice(half_m)
        return [make_shape(view.bound(nodes), view.points, half_m) for view in views]


class LinkedPoses(NamedTuple):
    """The resting poses on one another; energy_m, margin_m: see Reconstruction."""

    final: Hypothesis
    energy_m: float
    margin_m: float


def _held_out(found: Sequence[View], seed: int) -> tuple[list[View], list[View]]:
    """Views that judge the mesh, and those that make it."""
    order = np.random.default_rng(seed).permutation(len(found))
    spared = min(HELD_OUT, len(found) // 5)
    return [found[i] for i in order[:spared]], [found[i] for i in sorted(order[spared:])]


def _linked(
    kept: Stages, used: Sequence[View], shapes: list[Shape], sizes: Sizes
) -> tuple[LinkedPoses, list[Cluster]]:
    """The resting poses, laid on one another. Raises InputError where they fit in two ways, or not
    at all."""
    part_m, noise_m, slack_m = sizes.part_m, sizes.noise_m, sizes.slack_m
    every = kept.keep(
        'poses',
        lambda: find_clusters(used, shapes, part_m, noise_m),
        pack_clusters,
        lambda packed: unpack_clusters(packed, used, shapes),
    )
    clusters = check_clusters(every, len(used))[:MOST_POSES]
    linked = kept.keep(
        'linking',
        lambda: link(clusters, slack_m),
        pack_linked,
        lambda packed: unpack_linked(packed, clusters, slack_m),
    )
    margin_m = margin_of(linked[0], clusters, slack_m, SAME_SHAPE * part_m + slack_m + noise_m)
    check_link(linked, margin_m, part_m)
    rare = [one for one in every if _is_rare(one, used, part_m)] if noise_m < QUIET_M else []
    final, clusters = add_rare(linked[0], clusters, rare[:MOST_RARE], slack_m, RARE * part_m)
    return LinkedPoses(final, linked[0].energy, margin_m), clusters


def find_views(scenes: Iterable[Scene], views: int) -> tuple[list[View], float]:
    """The first `views` views of lone parts at most, and the depth's noise in m. Raises
    DatasetError where the floor is not known."""
    stream = iter(scenes)
    some = list(islice(stream, 5))
    noise_m = float(np.median([depth_noise(one.frame) for one in some])) if some else 0.0
    lone = islice(lone_views(chain(some, stream), lowest_m(noise_m)), views)
    return list(tqdm(lone, desc='views of lone parts', total=views, unit='view')), noise_m


def _is_rare(cluster: Cluster, views: Sequence[View], size_m: float) -> bool:
    """Whether a pose was seen once, and by its size it is of one part."""
    return len(cluster.members) == 1 and views[cluster.members[0]].size_m < LARGE * size_m
