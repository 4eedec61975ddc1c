"""A user's own part: read, checked, repaired where that is safe, or refused with the reason."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from insegan_ros.data.models import METRES, read_models
from insegan_ros.data.whole_sets import NOTE
from insegan_ros.errors import ConfigError, DatasetError, InputError
from insegan_ros.geometry.meshes import read_mesh
from insegan_ros.geometry.rotations import spread
from insegan_ros.texts import read_mapping
from insegan_sim.parts import Part, is_known, load_part
from insegan_sim.shapes import Symmetry

# What a robot picks from a bin: anything else is a wrong unit.
SMALLEST_M, LARGEST_M = 0.003, 0.6
# The convex decomposition sees no more triangles than this; the camera sees all.
COLLISION_FACES = 3000
# How far a piece of the decomposition may bridge hollows, as CoACD counts it.
CONCAVITY = 0.05
# The physics keeps a millimetre around every body: what is thinner than twice that lies too high.
THINNEST_M = 0.002
# A larger hole is no flaw of an export but an open body; filling it would make a block of a tray.
LARGEST_HOLE = 0.03


def load_mesh_part(
    path: Path, scale: float = 1.0, name: str = '', concavity: float = CONCAVITY
) -> Part:
    """The part in an STL, OBJ or PLY file, `scale` metres per unit, called as the file if no name
    is given; concavity: see convex_pieces. Prints what was repaired, and where the part's origin,
    its centre of mass, lies in the file.

    Raises InputError for what cannot be a part: no or empty mesh, open surface, no volume, absurd
    size.
    """
    mesh, notes = check_mesh(read_mesh(path), path.name, scale)
    centre = mesh.center_mass.copy()
    mesh.apply_translation(-centre)
    name = name or re.sub(r'[^A-Za-z0-9_.-]+', '-', path.stem).strip('-.') or 'part'
    x, y, z = (float(v) for v in -centre)
    part = Part(
        name,
        mesh,
        tuple(convex_pieces(mesh, concavity)),
        find_symmetries(mesh),
        file_origin_m=(x, y, z),
    )
    if part.moved:
        place = ', '.join(f'{v:.1f}' for v in 1000 * centre)
        notes.append(f'poses are of its centre of mass, at ({place}) mm in the file')
    # A sheet's volume is its thickness times half of its surface.
    thickness_m = 2 * float(mesh.volume / mesh.area)
    if thickness_m < THINNEST_M:
        notes.append(
            f'some {1000 * thickness_m:.1f} mm thick: the physics keeps 1 mm around every body, so'
            ' it lies too high; expected 2 mm or more, simulate it at ten times the scale'
        )
    if notes:
        print(f'{path.name}: {"; ".join(notes)}')
    return part


def part_of_data(name: str, data: Path) -> Part:
    """The part that a data set called `name` shows: of a user's mesh the one that the set keeps,
    else the simulator's own. Raises ConfigError where neither is known, DatasetError or InputError
    for a mesh that cannot be used."""
    if not _is_of_mesh(data) and is_known(name):
        return load_part(name)
    kept = next((one for one in read_models(data) if one.name == name), None)
    if kept is None:
        raise ConfigError(
            f'the part "{name}" is not one of the simulator\'s, and {data} keeps no mesh of it:'
            ' expected its file, --mesh part.stl --mesh-scale 0.001'
        )
    return load_mesh_part(kept.path, METRES, name)


def _is_of_mesh(data: Path) -> bool:
    """Whether a set was simulated from a user's mesh: its file may be called as a known part is."""
    note = data / NOTE
    return note.is_file() and 'mesh_sha256' in read_mapping(note, DatasetError)


