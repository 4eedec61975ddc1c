import json

import numpy as np
import pytest
import trimesh
from lone_parts import lone_scenes, rests, stepped_block

from insegan_ros.benchmarks.shape import compare
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.reconstruction.pipeline import reconstruct
from insegan_ros.reconstruction.report import write_reconstruction
from insegan_sim.meshes import load_mesh_part
from insegan_sim.parts import load_part

SIDES = rests((0, 0, 0), (90, 0, 0), (180, 0, 0), (-90, 0, 0), (0, 90, 0))


@pytest.mark.slow
def test_a_block_that_lies_on_its_sides_becomes_a_mesh(tmp_path):
    part = stepped_block()
    found = reconstruct(lone_scenes(part, SIDES, 30))
    assert found.mesh.is_watertight and found.explained >= 0.8
    values = compare(found.mesh, part)
    assert values['chamfer'] < 0.02 and values['surface found'] > 0.9
    assert found.mesh.volume == pytest.approx(part.mesh.volume, rel=0.2)
    # The mesh is a file like a user's own.
    facts = write_reconstruction(found, tmp_path / 'part')
    assert json.loads((tmp_path / 'part/part.json').read_text()) == facts
    assert facts['surface_never_seen'] < 0.2 and len(facts['resting_poses']) >= 4
    assert load_mesh_part(tmp_path / 'part/part.ply').diameter_m == pytest.approx(
        part.diameter_m, rel=0.05
    )
    colours = trimesh.load(tmp_path / 'part/part.ply').visual.vertex_colors
    assert len(np.unique(colours, axis=0)) <= 2
    with pytest.raises(DatasetError, match='is there already'):
        write_reconstruction(found, tmp_path / 'part')


@pytest.mark.slow
def test_two_kinds_of_parts_are_refused():
    mixed = [
        scene
        for pair in zip(
            lone_scenes(stepped_block(), SIDES, 14), lone_scenes(load_part('cone'), SIDES[:1], 14)
        )
        for scene in pair
    ]
    with pytest.raises(InputError, match='one kind of rigid part'):
        reconstruct(mixed)
