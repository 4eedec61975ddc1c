from pathlib import Path

import numpy as np
import pytest
import trimesh

from insegan_ros.errors import InputError
from insegan_sim.meshes import find_symmetries, load_mesh_part
from insegan_sim.parts import Part, load_part


def millimetres(name: str) -> trimesh.Trimesh:
    mesh = load_part(name).mesh.copy()
    mesh.apply_scale(1000)
    return mesh


def moved_part(folder: Path, name: str, suffix: str) -> tuple[Part, Part]:
    """One of our parts from a file in millimetres, far from its origin, and the part itself."""
    path = folder / f'my {name}.{suffix}'
    mesh = millimetres(name)
    mesh.apply_translation([100, 20, 5])
    mesh.export(path, file_type=suffix.lower())
    part, ours = load_mesh_part(path, 0.001), load_part(name)
    assert part.name == f'my-{name}' and part.mesh.volume == pytest.approx(
        ours.mesh.volume, rel=1e-3
    )
    assert np.allclose(part.mesh.center_mass, 0, atol=1e-6) and np.allclose(
        sorted(part.mesh.extents), sorted(ours.mesh.extents), atol=1e-5
    )
    return part, ours


@pytest.mark.parametrize('suffix', ['obj', 'ply', 'STL'])
def test_a_mesh_of_any_format_is_the_part(tmp_path, suffix):
    part, ours = moved_part(tmp_path, 'cylinder', suffix)
    assert len(part.mesh.vertices) == len(ours.mesh.vertices)


def test_a_mesh_in_millimetres_is_the_part(tmp_path):
    part, _ = moved_part(tmp_path, 'nut', 'stl')
    # The hole is there for the physics too, and the hexagon's symmetries are found.
    assert len(part.pieces) > 3 and not any(piece.contains([[0, 0, 0]])[0] for piece in part.pieces)
    assert len(part.rotations()) == 12


def test_an_inside_out_mesh_is_turned(tmp_path, capsys):
    mesh = millimetres('bolt')
    mesh.invert()
    mesh.export(tmp_path / 'bolt.ply')
    part = load_mesh_part(tmp_path / 'bolt.ply', 0.001)
    assert part.mesh.volume == pytest.approx(load_part('bolt').mesh.volume, rel=1e-3)
    assert 'was inside out' in capsys.readouterr().out


def test_a_small_hole_is_closed_and_said(tmp_path, capsys):
    mesh = millimetres('cylinder')
    mesh.update_faces(np.arange(len(mesh.faces)) != 5)
    mesh.export(tmp_path / 'c.stl')
    assert load_mesh_part(tmp_path / 'c.stl', 0.001).mesh.is_watertight
    assert 'small holes closed' in capsys.readouterr().out


def test_a_sheet_too_thin_for_the_physics_and_another_origin_are_said(tmp_path, capsys):
    for thickness, said in ((0.5, True), (3, False)):
        sheet = trimesh.creation.box(bounds=[[0, 0, 0], [60, 40, thickness]])
        sheet.export(tmp_path / 'sheet.stl')
        part = load_mesh_part(tmp_path / 'sheet.stl', 0.001)
        text = capsys.readouterr().out
        assert ('mm thick: the physics keeps 1 mm' in text) == said
        assert f'its centre of mass, at (30.0, 20.0, {thickness / 2:.1f}) mm in the file' in text
        assert part.info()['file_origin'] == pytest.approx([-30, -20, -thickness / 2], abs=1e-4)
    assert 'file_origin' not in load_part('nut').info()


def test_a_heavy_mesh_gets_light_pieces(tmp_path):
    trimesh.creation.icosphere(5, 30).export(tmp_path / 'ball.stl')
    part = load_mesh_part(tmp_path / 'ball.stl', 0.001)
    assert len(part.mesh.faces) > 10000 and sum(len(piece.vertices) for piece in part.pieces) <= 128
    # They cover it, and are not much larger.
    assert 0.03 < np.linalg.norm(part.pieces[0].vertices, axis=1).max() <= 0.0325
    hull = part.pieces[0]
    assert (
        ((part.mesh.vertices[:, None] - hull.triangles[None, :, 0]) * hull.face_normals).sum(-1)
        < 1e-6
    ).all()