def check_mesh(mesh: trimesh.Trimesh, name: str, scale: float) -> tuple[trimesh.Trimesh, list[str]]:
    """A closed mesh in metres, after `scale`, with its normals outward, and what had to be repaired
    for it. Raises InputError for what cannot be a part."""
    repairs = []
    mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    mesh.merge_vertices()
    before = len(mesh.faces)
    mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
    mesh.remove_unreferenced_vertices()
    if len(mesh.faces) < before:
        repairs.append(f'{before - len(mesh.faces)} empty or duplicate triangles dropped')
    if len(mesh.faces) < 4:
        raise InputError(
            f'{name} has {len(mesh.faces)} triangles with an area: expected a closed body'
        )
    _check_size(mesh, name, scale)
    if not mesh.is_watertight:
        holes, area = _open_edges(mesh), mesh.area
        trimesh.repair.fill_holes(mesh)
        if mesh.is_watertight and mesh.area > (1 + LARGEST_HOLE) * area:
            raise InputError(
                f'{name} is not closed: its hole is {100 * (mesh.area / area - 1):.0f} % as large'
                f' as its surface; expected at most {100 * LARGEST_HOLE:.0f} %; give an open tray'
                ' its inner walls, or close it in your CAD program'
            )
        if not mesh.is_watertight:
            raise InputError(
                f'{name} is not closed: {_open_edges(mesh)} of {len(mesh.edges_unique)} edges are'
                ' open or shared by three and more triangles; expected a closed surface; close it'
                ' in your CAD program or export it again as a solid'
            )
        repairs.append(f'small holes closed ({holes} open edges)')
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
        if not mesh.is_winding_consistent:
            raise InputError(
                f'{name} has triangles that face both ways and cannot be turned consistently:'
                ' expected a surface with an inside and an outside'
            )
        repairs.append('triangles turned to face one way')
    if mesh.volume < 0:
        mesh.invert()
        repairs.append('was inside out: turned, so that its normals face outward')
    hull = (
        mesh.convex_hull.volume
        if np.linalg.matrix_rank(mesh.vertices - mesh.vertices.mean(0), tol=1e-9 * mesh.scale) == 3
        else 0.0
    )
    if hull <= 0 or mesh.volume < 1e-4 * hull:
        raise InputError(
            f'{name} encloses no volume: expected a solid, found a sheet; give it a thickness'
        )
    mesh.apply_scale(scale)
    return mesh, repairs


def _check_size(mesh: trimesh.Trimesh, name: str, scale: float) -> None:
    size = float(mesh.extents.max())
    if SMALLEST_M <= size * scale <= LARGEST_M:
        return
    units = {'millimetres': 0.001, 'centimetres': 0.01, 'metres': 1.0, 'inches': 0.0254}
    fitting = [
        f'--scale {factor:g} if it is in {unit} ({1000 * size * factor:.0f} mm)'
        for unit, factor in units.items()
        if SMALLEST_M <= size * factor <= LARGEST_M
    ]
    raise InputError(
        f'{name} would be {size * scale:.3g} m across with --scale {scale:g}: expected {SMALLEST_M}'
        f' to {LARGEST_M} m; '
        + (f'try {" or ".join(fitting)}' if fitting else 'no usual unit fits, check the file')
    )


def _open_edges(mesh: trimesh.Trimesh) -> int:
    _, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    return int((counts != 2).sum())


def convex_pieces(mesh: trimesh.Trimesh, threshold: float = CONCAVITY) -> list[trimesh.Trimesh]:
    """Approximate convex decomposition (CoACD) to within `threshold`, its concavity; deterministic.
    A convex mesh is its own single piece."""
    if mesh.is_convex:
        return [_light(mesh.convex_hull)]
    vertices, faces = np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int64)
    return [piece.copy() for piece in _decomposed(vertices.tobytes(), faces.tobytes(), threshold)]


