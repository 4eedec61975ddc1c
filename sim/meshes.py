"""A user's own part: read, checked, repaired where that is safe, or refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import trimesh

from insegan_ros.data.models import METRES, read_models
from insegan_ros.errors import ConfigError, InputError
from insegan_ros.geometry.meshes import read_mesh
from insegan_sim.parts import Part, is_known, load_part
from insegan_sim.shapes import Symmetry

# What a robot picks from a bin: anything else is a wrong unit.
SMALLEST_M, LARGEST_M = 0.003, 0.6
# The convex decomposition sees no more triangles than this; the camera sees all.
COLLISION_FACES = 20_000
# A larger hole is no flaw of an export but an open body; filling it would make a block of a tray.
LARGEST_HOLE = 0.03


def load_mesh_part(path: Path, scale: float = 1.0, name: str = '') -> Part:
    """The part in an STL, OBJ or PLY file, `scale` metres per unit, called as the file if no name
    is given. Prints what was repaired, and where the part's origin, its centre of mass, lies in the
    file.

    Raises InputError for what cannot be a part: no or empty mesh, open surface, no volume, absurd
    size.
    """
    mesh, notes = check_mesh(read_mesh(path), path.name, scale)
    centre = mesh.center_mass.copy()
    mesh.apply_translation(-centre)
    name = name or re.sub(r'[^A-Za-z0-9_.-]+', '-', path.stem).strip('-.') or 'part'
    x, y, z = (float(v) for v in -centre)
    part = Part(
        name, mesh, tuple(convex_pieces(mesh)), find_symmetries(mesh), file_origin_m=(x, y, z)
    )
    if part.moved:
        place = ', '.join(f'{v:.1f}' for v in 1000 * centre)
        notes.append(f'poses are of its centre of mass, at ({place}) mm in the file')
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
            f'the part "{name}" is none of the simulator\'s, and {data} keeps no mesh of it:'
            ' expected its file, --mesh part.stl --mesh-scale 0.001'
        )
    return load_mesh_part(kept.path, METRES, name)


def _is_of_mesh(data: Path) -> bool:
    """Whether a set was simulated from a user's mesh: its file may be called as a known part is."""
    note = data / 'dataset.yaml'
    return note.is_file() and 'mesh_sha256:' in note.read_text()


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
        repairs.append(f'{before - len(mesh.faces)} empty or double triangles dropped')
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


def convex_pieces(mesh: trimesh.Trimesh, threshold: float = 0.05) -> list[trimesh.Trimesh]:
    """Approximate convex decomposition (CoACD) to within `threshold`, its concavity; deterministic.
    A convex mesh is its own single piece."""
    if mesh.is_convex:
        return [_light(mesh.convex_hull)]
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
    return [_light(trimesh.Trimesh(vertices, faces).convex_hull) for vertices, faces in parts]


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


def find_symmetries(mesh: trimesh.Trimesh, tolerance: float = 0.01) -> tuple[Symmetry, ...]:
    """Generators of the rotations about the centre of mass that map the mesh onto itself within a
    share of its size.

    Looked for about the principal axes of inertia: any angle, else 6, 5, 4, 3, 2. A cube's
    diagonals are not found.
    """
    from scipy.spatial import cKDTree
    from scipy.spatial.transform import Rotation

    points, _ = trimesh.sample.sample_surface(mesh, 3000, seed=0)
    surface = cKDTree(trimesh.sample.sample_surface(mesh, 60000, seed=1)[0])

    def holds(axis: np.ndarray, angle: float) -> bool:
        turned = Rotation.from_rotvec(angle * axis).apply(points)
        return bool(np.quantile(surface.query(turned)[0], 0.98) < tolerance * mesh.scale)

    found: list[Symmetry] = []
    for axis in mesh.principal_inertia_vectors:
        x, y, z = (float(v) for v in axis)
        if all(holds(axis, angle) for angle in (0.5, 1.3, 2.2)):
            found.append(((x, y, z), 0))
        elif fold := next((n for n in (6, 5, 4, 3, 2) if holds(axis, 2 * np.pi / n)), 0):
            found.append(((x, y, z), fold))
    # One turn about the main axis and one half turn across it generate what a part with such axes
    # has.
    main = [one for one in found if one[1] == 0] or sorted(found, key=lambda one: -one[1])[:1]
    across = [(axis, 2) for axis, fold in found if main and axis != main[0][0] and fold % 2 == 0]
    return (*main[:1], *across[:1])
