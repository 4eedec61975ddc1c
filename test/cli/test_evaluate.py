"""`insegan evaluate`."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from shell import command, shell

from insegan_ros.cli.options import mind_part
from insegan_ros.errors import InseganWarning
from insegan_ros.methods.registry import load_segmenter
from insegan_sim.parts import load_part


def test_a_checkpoint_of_another_part_is_said(nut_data):
    said = (
        'cutpaste-bolt has learnt bolt, but the data hold nut: expected a checkpoint for the same'
        ' part'
    )
    with pytest.warns(InseganWarning, match=f'^{said}$'):
        assert (
            command('evaluate', '--model', 'cutpaste-bolt', '--data', nut_data, '--limit', 1) == 0
        )


@pytest.mark.parametrize('model', ['hoc-nut', 'irnet-mixed', 'layered-gan-tote'])
def test_what_is_called_by_its_set_is_no_checkpoint_of_another_part(model, nut_data, recwarn):
    mind_part(load_segmenter(model), nut_data, model)
    assert not [one for one in recwarn if issubclass(one.category, InseganWarning)]


def test_a_mesh_scores_poses(nut_data, tmp_path, capsys):
    given = ('--model', 'cutpaste-nut', '--data', nut_data, '--limit', 1)
    mesh = ('--mesh', nut_data / 'models/obj_000001.ply')
    assert command('evaluate', *given, *mesh) == 2
    assert 'the scale is 0.001 for a file in millimetres' in capsys.readouterr().err
    out = tmp_path / 'e.json'
    assert command('evaluate', *given, *mesh, '--mesh-scale', 0.001, '--json', out) == 0
    said, numbers = capsys.readouterr(), json.loads(out.read_text())
    assert 'has learnt' not in said.err and 'ADD-S below .1 diameter' in said.out
    assert (
        numbers['poses'] >= 3
        and numbers['add_s_below_tenth'] > 0.6
        and 0 < numbers['median_add_s'] < 0.05
    )


@pytest.mark.slow
def test_the_file_and_the_sets_own_copy_of_a_mesh_score_alike(bracket_data, tmp_path, capsys):
    """The simulator's origin is the centre of mass, the file's is its corner."""
    data, file = bracket_data
    found = {}
    for mesh in (file, data / 'models/obj_000001.ply'):
        out = tmp_path / f'{mesh.stem}.json'
        given = ('--model', 'kmeans', '--instances', 2, '--data', data, '--limit', 4)
        scale = ('--mesh', mesh, '--mesh-scale', 0.001, '--json', out)
        assert command('evaluate', *given, *scale) == 0
        found[mesh.stem] = json.loads(out.read_text())
    assert 'MSSD below .1 diameter' in capsys.readouterr().out
    own, copy = found['bracket'], found['obj_000001']
    assert own['poses'] == copy['poses'] >= 2
    assert own['add_s_below_tenth'] >= 0.5 and copy['add_s_below_tenth'] >= 0.5


@pytest.mark.slow
def test_a_mesh_of_another_part_is_refused(bracket_data, tmp_path, capsys):
    load_part('nut').mesh.export(tmp_path / 'nut.stl')
    given = ('--model', 'kmeans', '--data', bracket_data[0], '--mesh', tmp_path / 'nut.stl')
    assert command('evaluate', *given) == 2
    assert 'expected a mesh of that part' in capsys.readouterr().err


@pytest.mark.slow
def test_simulate_and_evaluate_from_the_shell(tmp_path):
    data = tmp_path / 'data'
    size = ('--scenes=4', '--size=96', '--workers=1')
    assert command('simulate', '--part=nut', *size, '--seed=9', f'--out={data}') == 0
    numbers, picture = tmp_path / 'e.json', tmp_path / 'e.png'
    files = ('--json', numbers, '--picture', picture)
    scored = shell('evaluate', '--model', 'kmeans', '--data', data, *files)
    assert scored.returncode == 0 and 'honest mIoU' in scored.stdout
    numbers = json.loads(numbers.read_text())
    assert numbers['scenes'] == 4 and len(numbers['rows']) == 4
    assert (
        numbers['honest_miou'] == numbers['kmeans_honest_miou']
        and 0.3 < numbers['honest_miou'] <= 1
    )
    assert cv2.imread(str(picture)).shape == (3 * (30 + 96), 3 * 96, 3)


def test_methods_of_colour_are_evaluated_as_such(tote_data, tmp_path, capsys):
    given = ('evaluate', '--model', 'grabcut-colour', '--data', tote_data)
    files = ('--json', tmp_path / 'r.json', '--picture', tmp_path / 'r.png')
    assert command(*given, *files) == 0
    result = json.loads((tmp_path / 'r.json').read_text())
    assert (
        result['pictures'] == len(result['rows']) >= 2
        and result['iou'] > 0.6
        and result['iou']
        == pytest.approx(np.mean([row['iou'] for row in result['rows']]), abs=1e-3)
    )
    assert cv2.imread(str(tmp_path / 'r.png')).shape[0] == 3 * 128
    # Nothing is written over, and what cannot be is said before any work.
    assert command(*given, *files) == 2 and 'already exists' in capsys.readouterr().err
    assert command(*given, '--limit', 0) == 2 and '--limit is 0' in capsys.readouterr().err


def test_masks_with_classes_are_evaluated_as_such(mixed, tmp_path):
    """Bins of nuts and bolts, which irnet-mixed was taught."""
    given = ('evaluate', '--model', 'irnet-mixed', '--data', mixed / 'full', '--limit', 4)
    files = ('--json', tmp_path / 'r.json', '--picture', tmp_path / 'r.png')
    assert command(*given, *files) == 0
    result = json.loads((tmp_path / 'r.json').read_text())
    assert result['pictures'] == 4 and 0 < result['ap50'] <= 1
    assert cv2.imread(str(tmp_path / 'r.png')).std() > 10


def test_heaps_are_evaluated_as_such(nut_data, tmp_path):
    given = ('evaluate', '--model', 'watershed-heap', '--data', nut_data, '--limit', 3)
    files = ('--json', tmp_path / 'r.json', '--picture', tmp_path / 'r.png')
    assert command(*given, *files) == 0
    result = json.loads((tmp_path / 'r.json').read_text())
    assert result['heaps'] == len(result['rows']) == 3 and 0 < result['honest_miou'] <= 1
    assert cv2.imread(str(tmp_path / 'r.png')).std() > 10
