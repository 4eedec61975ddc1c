"""Mesh files, read and checked in one way for all, and where one mesh of a part lies in another.

A mesh keeps the origin of its file: every pose that is answered with a mesh is a pose of that
file's own frame, in metres.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from insegan_ros.errors import InputError
from insegan_ros.files import read_content, user_path
from insegan_ros.geometry.rotations import all_rotations

SUFFIXES = ('.stl', '.obj', '.ply')
MAX_BYTES = 500_000_000
# In any unit; squares and cubes of more leave what numbers can hold.
FARTHEST = 1e30
# Two meshes are one surface where they differ by less than this share of their size, and of one
# part where, laid on each other as well as can be, by less than that one.
SAME, ALIKE = 0.01, 0.05
# First rotations that are tried to lay one mesh on the other, and how many are followed.
STARTS, FOLLOWED = 720, 8
# Points of either surface, and one in how many of them ICP moves.
SAMPLES, MOVED = 12000, 24


def read_mesh(path: Path, scale: float = 1.0) -> trimesh.Trimesh:
    """A mesh file after `scale`, the metres in its unit, about the file's own origin. Raises
    InputError where it cannot be read or holds no surface."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f'{path} is not a mesh that can be read: expected {", ".join(SUFFIXES)}')
    path = user_path(path, InputError)
    if not path.is_file():
        raise InputError(f'{path} does not exist: expected an STL, OBJ or PLY file')
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f'{path} is {path.stat().st_size / 1e6:.0f} MB: expected at most {MAX_BYTES / 1e6:.0f}'
            ' MB; export it with a coarser tolerance'
        )
    if not 0 < scale < np.inf:
        raise InputError(
            f'the scale of {path} is {scale:g}: expected the metres per unit of it, above 0'
        )
    # From its bytes, so that nothing else that the file names is opened.
    kind = path.suffix.lower()[1:]
    options: dict[str, Any] = {'skip_materials': True} if kind != 'stl' else {}
    try:
        # Any exception: the readers raise whatever a broken file makes them stumble over.
        content = io.BytesIO(read_content(path))
        mesh = trimesh.load(content, file_type=kind, force='mesh', process=False, **options)
    except Exception as error:
        raise InputError(
            f'{path} cannot be read as a mesh ({type(error).__name__}:'
            f' {" ".join(str(error).split())[:120]}): expected a whole STL, OBJ or PLY file'
        ) from error
    if not isinstance(mesh, trimesh.Trimesh) or len(getattr(mesh, 'faces', ())) == 0:
        raise InputError(
            f'{path} holds no triangles: expected a mesh (a point cloud or an assembly without'
            ' surfaces is not one)'
        )
    if not (np.abs(mesh.vertices) < FARTHEST).all():
        raise InputError(
            f'{path} holds coordinates that are not numbers: expected finite ones; export it again'
        )
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise InputError(
            f'{path} has triangles whose corners are not in it: expected a whole mesh; export it'
            ' again'
        )
    mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    if mesh.area <= 0:
        raise InputError(f'{path} has no extent: expected triangles with an area')
    return mesh.apply_scale(scale)


def model_from_mesh(mesh: trimesh.Trimesh, model: trimesh.Trimesh) -> np.ndarray:
    """The rigid motion (4, 4) that lays one mesh of a part on another, both in metres: a shift
    where both are the same surface about different origins, else what registration finds, as for a
    mesh that was reconstructed. Raises InputError where they are no meshes of one part."""
    shift = np.eye(4)
    shift[:3, 3] = model.centroid - mesh.centroid
    pair = _Pair(mesh, model)
    if pair.distance(shift) < SAME * model.scale:
        return shift
    best = pair.best()
    if (off := pair.distance(best)) > ALIKE * model.scale:
        raise InputError(
            f'the mesh lies {1000 * off:.2g} mm off the part in the data at its best fit: expected'
            ' a mesh of that part, and the scale that makes it metres'
        )
    return best


def best_alignment(mesh: trimesh.Trimesh, model: trimesh.Trimesh) -> np.ndarray:
    """The rigid motion (4, 4) that lays one mesh on another as well as can be, by ICP from
    rotations all around."""
    return _Pair(mesh, model).best()


class _Pair:
    """Samples of two surfaces, the first of which is laid on the second."""

    def __init__(self, mesh: trimesh.Trimesh, model: trimesh.Trimesh) -> None:
        sample = trimesh.sample.sample_surface
        self.mesh = np.asarray(sample(mesh, SAMPLES, seed=0)[0])
        self.model = np.asarray(sample(model, SAMPLES, seed=1)[0])
        self.tree, self.own = cKDTree(self.model), cKDTree(self.mesh)

    def distance(self, motion: np.ndarray) -> float:
        """How far the surfaces are apart on average, either from the other's view, in m."""
        moved = trimesh.transform_points(self.mesh[::6], motion)
        seen = trimesh.transform_points(self.model[::6], np.linalg.inv(motion))
        there, back = self.tree.query(moved)[0], self.own.query(seen)[0]
        return float(max(there.mean(), back.mean()))

    def best(self) -> np.ndarray:
        """The motion (4, 4) after which the surfaces are nearest."""
        return min((self.followed(start) for start in self.starts()), key=self.distance)

    def starts(self) -> list[np.ndarray]:
        """The likeliest motions (4, 4) of many rotations about the surfaces' middles."""
        middle, target = self.mesh.mean(0), self.model.mean(0)
        rotations = all_rotations(STARTS)
        placed = np.einsum('nij,pj->npi', rotations, self.mesh[::60] - middle) + target
        apart = self.tree.query(placed.reshape(-1, 3))[0].reshape(placed.shape[:2]).mean(1)
        motions = np.tile(np.eye(4), (FOLLOWED, 1, 1))
        motions[:, :3, :3] = rotations[np.argsort(apart)[:FOLLOWED]]
        motions[:, :3, 3] = target - motions[:, :3, :3] @ middle
        return list(motions)

    def followed(self, start: np.ndarray) -> np.ndarray:
        """A motion (4, 4) after ICP."""
        return trimesh.registration.icp(
            self.mesh[::MOVED],
            self.model,
            initial=start,
            threshold=1e-9,
            max_iterations=40,
            reflection=False,
            scale=False,
        )[0]
