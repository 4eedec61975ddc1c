"""`insegan benchmark shape`: how near a mesh that was reconstructed from unlabelled depth comes to
the part, and whether what is wrong is refused."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import open3d as o3d
import trimesh
from scipy.spatial import cKDTree

from insegan_ros.benchmarks.cells import run_cells
from insegan_ros.benchmarks.rows import Row, budget_sentence, row, write_tables
from insegan_ros.errors import InputError
from insegan_ros.geometry.meshes import best_alignment
from insegan_ros.geometry.rays import ray_scene
from insegan_ros.geometry.rotations import spread
from insegan_ros.reconstruction.pipeline import reconstruct
from insegan_ros.tasks.base import TEST_SEED, machine
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
# What is measured, and its unit.
COLUMNS = {
    'refused': '',
    'chamfer': '',
    'volume IoU': '',
    'surface found': '',
    'processor time': 's',
}


@dataclass(frozen=True)
class ShapeCell:
    """A reconstruction that is judged."""

    part: str
    sensor: str
    views: int
    seed: int

    @property
    def protocol(self) -> str:
        """What it was made of, in words."""
        return f'{self.sensor} depth, {self.views} views, seed {self.seed}'


def cells(budget: str) -> list[ShapeCell]:
    """What a budget reconstructs: one part in ideal depth with one seed; all with three seeds; and
    with other numbers of views."""
    if budget == 'small':
        return [ShapeCell(PARTS[0], SENSORS[0], VIEWS, SEEDS[0])]
    asked = [(VIEWS, seed) for seed in SEEDS]
    asked += [(views, SEEDS[0]) for views in OTHER_VIEWS if budget == 'full']
    return [
        ShapeCell(part, sensor, views, seed)
        for views, seed in asked
        for sensor in SENSORS
        for part in PARTS
    ]


def run_shape(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """Ten parts with each sensor, three seeds, and with the first of them other numbers of views,
    against the true mesh after the best alignment; tables in a folder, and printed. A second start
    goes on where the first was stopped."""
    kinds = ('part', 'sensor', 'views', 'seed')
    results = run_cells(
        'shape',
        folder,
        cells(budget),
        kinds,
        only,
        lambda cell: json.dumps(asdict(cell), sort_keys=True),
        None if measured else measure,
    )
    small = budget == 'small'
    rows = [
        row('shape', 'reconstruct', one['part'], one['protocol'], name, one[name], unit, small)
        | {'seed': one['seed']}
        for one in results
        for name, unit in COLUMNS.items()
        if name in one
    ]
    return write_tables(folder, rows, markdown(results, budget, machine()))


def reconstructed(cell: ShapeCell) -> trimesh.Trimesh:
    """The mesh that simulated views give. Raises InputError where it is refused."""
    return reconstruct(islice(scene_stream(_setup(cell)), 3 * cell.views), cell.views).mesh


def measure(cell: ShapeCell) -> dict[str, Any]:
    """Reconstruct a part and compare it with the true mesh: `refused`, 1 or 0; what compare says;
    `processor time` in s. Why one is refused stands with it."""
    begun = time.process_time()
    result: dict[str, Any] = {**asdict(cell), 'protocol': cell.protocol}
    try:
        mesh = reconstructed(cell)
    except InputError as error:
        return {**result, 'refused': 1.0, 'reason': str(error)}
    seconds = time.process_time() - begun
    figures = compare(mesh, load_part(cell.part))
    return {**result, 'refused': 0.0, **figures, 'processor time': seconds}


def markdown(results: list[dict[str, Any]], budget: str, machine: str) -> str:
    """A table a sensor and number of views, a row a part: the means over the seeds that were not
    refused, and how many these are; then why the others were refused."""
    lines = [
        '# Meshes from unlabelled depth',
        '',
        (
            f'{budget_sentence(budget)} {machine}. Two parts that cover {FILL:.0%} of the floor;'
            f' seeds {", ".join(map(str, SEEDS))}. Chamfer distance of the outer surfaces after the'
            ' best alignment, in shares of the diameter (the worst seed beside the mean); volume'
            f' IoU; share of the true outer surface within {FOUND:.0%} of the diameter; processor'
            ' time in s.'
        ),
        '',
    ]
    for sensor, views in dict.fromkeys((one['sensor'], one['views']) for one in results):
        own = [one for one in results if (one['sensor'], one['views']) == (sensor, views)]
        lines += [
            f'## {sensor} depth, {views} views',
            '',
            '| part | made, of seeds | chamfer | worst | volume IoU | surface found | time |',
            '|---' * 7 + '|',
            *(
                _line(part, [one for one in own if one['part'] == part])
                for part in dict.fromkeys(one['part'] for one in own)
            ),
            '',
        ]
    refused = [
        f'- {one["part"]}, {one["protocol"]}: {one["reason"]}' for one in results if one['refused']
    ]
    return '\n'.join(lines + (['## Refused', '', *refused, ''] if refused else []))


def _line(part: str, own: list[dict[str, Any]]) -> str:
    made = [one for one in own if not one['refused']]
    count = f'{len(made)} of {len(own)}'
    if not made:
        return f'| {part} | {count}' + ' | -' * 5 + ' |'
    mean = {name: float(np.mean([one[name] for one in made])) for name in COLUMNS}
    worst = max(one['chamfer'] for one in made)
    return (
        f'| {part} | {count} | {mean["chamfer"]:.2%} | {worst:.2%} | {mean["volume IoU"]:.3f}'
        f' | {mean["surface found"]:.3f} | {mean["processor time"]:.0f} |'
    )


def _setup(case: ShapeCell) -> Setup:
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