@lru_cache(maxsize=8)
def _decomposed(vertices: bytes, faces: bytes, threshold: float) -> tuple[trimesh.Trimesh, ...]:
    """The pieces of a mesh given as its arrays' bytes: they take seconds, and one command asks for
    them several times."""
    mesh = trimesh.Trimesh(
        np.frombuffer(vertices).reshape(-1, 3).copy(),
        np.frombuffer(faces, np.int64).reshape(-1, 3).copy(),
        process=False,
    )
    import coacd

    coacd.set_log_level('error')
    if len(mesh.faces) > COLLISION_FACES:
        import open3d as o3d

        heavy = o3d.geometry.TriangleMesh(
            o3d.utility.Vector3dVector(mesh.vertices), o3d.utility.Vector3iVector(mesh.faces)
        )
        light = heavy.simplify_quadric_decimation(COLLISION_FACES)
        mesh = trimesh.Trimesh(np.asarray(light.vertices), np.asarray(light.triangles))
    parts = coacd.run_coacd(
        coacd.Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces)),
        threshold=threshold,
        max_convex_hull=32,
        seed=0,
    )
    return tuple(_light(trimesh.Trimesh(*part).convex_hull) for part in parts)


def _light(hull: trimesh.Trimesh, max_corners: int = 128) -> trimesh.Trimesh:
    """A hull with few corners: Bullet's time grows with them."""
    if len(hull.vertices) <= max_corners:
        return hull
    golden = np.pi * (3 - np.sqrt(5)) * np.arange(max_corners)
    z = 1 - (2 * np.arange(max_corners) + 1) / max_corners
    directions = np.stack(
        [np.sqrt(1 - z**2) * np.cos(golden), np.sqrt(1 - z**2) * np.sin(golden), z], 1
    )
    light = trimesh.convex.convex_hull(
        hull.vertices[np.unique((hull.vertices @ directions.T).argmax(0))]
    )
    # Grown until it covers the hull again, so that what is seen never sinks into anything.
    centre = light.center_mass
    reach = ((hull.vertices - centre) @ light.face_normals.T).max(0)
    offset = ((light.triangles[:, 0] - centre) * light.face_normals).sum(1)
    light.vertices = centre + (light.vertices - centre) * float((reach / offset).max())
    return light


FOLDS = (6, 5, 4, 3, 2)
# Moments of inertia that differ by less may belong to axes that are equal.
EQUAL_MOMENTS = 0.04
# Directions in a plane and on half a sphere that are tried as axes, before they are refined.
PLANE_AXES, SPHERE_AXES = 60, 250
# Points within this share of the size of the surface: an axis that is worth refining.
WORTH_REFINING = 0.04
# Points of the surface that are turned first.
FIRST = 600
# Axes (as lines) that are nearer than this are one: cosine of 5 degrees.
ONE_AXIS = 0.996


def find_symmetries(mesh: trimesh.Trimesh, tolerance: float = 0.01) -> tuple[Symmetry, ...]:
    """Generators of the rotations about the centre of mass that map the mesh onto itself within a
    share `tolerance` of its size: 0.01 for a CAD model, more for a reconstruction.

    An axis of symmetry is a principal axis of inertia. Where two or three moments are equal, any
    direction of their plane or of space is one, and is tried: a cube's diagonals are found. Fold 0
    is any angle, otherwise 6, 5, 4, 3 or 2. A mirror is no rotation.
    """
    symmetric = _Symmetric(mesh, tolerance)
    found: list[Symmetry] = []
    for axis in mesh.principal_inertia_vectors:
        if fold := symmetric.fold(axis):
            found.append((_three(axis), max(fold, 0)))
    for axis, fold in symmetric.others(mesh):
        if not any(abs(np.dot(axis, other)) > ONE_AXIS for other, _ in found):
            found.append((_three(axis), fold))
    return _generators(found)


def _three(axis: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in axis)
    return x, y, z


