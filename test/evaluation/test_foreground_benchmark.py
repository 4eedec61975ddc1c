"""The foreground tables: every ablation of the papers is a row, a second start trains nothing."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from insegan_ros.benchmarks.benchmark import run_foreground
from insegan_ros.benchmarks.foreground import BUDGETS, ForegroundBenchmark, rows
from insegan_ros.errors import ConfigError


def test_the_papers_rows_are_all_there():
    by_table: dict[str, dict[str, object]] = {}
    for row in rows(BUDGETS['full']):
        by_table.setdefault(row.table, {})[row.method] = row
    gammas = {row.config.gan.gamma_mi for row in by_table['mutual information'].values()}
    assert gammas == {0, 0.1, 0.5, 1, 5, 10}
    assert by_table['mutual information']['mask-size loss (PerturbGAN)'].config.gan.gamma_size == 2
    assert {row.config.gan.gamma_bg > 0 for row in by_table['alternate training'].values()} == {
        True,
        False,
    }
    assert {
        (row.config.distillation, row.config.gan.area > 0, row.config.gan.background)
        for row in by_table['independence prior'].values()
        if row.recipe
    } == {
        (True, True, 'independent'),
        (False, True, 'independent'),
        (False, False, 'independent'),
        (False, True, 'dependent'),
    }
    assert {row.config.generator.prior for row in by_table['private code'].values()} == {
        'categorical',
        'normal',
    }
    assert {'grabcut-colour', 'kmeans-colour', 'depth-threshold', 'supervised'} <= set(
        by_table['methods']
    )
    assert BUDGETS['full'].layered.rounds == 5 and all(
        row.config.rounds == 1 for row in by_table['mutual information'].values()
    )
    assert all(',' not in name for table in by_table.values() for name in table)


def test_unknown_rows_are_refused(tmp_path):
    with pytest.raises(ConfigError, match='unknown table or method "everything"'):
        ForegroundBenchmark(tmp_path, BUDGETS['small']).run({'everything'})


@pytest.mark.slow
def test_the_small_budget_ends_in_tables_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    only = {
        'methods',
        'grabcut-colour',
        'mutual information',
        'gamma_mi 1',
        'independence prior',
        'raw',
    }
    found = run_foreground(tmp_path, 'small', only)
    assert {row['method'] for row in found} == {'grabcut-colour', 'gamma_mi 1', 'raw'}
    values = {(row['method'], row['metric']): row['value'] for row in found}
    assert (
        values['grabcut-colour', 'iou'] > 0.5
        and 0 <= values['gamma_mi 1', 'nmi'] <= 1
        and values['gamma_mi 1', 'image random-conv distance'] > 0
    )
    assert all(
        'small budget' in row['protocol']
        and row['command'].startswith('insegan benchmark foreground')
        for row in found
    )
    text = (tmp_path / 'tables.md').read_text()
    assert 'a shrunken run' in text and '## Mutual information' in text and '| raw |' in text
    assert json.loads((tmp_path / 'tables.json').read_text()) == found

    def never(*arguments):
        raise AssertionError('trained again')

    monkeypatch.setattr(ForegroundBenchmark, '_measure', never)
    assert run_foreground(tmp_path, 'small', only) == found
    assert asdict(BUDGETS['small'])['name'] == 'small'
