"""The paper's tables: every method runs, a second start trains nothing, the measures are shown for
what they are."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import pytest

from insegan_ros.benchmarks.insta10 import run_insta10
from insegan_ros.benchmarks.insta10_rows import (
    ABLATION,
    INSTA10,
    LOSSES,
    PAPER,
    SHIPPED,
    VORONOI,
    Insta10Budget,
    cells,
    trained_methods,
)
from insegan_ros.benchmarks.insta10_runs import Insta10
from insegan_ros.errors import ConfigError
from insegan_ros.methods.insegan import search
from insegan_ros.methods.registry import ready
from insegan_sim.parts import PARTS


def test_the_full_budget_has_every_table_part_method_and_seed():
    budget = Insta10Budget.read('full')
    full = list(cells(budget))
    assert set(INSTA10) == set(PARTS)
    methods = {cell.method for cell in full if cell.table == 'methods'}
    assert {*PAPER, *SHIPPED, 'product', 'supervised', 'felzenszwalb'} <= methods
    for method in methods - {*SHIPPED, VORONOI, *ready('instances')}:
        assert {
            (cell.part, cell.seed)
            for cell in full
            if (cell.table, cell.method) == ('methods', method)
        } == {(p, s) for p in INSTA10 for s in (0, 1, 2)}
    medium = Insta10Budget.read('medium')
    longer = trained_methods('methods', medium)['insegan-paper in poses at length']
    assert medium.config(longer.training, longer.changes).insegan.gan.steps == 12000
    assert longer.changes['insegan.encoder.align_in'] == 'pose'
    assert not any('at length' in cell.method for cell in full)
    assert {cell.part for cell in cells(medium) if cell.table == 'losses'} == {'nut', 'bolt'}
    assert {cell.table for cell in full} == {
        'methods',
        'noisy',
        'losses',
        'ablation',
        'images',
        'number',
    }
    assert {cell.method for cell in full if cell.table == 'losses'} == {
        f'{form}: {name}' for form in ('paper', 'product') for name in LOSSES
    }
    assert {cell.method for cell in full if cell.table == 'ablation'} == {
        *ABLATION,
        "the paper's recipe",
    }
    told = {
        cell.changes.get('instances', cell.changes.get('insegan.instances'))
        for cell in full
        if cell.table == 'number'
    }
    assert told == set(range(1, 8))
    assert {cell.sensor for cell in full if cell.table == 'noisy'} == {'d435'}


def test_every_row_is_a_training_that_can_be(tmp_path):
    for name in ('small', 'medium', 'full'):
        benchmark = Insta10(tmp_path, Insta10Budget.read(name))
        trained = [cell for cell in cells(benchmark.budget) if cell.training]
        assert len(trained) > 30 and all(benchmark.config(cell) for cell in trained)


def test_names_that_are_unknown_are_said(tmp_path):
    with pytest.raises(ConfigError, match='unknown table, method or part "bolts"'):
        Insta10(tmp_path, Insta10Budget.read('small')).run({'bolts'})


def test_what_has_been_measured_is_told_and_nothing_else_is_measured(tmp_path):
    benchmark = Insta10(tmp_path / 'run', Insta10Budget.read('small'))
    assert (
        benchmark.run({'methods', 'kmeans', 'nut'}, measured=True) == []
        and not (tmp_path / 'run').exists()
    )
    measured = benchmark.run({'methods', 'kmeans', 'nut'})
    assert (
        len(measured) == 1
        and benchmark.run({'methods', 'kmeans', 'spectral'}, measured=True) == measured
    )


@pytest.mark.slow
def test_the_small_budget_runs_every_method_and_goes_on_where_it_was(tmp_path, monkeypatch):
    # Fewer scenes, of a part that lies alone more often.
    small = replace(Insta10Budget.read('small'), parts=('cylinder',), scenes=100)
    monkeypatch.setattr(Insta10Budget, 'read', lambda name: small)
    monkeypatch.setattr(search, 'CODES', 100)
    folder, only = tmp_path / 'run', {'cylinder', 'methods'}
    rows = run_insta10(folder, 'small', only)
    assert json.loads((folder / 'tables.json').read_text()) == rows
    assert not (folder / 'not-measured.json').read_text().strip('{} \n')
    found = {row['method'] for row in rows if row['table'] == 'methods'}
    assert {*PAPER, *SHIPPED, 'product', 'supervised'} <= found
    assert all(0 <= row['value'] <= 1 for row in rows if row['metric'].endswith('miou')) and all(
        'small budget' in row['protocol'] for row in rows if row['table'] == 'methods'
    )
    shipped = {row['metric']: row['value'] for row in rows if row['method'] == 'shipped'}
    assert 0.5 < min(shipped[name] for name in ('ap', 'ari', 'msc')) < 1
    # What is measured is said: grown masks are perfect in the paper's protocol and poor in the
    # honest one.
    grown, voronoi = (
        {
            row['metric']: row['value']
            for row in rows
            if row['table'] == 'protocol' and row['method'].startswith(answer)
        }
        for answer in ('true masks dilated', 'random Voronoi')
    )
    assert (
        grown['paper_miou'] > 0.99
        and grown['honest_miou'] < 0.8
        and voronoi['honest_miou'] < 0.3 < voronoi['paper_miou'] + 0.05
        and grown['ari'] > 0.99 > grown['msc'] + 0.19
    )
    # Of every part, in Table 1.
    partition = {
        row['metric']: row['value']
        for row in rows
        if row['table'] == 'methods' and row['method'] == VORONOI
    }
    assert abs(partition['paper_miou'] - voronoi['paper_miou']) < 0.05
    assert partition['honest_miou'] < 0.3
    page = (folder / 'report.html').read_text()
    assert (
        page.count('data:image/png;base64,') >= 1 and 'http' not in page and 'honest mIoU' in page
    )
    files = {
        path: path.stat().st_mtime_ns
        for path in folder.glob('r*/**/*')
        if path.is_file() and path.name != 'report.html'
    }
    monkeypatch.setattr(Insta10, '_measure', lambda *_: pytest.fail('measured again'))
    assert run_insta10(folder, 'small', only) == rows
    assert all(path.stat().st_mtime_ns == changed_at for path, changed_at in files.items())


def test_the_command_that_tables_name_can_be_typed(tmp_path):
    only = {'insegan-paper in poses', 'methods'}
    run_insta10(tmp_path, 'small', only, measured=True)
    line = re.search('Made by `(.*)`', (tmp_path / 'tables.md').read_text())
    assert line and set(shlex.split(line[1])[-1].split(',')) == only