class _Symmetric:
    """Whether turns about the centre of mass map a mesh onto itself."""

    def __init__(self, mesh: trimesh.Trimesh, tolerance: float) -> None:
        from scipy.spatial import cKDTree

        self.middle = mesh.center_mass
        self.points = trimesh.sample.sample_surface(mesh, 3000, seed=0)[0] - self.middle
        surface = trimesh.sample.sample_surface(mesh, 60000, seed=1)[0] - self.middle
        self.surface, self.tree = surface, cKDTree(surface)
        self.size, self.limit = mesh.scale, tolerance * mesh.scale

    def holds(self, axis: np.ndarray, angle: float) -> bool:
        """Whether a turn by an angle in rad does, for all but a fiftieth of the surface."""
        turned = Rotation.from_rotvec(angle * axis).apply(self.points)
        # Most turns do not, and a few points that are far off are enough to know.
        some = self.tree.query(turned[:FIRST], distance_upper_bound=self.limit)[0]
        if np.isinf(some).sum() > 0.02 * len(turned) + 1:
            return False
        return bool(np.quantile(self.tree.query(turned)[0], 0.98) < self.limit)

    def fold(self, axis: np.ndarray) -> int:
        """-1 for any angle, the highest fold, or 0."""
        if all(self.holds(axis, angle) for angle in (0.5, 1.3, 2.2)):
            return -1
        return next((n for n in FOLDS if self.holds(axis, 2 * np.pi / n)), 0)

    def others(self, mesh: trimesh.Trimesh) -> list[tuple[np.ndarray, int]]:
        """Axes and folds within planes, or all of space, in which moments are equal."""
        found: list[tuple[np.ndarray, int]] = []
        for axis in _degenerate(mesh):
            if any(abs(axis @ other) > ONE_AXIS for other, _ in found):
                continue
            for fold in FOLDS:
                if (exact := self._refined(axis, 2 * np.pi / fold)) is None:
                    continue
                if self.holds(exact, 2 * np.pi / fold):
                    found.append((exact, fold))
                    break
        return found

    def _refined(self, axis: np.ndarray, angle: float) -> np.ndarray | None:
        """The axis after a few steps of fitting the turned points to the surface; None where they
        lie far from it."""
        points = self.points[:100]
        turn = Rotation.from_rotvec(angle * axis)
        for step in range(6):
            distance, nearest = self.tree.query(turn.apply(points))
            if step == 0 and np.quantile(distance, 0.9) > WORTH_REFINING * self.size:
                return None
            turn, _ = Rotation.align_vectors(self.surface[nearest], points)
        vector = turn.as_rotvec()
        return vector / max(np.linalg.norm(vector), 1e-9)


def _degenerate(mesh: trimesh.Trimesh) -> np.ndarray:
    """Directions (N, 3) between principal axes whose moments are equal."""
    moments = np.asarray(mesh.principal_inertia_components)
    axes = np.asarray(mesh.principal_inertia_vectors)
    order = np.argsort(moments)
    moments, axes = moments[order], axes[order]
    low, high = (np.diff(moments) < EQUAL_MOMENTS * moments[-1]).tolist()
    if low and high:
        return spread(2 * SPHERE_AXES)[:SPHERE_AXES]
    if low or high:
        first, second = axes[:2] if low else axes[1:]
        angle = np.arange(PLANE_AXES)[:, None] * (np.pi / PLANE_AXES)
        return np.cos(angle) * first + np.sin(angle) * second
    return np.zeros((0, 3))


def _generators(axes: list[Symmetry]) -> tuple[Symmetry, ...]:
    """Few of the axes, such that products of their turns, in this order, are the whole group."""
    if not axes:
        return ()
    main = next((one for one in axes if one[1] == 0), max(axes, key=lambda one: one[1]))
    kept = [main]
    across = [one for one in axes if one[1] % 2 == 0 and abs(np.dot(one[0], main[0])) < 0.09]
    if across:
        kept.append((across[0][0], 2))
    if main[1] == 0:
        return tuple(kept)
    for axis, fold in sorted(axes, key=lambda one: (one[1] != 3, -one[1])):
        turn = Rotation.from_rotvec(2 * np.pi / (fold or 7) * np.array(axis))
        if not _among(turn, kept):
            kept.append((axis, fold))
    return tuple(kept)


def _among(turn: Rotation, generators: list[Symmetry]) -> bool:
    """Whether a turn is one of the products of generators' turns, within 10 degrees."""
    group = Rotation.identity(1)
    for axis, fold in generators:
        count = fold or 36
        turns = Rotation.from_rotvec(np.outer(np.arange(count) * 2 * np.pi / count, axis))
        group = Rotation.concatenate([one * turns for one in group])
    return bool((group.inv() * turn).magnitude().min() < np.radians(10))
