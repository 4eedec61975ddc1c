"""The foreground tables: every ablation of the papers is a row, a second start trains nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from insegan_ros.benchmarks.foreground import (
    ForegroundBenchmark,
    ForegroundBudget,
    as_rows,
    cells,
    run_foreground,
)
from insegan_ros.errors import ConfigError
from insegan_ros.tasks.foreground import SETS


def test_the_papers_rows_are_all_there():
    budget = ForegroundBudget.read('full')
    by_table: dict[str, dict[str, object]] = {}
    for cell in cells():
        config = budget.config(cell.training, cell.changes) if cell.training else None
        by_table.setdefault(cell.table, {})[cell.method] = config
    information = by_table['mutual information']
    assert {config.gan.gamma_mi for config in information.values()} == {0, 0.1, 0.5, 1, 5, 10}
    assert information['mask-size loss (PerturbGAN)'].gan.gamma_size == 2
    # Objects fill a tenth of a tote: a loss on masks below a quarter asks for more than an object.
    assert information['mask-size loss from .05'].gan.smallest_mask < 0.095
    assert {config.gan.gamma_bg > 0 for config in by_table['alternate training'].values()} == {
        True,
        False,
    }
    assert {
        (config.distillation, config.gan.area > 0, config.gan.background)
        for config in by_table['independence prior'].values()
        if config
    } == {
        (True, True, 'independent'),
        (False, True, 'independent'),
        (False, False, 'independent'),
        (False, True, 'dependent'),
    }
    # The penalty keeps masks from becoming the whole picture; cut at the box they cannot.
    assert {
        (config.gan.within_box, config.gan.area > 0)
        for config in by_table['independence prior'].values()
        if config and not config.distillation and config.gan.background == 'independent'
    } == {(True, True), (True, False), (False, True), (False, False)}
    assert {config.generator.prior for config in by_table['private code'].values()} == {
        'categorical',
        'normal',
    }
    # Of the normal codes whose entropies are in the paper's Table 2 the smallest and the largest.
    normal = [by_table['private code'][f'normal of {count} numbers'] for count in (4, 10)]
    assert [(config.generator.codes, config.generator.parents) for config in normal] == [
        (4, 4),
        (10, 10),
    ]
    assert {'grabcut-colour', 'kmeans-colour', 'depth-threshold', 'supervised'} <= set(
        by_table['methods']
    )
    assert budget.config('layered-gan').rounds == 5 and all(
        config.rounds == 1 for config in information.values()
    )
    assert all(',' not in name for table in by_table.values() for name in table)


def test_rows_of_patterned_totes_differ_in_what_they_say():
    budget = ForegroundBudget.read('medium')
    rows = {
        cell.method: budget.config(cell.training, cell.changes)
        for cell in cells()
        if cell.table == 'patterned tote' and cell.training
    }
    assert {(one.rounds, one.gan.gamma_mi, one.seed) for one in rows.values()} == {
        (rounds, information, seed)
        for rounds in (1, 2, 4)
        for information in (0, 0.1, 0.5, 1)
        for seed in (0, 1, 2)
    }
    held, free = (rows[f'gamma_mi 1 K 2 {name} seed 0'] for name in ('with', 'without'))
    assert held.gan.gamma_bg == 2 and replace(held, gan=replace(held.gan, gamma_bg=0.0)) == free
    ours = rows['gamma_border 2 and contrast K 1 seed 0']
    assert ours.gan.gamma_border == 2 and ours.perturbation.contrast == (0.6, 1.4)
    assert held.gan.gamma_border == 0 and held.perturbation.contrast == (1, 1)


def test_the_area_is_chosen_on_validation_crops():
    rows = [cell for cell in cells() if cell.table == 'area on validation crops']
    assert {cell.judged for cell in rows} == {'validation'} and {cell.view for cell in rows} == {
        'box'
    }
    swept = {(cell.changes['gan.smallest'], cell.changes['gan.area']) for cell in rows[2:]}
    assert swept == {(a, weight) for a in (0.15, 0.2, 0.3, 0.35) for weight in (5, 20)}


def test_a_figure_names_the_seed_of_what_it_was_judged_on():
    one = {'method': 'kmeans-colour', 'budget': 'full', 'size': 64, 'pictures': 9, 'test': 3}
    results = [
        {**one, 'table': table, 'iou': 0.5} for table in ('methods', 'area on validation crops')
    ]
    assert [row['seed'] for row in as_rows(results, '', '')] == [2, 77]


def test_unknown_rows_are_refused(tmp_path):
    with pytest.raises(ConfigError, match='unknown table or method "everything"'):
        ForegroundBenchmark(tmp_path, ForegroundBudget.read('small')).run({'everything'})


@pytest.mark.slow
def test_the_small_budget_ends_in_tables_and_goes_on_where_it_was(tmp_path, monkeypatch):
    # Few products: two hundred take longer to make than to photograph.
    few = {
        'training': 'product-0:8',
        'empty': 'product-0:8',
        'test': 'product-800:804',
        'validation': 'product-700:704',
    }
    sets = {name: (few[name], *rest) for name, (_, *rest) in SETS.items()}
    monkeypatch.setattr('insegan_ros.tasks.foreground.SETS', sets)
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
    monkeypatch.setattr(ForegroundBenchmark, '_measure', lambda *_: pytest.fail('trained again'))
    assert run_foreground(tmp_path, 'small', only) == found
