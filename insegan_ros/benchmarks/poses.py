"""`insegan benchmark poses`: how exact 6-DoF poses are that are registered to the mesh."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import trimesh
from tqdm import tqdm

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.benchmarks.shape import VIEWS, ShapeCell, reconstructed
from insegan_ros.benchmarks.shipped import is_shipped, shipped_parts
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.errors import InputError
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.poses import JUDGED, TruePart, match
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks import deep_bins
from insegan_ros.tasks.base import TEST_SEED
from insegan_sim.parts import Part, load_part
from insegan_sim.scenes import FILL, bin_setup, scene_stream

# A mesh with the errors of a reconstruction: edges no longer than this share of the diameter,
# corners smoothed by so many steps, faces that ripple by that share in so many waves; the waves are
# six edges long.
EDGE, SMOOTHED, ROUGH, WAVES = 0.05, 5, 0.005, 16
# Of the views that a mesh is reconstructed from: other bins than those that poses are judged in.
RECONSTRUCTED_SEED = 6
# (true instance, its pose (4, 4), or None where none was found) a pair.
Answers = list[tuple[int, np.ndarray | None]]


class Way(NamedTuple):
    """A way to poses. answer: of a scene; part: what they are judged with; anywhere: whether in
    bins of any size."""

    answer: Callable[[Scene], Answers]
    part: TruePart
    anywhere: bool = True


@dataclass
class PoseErrors:
    """One method on some scenes. errors: (ADD-S, MSSD) in diameters of every part that is judged;
    seconds: of all its instances, `count` of them."""

    errors: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    count: int = 0


class Bins(NamedTuple):
    """What the bins hold. scenes: of the full and of the small budget."""

    title: str
    instances: int
    fill: float
    scenes: tuple[int, int]


BINS = (
    Bins('', 5, FILL, (30, 1)),
    Bins(', 40 parts in layers', deep_bins.PARTS, deep_bins.FILL, (3, 1)),
)


def benchmark_poses(small: bool) -> list[Row]:
    """6-DoF poses registered to the mesh, for parts of which half is seen, in bins of five parts
    and of forty in layers: of true masks, with the part's mesh, with one that has errors, and with
    one that was reconstructed from unlabelled depth; of the shipped checkpoints' masks; and begun
    with what a pose encoder decodes where one is shipped. ADD-S and MSSD as shares of the part's
    diameter, the share of poses below a tenth of it, and the time an instance."""
    rows = []
    for name in shipped_parts():
        ways = _ways(load_part(name))
        for bins in BINS:
            for method, found in pose_errors(name, ways, bins, bins.scenes[small]).items():
                rows += _rows_of(name, method, found, bins.title, small)
    return rows


def _rows_of(name: str, method: str, found: PoseErrors, title: str, small: bool) -> list[Row]:
    """The rows of one method on one part."""
    figure = partial(row, 'poses', method, name, small=small)
    judged = f'{len(found.errors)} parts half seen or more{title}'
    rows = []
    for metric, values in zip(('ADD-S', 'MSSD'), np.array(found.errors).reshape(-1, 2).T):
        if len(values):
            below, median = float((values < 0.1).mean()), float(np.median(values))
            rows.append(figure(judged, f'{metric} below .1 diameter', below, ''))
            rows.append(figure(judged, f'median {metric}', median, 'diameters'))
    each_ms = 1000 * found.seconds / max(found.count, 1)
    return [*rows, figure(f'one instance, masks included{title}', 'time', each_ms, 'ms')]


def pose_errors(name: str, ways: dict[str, Way], bins: Bins, scenes: int) -> dict[str, PoseErrors]:
    """Every way on the first test scenes of a part."""
    ways = {name: way for name, way in ways.items() if way.anywhere or bins is BINS[0]}
    found = {method: PoseErrors() for method in ways}
    stream = scene_stream(bin_setup(name, bins.instances, TEST_SEED, fill=bins.fill))
    for scene in tqdm(
        islice(stream, scenes), desc=f'poses {name}{bins.title}', total=scenes, unit='scene'
    ):
        truth = scene.labelled()
        visible, poses = visible_fractions(truth), truth.require_poses()
        for (answer, part, _), own in zip(ways.values(), found.values()):
            begun = time.perf_counter()
            answers = answer(scene)
            own.seconds += time.perf_counter() - begun
            own.count += len(answers)
            own.errors += [
                part.error(poses[true], pose) for true, pose in answers if visible[true] >= JUDGED
            ]
    return found


def _ways(part: Part) -> dict[str, Way]:
    """True masks and the shipped methods, with every mesh that there is of the part."""
    meshes = {'': part.mesh, ', mesh with errors': roughened(part.mesh)}
    try:
        cell = ShapeCell(part.name, 'ideal', VIEWS, RECONSTRUCTED_SEED)
        meshes[', reconstructed mesh'] = reconstructed(cell)
    except InputError as error:
        tqdm.write(f'{part.name}: no reconstructed mesh: {error}')
    ways = dict[str, Way]()
    for called, mesh in meshes.items():
        own = None if mesh is part.mesh else mesh
        judged = TruePart.of(part.mesh, part.diameter_m, part.rotations(), own)
        registration = MeshRegistration(mesh)
        ways[f'true masks{called}'] = Way(partial(_of_true_masks, registration), judged)
        for model, way in _shipped(part.name) if 'errors' not in called else ():
            segmenter = PosedSegmenter(load_segmenter(model, way), registration)
            name = f'{model}, {way}' if way else model
            # A pose encoder knows the bin that it was trained on.
            ways[name + called] = Way(partial(_of_segmenter, segmenter), judged, not way)
    return ways


def _shipped(part: str) -> list[tuple[str, str]]:
    """The shipped checkpoints of a part, each with the way it is run."""
    wanted = (
        (f'cutpaste-{part}', ''),
        (f'piles-{part}', ''),
        (f'insegan-generator-{part}', 'insegan'),
    )
    return [(model, way) for model, way in wanted if is_shipped(model)]


def _of_true_masks(registration: MeshRegistration, scene: Scene) -> Answers:
    found = registration.register_all(scene.frame, list(scene.labelled().masks()))
    return [(true, one.pose if one else None) for true, one in enumerate(found)]


def _of_segmenter(segmenter: Segmenter, scene: Scene) -> Answers:
    found = segmenter.segment(scene.frame, scene.workspace)
    poses = found.require_poses()
    return [(true, poses[one]) for true, one in match(scene.labelled().labels, found.labels)]


def roughened(mesh: trimesh.Trimesh, seed: int = 0) -> trimesh.Trimesh:
    """A mesh in m as a reconstruction might have it: in a frame of its own, with rounded edges and
    rippled faces."""
    rng = np.random.default_rng(seed)
    size = 2 * float(np.linalg.norm(mesh.vertices, axis=1).max())
    fine = trimesh.Trimesh(
        *trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, EDGE * size)
    )
    trimesh.smoothing.filter_taubin(fine, iterations=SMOOTHED)
    directions = rng.normal(size=(WAVES, 3))
    directions *= 2 * np.pi / (6 * EDGE * size) / np.linalg.norm(directions, axis=1)[:, None]
    phases = fine.vertices @ directions.T + rng.uniform(0, 2 * np.pi, WAVES)
    ripple = np.sqrt(2 / WAVES) * np.cos(phases).sum(1)
    fine.vertices = fine.vertices + ROUGH * size * ripple[:, None] * fine.vertex_normals
    fine.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
    return fine.apply_translation(rng.normal(0, size, 3))
