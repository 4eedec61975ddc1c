"""Mesh files are checked in one way, and one mesh of a part is found in another's frame."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from insegan_ros.errors import InputError
from insegan_ros.geometry.meshes import model_from_mesh, read_mesh
from insegan_sim.parts import load_part


def moved(mesh: trimesh.Trimesh, degrees: float, shift: tuple[float, float, float]):
    motion = trimesh.transformations.rotation_matrix(np.radians(degrees), (1, 2, 3))
    motion[:3, 3] = shift
    return mesh.copy().apply_transform(motion), motion


def test_the_same_surface_about_another_origin_is_only_shifted(bracket):
    mesh, _ = moved(bracket, 0, (0.019, -0.02, 0.3))
    found = model_from_mesh(mesh, bracket)
    assert np.array_equal(found[:3, :3], np.eye(3))
    assert np.allclose(found[:3, 3], (-0.019, 0.02, -0.3), atol=1e-9)


def test_a_rough_mesh_in_a_frame_of_its_own_is_found(bracket):
    rough, motion = moved(bracket.subdivide().subdivide(), 130, (0.05, 0.1, -0.2))
    rough.vertices += np.random.default_rng(0).normal(0, 0.0003, rough.vertices.shape)
    found = model_from_mesh(rough, bracket) @ motion
    # Corners of the part, there and back.
    assert np.abs(trimesh.transform_points(bracket.vertices, found) - bracket.vertices).max() < 2e-3


def test_a_mesh_of_another_part_is_refused(bracket):
    with pytest.raises(InputError, match='mm off the part in the data.*expected a mesh of that'):
        model_from_mesh(load_part('nut').mesh, bracket)


def test_what_holds_no_surface_is_refused_in_one_line(tmp_path, bracket):
    broken = bracket.copy()
    broken.vertices[3, 1] = np.nan
    broken.export(tmp_path / 'nan.ply')
    point = trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False)
    point.export(tmp_path / 'point.ply')
    (tmp_path / 'part.zip').write_bytes(b'PK\x03\x04')
    (tmp_path / 'cut.stl').write_bytes(bracket.export(file_type='stl')[:300])
    for name, words in (
        ('nan.ply', 'coordinates that are not numbers'),
        ('point.ply', 'has no extent'),
        ('part.zip', r'is not a mesh that can be read: expected .stl, .obj, .ply'),
        ('cut.stl', 'cannot be read as a mesh|holds no triangles'),
        ('nowhere.stl', 'does not exist'),
    ):
        with pytest.raises(InputError, match=words) as error:
            read_mesh(tmp_path / name)
        assert '\n' not in str(error.value) and 'expected' in str(error.value)
    bracket.export(tmp_path / 'fine.stl')
    for scale in (0.0, -1.0, float('nan')):
        with pytest.raises(InputError, match='the scale of'):
            read_mesh(tmp_path / 'fine.stl', scale)
