"""`insegan benchmark weak`: all of its rows, very small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from insegan_ros.benchmarks.classes import ClassesBenchmark
from insegan_ros.benchmarks.classes_report import as_rows, markdown
from insegan_ros.benchmarks.classes_rows import ClassesBudget, cells

# What the trainings differ in from the shipped ones.
HEADS = {
    'network': {'pyramid': 32, 'box': 32, 'mask': 16, 'mask_layers': 1, 'regions': 16},
    'steps': 2,
    'batch': 2,
}
BEGINNING = {'size': 64, 'class_maps': {'steps': 12, 'batch': 4}}
FEW = {'steps': 2, 'batch': 2}
VERY_SMALL = {
    'irnet': {**BEGINNING, 'irnet': {'steps': 3}, 'mask_rcnn': HEADS, 'deeplab': FEW},
    'ccgr': {
        **BEGINNING,
        'affinity_net': {'steps': 3},
        'boxes': {'steps': 2, 'width': 16},
        'semantic': FEW,
        'mask_rcnn': HEADS,
        'rounds': 2,
    },
    'supervised-masks': {'size': 64, 'mask_rcnn': HEADS},
}


def test_names_of_tables_and_methods_can_be_given_on_the_command_line():
    for cell in cells(3):
        assert ',' not in cell.table + cell.method, 'commas part what --only names'


def test_the_papers_table_of_ccgr_is_measured_as_it_stands():
    """Masks are cut at the box; without multiple instances there is no refinement either."""
    rows = {
        cell.method: cell.options
        for cell in cells(3)
        if cell.what == 'first_round' and cell.method.endswith("in the paper's form")
    }
    assert [options.get('steps') for options in rows.values()] == [0, 0, None]
    assert [options.get('choose') for options in rows.values()] == ['semantic', None, None]
    assert all(options['reach'] == 1 and not options['crf'] for options in rows.values())


@pytest.mark.slow
def test_all_rows_very_small_and_a_second_start_measures_nothing_again(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        'insegan_ros.benchmarks.classes_runs.make_mixed', lambda *_, **__: mixed / 'full'
    )
    monkeypatch.setattr('insegan_ros.benchmarks.classes_rows.CROWDED_SEEDS', (3,))
    budget = replace(ClassesBudget.read('small'), training=6, test=3, judged=3, train=VERY_SMALL)
    bench = ClassesBenchmark(tmp_path, budget, device='cpu', threads=1)
    results = bench.run(set())
    wanted = {(cell.table, cell.method) for cell in cells(2) if cell.what != 'shipped'}
    assert wanted <= {(one['table'], one['method']) for one in results}
    assert all(
        0 <= value <= 1
        for one in results
        for key, value in one.items()
        if isinstance(value, float) and key not in ('minutes', 'seconds', 'matrix_mib')
    )
    less, more = (one['matrix_mib'] for one in results if 'matrix_mib' in one)
    assert more == pytest.approx(4 * less, rel=0.1), 'memory is linear in pixels'
    curves = [one['box_ap50_by_step'] for one in results if 'box_ap50_by_step' in one]
    assert len(curves) == 2, 'of ordinary bins, and of crowded ones'
    assert (tmp_path / 'crowded-3/runs/ccgr/boxes-1.state.safetensors').is_file()
    assert all(list(curve) == [str(step) for step in range(0, 201, 20)] for curve in curves)
    assert {path.name for path in (tmp_path / 'pictures').iterdir()} >= {
        'prm.png',
        'irnet.png',
        'ccgr.png',
        'supervised.png',
        'refinement.png',
        'labels-CAM.png',
    }
    text = markdown(results, budget, 'machine')
    assert 'shrunken run' in text and '| PRM |' in text and 'figure 5' in text
    rows = as_rows(results, 'machine', 'command')
    assert any(row['metric'] == 'box_ap50 at step 40' for row in rows)
    monkeypatch.setattr(ClassesBenchmark, '_measure', lambda *_: pytest.fail('measured again'))
    assert (
        ClassesBenchmark(tmp_path, budget, device='cpu', threads=1).run({'PRM'})[0]['method']
        == 'PRM'
    )