def bad(kind: str) -> trimesh.Trimesh:
    mesh = millimetres('nut')
    if kind == 'open':
        mesh.update_faces(mesh.face_normals[:, 2] < 0.5)
    if kind == 'flat':
        mesh = trimesh.creation.box([50, 50, 50])
        mesh.vertices[:, 2] = 0
    if kind == 'nan':
        mesh.vertices[3, 1] = np.nan
    return mesh


@pytest.mark.parametrize(
    'kind, scale, words',
    [
        ('open', 0.001, 'is not closed: .* edges are open'),
        ('flat', 0.001, 'triangles with an area|encloses no volume'),
        ('nan', 0.001, 'not numbers'),
        (
            'fine',
            1.0,
            (
                r'would be 7\d(\.\d)? m across with --scale 1: .*try --scale 0.001 if it is in'
                r' millimetres \(7\d mm\)'
            ),
        ),
        ('fine', 1e-6, 'would be 7.*e-05 m across'),
    ],
)
def test_what_is_no_part_is_refused_with_the_reason(tmp_path, kind, scale, words):
    path = tmp_path / 'x.ply'
    bad(kind).export(path)
    with pytest.raises(InputError, match=words):
        load_mesh_part(path, scale)


def test_an_open_tray_is_not_made_a_block(tmp_path):
    tray = trimesh.creation.box([60, 40, 20])
    tray.update_faces(tray.face_normals[:, 2] < 0.5)
    tray.export(tmp_path / 'tray.stl')
    with pytest.raises(InputError, match='its hole is .* % as large as its surface'):
        load_mesh_part(tmp_path / 'tray.stl', 0.001)


def test_files_that_are_no_meshes(tmp_path):
    (tmp_path / 'empty.stl').write_bytes(b'')
    (tmp_path / 'noise.ply').write_bytes(np.random.default_rng(0).bytes(500))
    (tmp_path / 'cut.stl').write_bytes(millimetres('nut').export(file_type='stl')[:300])
    trimesh.PointCloud(np.random.default_rng(0).random((30, 3))).export(tmp_path / 'points.ply')
    (tmp_path / 'part.step').write_text('ISO-10303-21;')
    for name in ('empty.stl', 'noise.ply', 'cut.stl', 'points.ply', 'part.step', 'nowhere.stl'):
        with pytest.raises(InputError) as error:
            load_mesh_part(tmp_path / name)
        assert 'expected' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.slow
def test_symmetries_are_found_about_any_axis():
    turn = trimesh.transformations.rotation_matrix(0.7, [0.2, 0.9, 0.4])

    def group(mesh: trimesh.Trimesh, tolerance: float = 0.01) -> int:
        mesh.apply_transform(turn)
        found = Part('part', mesh, (), find_symmetries(mesh, tolerance)).rotations()
        same = np.einsum('aij,bij->ab', found, found) > 1 + 2 * np.cos(np.radians(3))
        return len(np.unique(same, axis=0))

    # A cube has its diagonals too, a square bar the four half turns across it.
    assert group(trimesh.creation.box([0.04, 0.04, 0.04])) == 24
    assert group(trimesh.creation.box([0.04, 0.04, 0.07])) == 8
    assert group(load_part('connector').mesh.copy()) == 1, 'a mirror is no turn'
    rough = trimesh.creation.box([0.04, 0.05, 0.07]).subdivide_to_size(0.003)
    rough.vertices += np.random.default_rng(0).normal(0, 0.0006, rough.vertices.shape)
    assert group(rough, 0.025) == 4
