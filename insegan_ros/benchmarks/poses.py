"""`insegan benchmark poses`: how exact 6-DoF poses are that are registered to the mesh."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import trimesh
from tqdm import tqdm

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.benchmarks.shipped import is_shipped, shipped_parts
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.frame import Instances
from insegan_ros.geometry.meshes import read_mesh
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.methods.registry import OWN_MESH, find_checkpoint, load_segmenter, mesh_file
from insegan_ros.metrics.masks import foreground_iou
from insegan_ros.metrics.poses import JUDGED, TruePart, frame_between, match
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks import deep_bins
from insegan_ros.tasks.base import TEST_SEED
from insegan_sim.parts import Part, load_part
from insegan_sim.scenes import FILL, bin_setup, scene_stream

# A mesh with the errors of a reconstruction: edges no longer than this share of the diameter,
# corners smoothed by so many steps, faces that ripple by that share in so many waves; the waves are
# six edges long.
EDGE, SMOOTHED, ROUGH, WAVES = 0.05, 5, 0.005, 16
# Parts of which more is seen do not tell how well what is hidden is known.
PARTLY = 0.9


class Answer(NamedTuple):
    """What is answered of a true instance: its pose (4, 4), None where none was found; its mask and
    its amodal mask (H, W), None where the way does not tell them."""

    true: int
    pose: np.ndarray | None
    mask: np.ndarray | None = None
    amodal: np.ndarray | None = None


class Way(NamedTuple):
    """A way to poses. answer: of a scene; part: what they are judged with; anywhere: whether in
    bins of any size; framed: whether the frame that they are answered in is known, from a mesh. One
    of a learnt template's is found from all answers, see frame_between."""

    answer: Callable[[Scene], list[Answer]]
    part: TruePart
    anywhere: bool = True
    framed: bool = True


@dataclass
class PoseErrors:
    """One method on some scenes. pairs: (true pose, found pose or None) of every part that is
    judged; errors: their (ADD-S, MSSD) in diameters; whole: of those of which a tenth or
    more is hidden, the IoU with the true amodal mask of the amodal mask and of the mask alone;
    seconds: of all its instances, `count` of them."""

    pairs: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)
    errors: list[tuple[float, float]] = field(default_factory=list)
    whole: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    count: int = 0


class Bins(NamedTuple):
    """What the bins hold. scenes: of the full and of the small budget."""

    title: str
    instances: int
    fill: float
    scenes: tuple[int, int]


BINS = (
    Bins('', 5, FILL, (30, 2)),
    Bins(', 40 parts in layers', deep_bins.PARTS, deep_bins.FILL, (3, 1)),
)


def benchmark_poses(small: bool) -> list[Row]:
    """6-DoF poses registered to the mesh, for parts of which half is seen, in bins of five parts
    and of forty in layers: of true masks, with the part's mesh, with one that has errors, and with
    the one that `piles-*` was taught with, which was reconstructed from unlabelled depth; of the
    shipped checkpoints' masks; begun with what a pose encoder decodes where one is shipped; and
    without any mesh, of views of a learnt template. ADD-S and MSSD as shares of the part's
    diameter, the share of poses below a tenth of it, amodal masks, and the time an instance."""
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
    hidden = f'{len(found.whole)} parts of which a tenth to a half is hidden{title}'
    if found.whole:
        amodal, mask = np.mean(found.whole, 0)
        rows.append(figure(hidden, 'amodal IoU', float(amodal), ''))
        rows.append(figure(hidden, 'amodal IoU of what is seen', float(mask), ''))
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
        for way, own in zip(ways.values(), found.values()):
            begun = time.perf_counter()
            answers = way.answer(scene)
            own.seconds += time.perf_counter() - begun
            own.count += len(answers)
            for one in answers:
                if visible[one.true] >= JUDGED:
                    own.pairs.append((poses[one.true], one.pose))
            own.whole += _amodal_ious(truth, visible, answers)
    for way, own in zip(ways.values(), found.values()):
        own.errors = _judged(way, own.pairs)
    return found


def _amodal_ious(
    truth: Instances, visible: np.ndarray, answers: list[Answer]
) -> list[tuple[float, float]]:
    """IoU with the true amodal mask of the amodal mask and of the mask of what is seen, of parts of
    which a tenth to a half is hidden; visible (N,): shares of the true instances that are seen."""
    return [
        (foreground_iou(whole, one.amodal), foreground_iou(whole, one.mask))
        for one in answers
        if one.amodal is not None and one.mask is not None and truth.amodal is not None
        for whole in [truth.amodal[one.true]]
        if JUDGED <= visible[one.true] < PARTLY
    ]


def _judged(
    way: Way, pairs: list[tuple[np.ndarray, np.ndarray | None]]
) -> list[tuple[float, float]]:
    """(ADD-S, MSSD) of every pair, in diameters."""
    part = way.part
    answered = [(true, own) for true, own in pairs if own is not None]
    if not way.framed and answered:
        part = replace(part, mesh_from_model=frame_between(answered, part))
    return [part.error(true, own) for true, own in pairs]


def _ways(part: Part) -> dict[str, Way]:
    """True masks and the shipped methods, with every mesh that there is of the part."""
    meshes = {'': part.mesh, ', mesh with errors': roughened(part.mesh)}
    if is_shipped(piles := f'piles-{part.name}'):
        meshes[', reconstructed mesh'] = read_mesh(mesh_file(piles, OWN_MESH))
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
    if is_shipped(generator := f'insegan-generator-{part.name}'):
        views = load_segmenter(generator, 'insegan-views')
        true = TruePart.of(part.mesh, part.diameter_m, part.rotations())
        ways[f'{generator}, insegan-views, no mesh'] = Way(
            partial(_of_segmenter, views), true, framed=False
        )
    return ways


def _shipped(part: str) -> list[tuple[str, str]]:
    """The shipped checkpoints of a part, each with the way it is run."""
    ways = [
        (model, '') for method in ('cutpaste', 'piles') if is_shipped(model := f'{method}-{part}')
    ]
    generator = f'insegan-generator-{part}'
    if is_shipped(generator) and 'encoder' in Checkpoint.load(find_checkpoint(generator)).weights:
        ways.append((generator, 'insegan'))
    return ways


def _of_true_masks(registration: MeshRegistration, scene: Scene) -> list[Answer]:
    found = registration.register_all(scene.frame, list(scene.labelled().masks()))
    return [Answer(true, one.pose if one else None) for true, one in enumerate(found)]


def _of_segmenter(segmenter: Segmenter, scene: Scene) -> list[Answer]:
    found = segmenter.segment(scene.frame, scene.workspace)
    poses, masks = found.require_poses(), found.masks()
    return [
        Answer(true, poses[one], masks[one], None if found.amodal is None else found.amodal[one])
        for true, one in match(scene.labelled().labels, found.labels)
    ]


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
