import json

import numpy as np
import pytest
import trimesh
from lone_parts import handed_block, lone_scenes, mirrored, rests, stepped_block, touching

from insegan_ros.benchmarks.shape import compare
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.reconstruction import pipeline
from insegan_ros.reconstruction.pipeline import reconstruct
from insegan_ros.reconstruction.report import STAGES, check_new_folder, write_reconstruction
from insegan_ros.reconstruction.stages import Stages
from insegan_sim.meshes import load_mesh_part
from insegan_sim.parts import load_part

SIDES = rests((0, 0, 0), (90, 0, 0), (180, 0, 0), (-90, 0, 0), (0, 90, 0))


@pytest.mark.slow
def test_a_block_that_lies_on_its_sides_becomes_a_mesh(tmp_path, monkeypatch):
    part, folder = stepped_block(), tmp_path / 'part'
    stages = Stages(folder / STAGES, {'seed': 0})
    # Stopped once: what was found is not looked for again.
    monkeypatch.setattr(pipeline, 'refine', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        reconstruct(lone_scenes(part, SIDES, 25), stages=stages)
    monkeypatch.undo()
    for step in ('find_views', 'find_clusters', 'link'):
        monkeypatch.setattr(pipeline, step, None)
    check_new_folder(folder)
    found = reconstruct([], stages=stages)
    assert found.mesh.is_watertight and found.explained >= 0.8
    values = compare(found.mesh, part)
    assert values['chamfer'] < 0.015 and values['surface found'] > 0.9
    assert found.mesh.volume == pytest.approx(part.mesh.volume, rel=0.1)
    # Another way to lay the poses on one another contradicts itself.
    assert found.margin_m > 0.0005 * found.diameter_m
    # The mesh is a file like a user's own.
    facts = write_reconstruction(found, folder)
    assert json.loads((folder / 'part.json').read_text()) == facts
    assert facts['surface_never_seen'] < 0.2 and len(facts['resting_poses']) >= 4
    assert load_mesh_part(folder / 'part.ply').diameter_m == pytest.approx(
        part.diameter_m, rel=0.05
    )
    colours = trimesh.load(folder / 'part.ply').visual.vertex_colors
    assert len(np.unique(colours, axis=0)) <= 2
    with pytest.raises(DatasetError, match='already exists'):
        write_reconstruction(found, folder)


def test_what_is_no_begun_reconstruction_is_not_written_over(tmp_path):
    (tmp_path / 'part.png').write_bytes(b'mine')
    with pytest.raises(DatasetError, match='already exists: expected a new folder'):
        check_new_folder(tmp_path)
    check_new_folder(tmp_path / 'new')
    (tmp_path / STAGES).mkdir()
    check_new_folder(tmp_path)
    (tmp_path / 'part.ply').write_bytes(b'finished')
    with pytest.raises(DatasetError, match='part.ply already exists'):
        check_new_folder(tmp_path)


@pytest.mark.slow
def test_two_kinds_of_parts_are_refused():
    block = lone_scenes(stepped_block(), SIDES[:2], 11)
    cone = lone_scenes(load_part('cone'), SIDES[:1], 11, seed=1)
    with pytest.raises(InputError, match='one kind of rigid part'):
        reconstruct([scene for pair in zip(block, cone) for scene in pair])


@pytest.mark.slow
def test_mirror_images_in_one_bin_are_refused():
    left = lone_scenes(handed_block(), SIDES[:2], 11)
    right = lone_scenes(mirrored(handed_block()), SIDES[:2], 11, seed=1)
    with pytest.raises(InputError, match='one kind of rigid part|in two ways'):
        reconstruct([scene for pair in zip(left, right) for scene in pair])


@pytest.mark.slow
def test_a_part_that_never_lies_alone_is_refused():
    scenes = [lone_scenes(touching(stepped_block(), n), SIDES[:1], 1, n)[0] for n in range(20)]
    with pytest.raises(InputError, match='% of 16 views show a pose that another shows too'):
        reconstruct(scenes)


@pytest.mark.slow
def test_a_part_that_is_never_seen_from_below_is_refused():
    with pytest.raises(InputError, match='the part always lies the same way up, and .* never'):
        reconstruct(lone_scenes(stepped_block(), SIDES[:1], 20))


def test_a_thin_sheet_is_refused():
    mesh = trimesh.creation.box([0.06, 0.04, 0.0012])
    sheet = type(stepped_block())('sheet', mesh, (mesh,))
    with pytest.raises(InputError, match='what is lower than 1.5 mm is taken for floor'):
        reconstruct(lone_scenes(sheet, SIDES[:1], 21))
