"""`insegan benchmark shape`: how near a mesh that was reconstructed from unlabelled depth comes to
the part, and whether what is wrong is refused."""

from __future__ import annotations

import time
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import open3d as o3d
import trimesh
from scipy.spatial import cKDTree

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.errors import InputError
from insegan_ros.geometry.meshes import best_alignment
from insegan_ros.geometry.rays import ray_scene
from insegan_ros.geometry.rotations import spread
from insegan_ros.reconstruction.pipeline import reconstruct
from insegan_ros.tasks.base import TEST_SEED
from insegan_sim.camera import Camera
from insegan_sim.parts import PARTS, Part, load_part
from insegan_sim.scenes import Setup, make_container, scene_stream
from insegan_sim.sensor import load_sensor

# Two parts in a bin of which they cover little: most lie alone.
INSTANCES, FILL = 2, 0.15
VIEWS, OTHER_VIEWS = 40, (20, 80)
SEEDS = (TEST_SEED, 6, 77)
SENSORS = ('ideal', 'd435')
# A point of the surface is found if the mesh is within this share of the diameter.
FOUND = 0.03


def benchmark_shape(small: bool) -> list[Row]:
    """Ten parts with each sensor, three seeds, and with the first of them other numbers of views,
    against the true mesh after the best alignment: refused or not; chamfer distance in diameters;
    volume IoU; share of the true surface within 3 % of the diameter; seconds. The small budget is
    one part in ideal depth with one seed."""
    return [figure for case in cases(small) for figure in _rows_of(case, small)]


class Case(NamedTuple):
    """A reconstruction that is judged."""

    part: str
    sensor: str
    views: int
    seed: int


def cases(small: bool) -> list[Case]:
    """What a budget reconstructs."""
    if small:
        return [Case(PARTS[0], SENSORS[0], VIEWS, SEEDS[0])]
    asked = [(VIEWS, seed) for seed in SEEDS] + [(views, SEEDS[0]) for views in OTHER_VIEWS]
    return [
        Case(part, sensor, views, seed)
        for sensor in SENSORS
        for part in PARTS
        for views, seed in asked
    ]


def _rows_of(case: Case, small: bool) -> list[Row]:
    protocol = f'{case.sensor} depth, {case.views} views, seed {case.seed}'
    figure = partial(row, 'shape', 'reconstruct', case.part, protocol)
    begun = time.process_time()
    scenes = islice(scene_stream(_setup(case)), 3 * case.views)
    try:
        mesh = reconstruct(scenes, case.views).mesh
    except InputError as error:
        print(f'{case.part}, {protocol}: refused: {error}')
        rows = [figure('refused', 1.0, '', small)]
    else:
        seconds = time.process_time() - begun
        rows = [
            figure('refused', 0.0, '', small),
            *(
                figure(metric, value, '', small)
                for metric, value in compare(mesh, load_part(case.part)).items()
            ),
            figure('processor time', seconds, 's', small),
        ]
    return [{**one, 'seed': case.seed} for one in rows]


def _setup(case: Case) -> Setup:
    parts = (load_part(case.part),)
    model = load_sensor(case.sensor)
    container = make_container(parts, INSTANCES, fill=FILL)
    camera = Camera.over_bin(container, nearest_m=getattr(model, 'min_depth_m', 0.0))
    return Setup(parts, camera, (INSTANCES, INSTANCES), model, seed=case.seed)


def compare(mesh: trimesh.Trimesh, part: Part) -> dict[str, float]:
    """A mesh against the true part, after the best alignment: `chamfer`, the mean distance of the
    two outer surfaces in diameters; `volume IoU`; `surface found`, the share of the true outer
    surface that is near."""
    moved = mesh.copy()
    moved.apply_transform(best_alignment(mesh, part.mesh))
    own, true = outer_points(moved), outer_points(part.mesh)
    there, back = cKDTree(true).query(own)[0], cKDTree(own).query(true)[0]
    diameter = part.diameter_m
    inside, within = (_inside(one, diameter) for one in (moved, part.mesh))
    return {
        'chamfer': float(there.mean() + back.mean()) / 2 / diameter,
        'volume IoU': float((inside & within).sum() / max((inside | within).sum(), 1)),
        'surface found': float((back < FOUND * diameter).mean()),
    }


def outer_points(mesh: trimesh.Trimesh, count: int = 15_000) -> np.ndarray:
    """Points (N, 3) of the surface from which some way leads straight out."""
    points, faces = trimesh.sample.sample_surface(mesh, count, seed=0)
    normals = mesh.face_normals[faces]
    directions = spread(40)
    scene = ray_scene(mesh)
    free: np.ndarray = np.zeros(count, bool)
    start = points + 1e-5 * normals
    for direction in directions:
        rays = np.concatenate([start, np.broadcast_to(direction, start.shape)], 1)
        tensor = o3d.core.Tensor.from_numpy(rays.astype(np.float32))
        hit = scene.cast_rays(tensor, nthreads=1)['t_hit'].numpy()
        free |= ~np.isfinite(hit) & (normals @ direction > 0.1)
    return np.asarray(points)[free]


def _inside(mesh: trimesh.Trimesh, diameter_m: float) -> np.ndarray:
    """Which of 40,000 points around the origin are inside, (N,) bool."""
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (40_000, 3)) * diameter_m
    tensor = o3d.core.Tensor.from_numpy(points.astype(np.float32))
    return np.asarray(ray_scene(mesh).compute_occupancy(tensor, nthreads=1).numpy() > 0.5)
