"""`insegan benchmark poses`: how exact 6-DoF poses are that are registered to the mesh."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
from tqdm import tqdm

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.benchmarks.shipped import is_shipped, shipped_parts
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.errors import InputError
from insegan_ros.frame import Instances
from insegan_ros.geometry.registration import MeshRegistration
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.poses import add_s, match, mssd
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.base import TEST_SEED
from insegan_sim.parts import Part, load_part
from insegan_sim.scenes import bin_setup, scene_stream

# Parts of which less is seen are not judged.
JUDGED = 0.5
# Points of the mesh that MSSD is measured on: it costs one distance a point and symmetry.
MSSD_POINTS = 1000
# (true instance, its pose (4, 4), or None where none was found) a pair.
Answers = list[tuple[int, np.ndarray | None]]


@dataclass
class PoseErrors:
    """One method on some scenes. errors: (ADD-S, MSSD) in diameters of every part that is judged;
    seconds: of all its instances, `count` of them."""

    errors: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    count: int = 0


def benchmark_poses(small: bool) -> list[Row]:
    """6-DoF poses registered to the mesh, for parts of which half is seen: of true masks, of the
    shipped checkpoints' masks, and begun with what a pose encoder decodes where one is shipped.
    ADD-S and MSSD as shares of the part's diameter, the share of poses below a tenth of it, and the
    time an instance."""
    rows = []
    for name in shipped_parts():
        for method, found in pose_errors(name, 3 if small else 30).items():
            rows += _rows_of(name, method, found, small)
    return rows


def _rows_of(name: str, method: str, found: PoseErrors, small: bool) -> list[Row]:
    """The rows of one method on one part."""
    figure = partial(row, 'poses', method, name, small=small)
    judged = f'{len(found.errors)} parts half seen or more'
    rows = []
    for metric, values in zip(('ADD-S', 'MSSD'), np.array(found.errors).reshape(-1, 2).T):
        if len(values):
            below, median = float((values < 0.1).mean()), float(np.median(values))
            rows.append(figure(judged, f'{metric} below .1 diameter', below, ''))
            rows.append(figure(judged, f'median {metric}', median, 'diameters'))
    each_ms = 1000 * found.seconds / max(found.count, 1)
    return [*rows, figure('one instance, masks included', 'time', each_ms, 'ms')]


def pose_errors(name: str, scenes: int) -> dict[str, PoseErrors]:
    """Every method on the first test scenes of a part."""
    part, setup = load_part(name), bin_setup(name, seed=TEST_SEED)
    registration = MeshRegistration(part.mesh)
    posed = _posed_segmenters(name, registration)
    found = {method: PoseErrors() for method in ('true masks', *posed)}
    for scene in tqdm(islice(scene_stream(setup), scenes), desc=f'poses {name}', unit='scene'):
        for method, own in found.items():
            begun = time.perf_counter()
            if method in posed:
                instances = posed[method].segment(scene.frame, scene.workspace)
                own.seconds += time.perf_counter() - begun
                own.count += len(instances)
                pairs = match(scene.labelled().labels, instances.labels)
                poses = _poses_of(instances)
                answers: Answers = [(true, poses[one]) for true, one in pairs]
            else:
                masks = list(scene.labelled().masks())
                registered = registration.register_all(scene.frame, masks)
                own.seconds += time.perf_counter() - begun
                own.count += len(registered)
                answers = [(true, one.pose if one else None) for true, one in enumerate(registered)]
            own.errors += _errors(scene, answers, part, registration.points)
    return found


def _posed_segmenters(name: str, registration: MeshRegistration) -> dict[str, Segmenter]:
    """The shipped methods for a part whose masks are registered."""
    ways = ((f'cutpaste-{name}', ''), (f'insegan-generator-{name}', 'insegan'))
    return {
        f'{model}, {way}' if way else model: PosedSegmenter(
            load_segmenter(model, way), registration
        )
        for model, way in ways
        if is_shipped(model)
    }


def _poses_of(instances: Instances) -> np.ndarray:
    """Poses (N, 4, 4) of instances that have them. Raises InputError for others."""
    if instances.poses is None:
        raise InputError('these instances have no poses: expected those of a simulated scene')
    return instances.poses


def _errors(
    scene: Scene, answers: Answers, part: Part, points: np.ndarray
) -> list[tuple[float, float]]:
    """(ADD-S, MSSD) in diameters of the answers for parts that are judged; a pose that was not
    found is a diameter off. points (N, 3): of the mesh, in metres."""
    truth, symmetries = scene.labelled(), part.rotations()
    visible, poses = visible_fractions(truth), _poses_of(truth)
    out = list[tuple[float, float]]()
    for true, pose in answers:
        if visible[true] < JUDGED:
            continue
        if pose is None:
            out.append((1.0, 1.0))
            continue
        mean = add_s(poses[true], pose, points)
        largest = mssd(poses[true], pose, points[:MSSD_POINTS], symmetries)
        out.append((mean / part.diameter_m, largest / part.diameter_m))
    return out
