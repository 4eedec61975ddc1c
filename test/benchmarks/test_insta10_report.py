"""Means and spreads in the report."""

from __future__ import annotations

import pytest

from insegan_ros.benchmarks.insta10_report import markdown, means
from insegan_ros.benchmarks.insta10_rows import INSTA10


def result(method: str, seed: int, value: float) -> dict:
    scores = [
        {'honest_miou': value, 'paper_miou': value + 0.1, 'foreground_iou': 1.0, 'count_error': -1}
    ]
    return {
        'table': 'methods',
        'method': method,
        'part': 'bolt',
        'seed': seed,
        'scores': scores,
        'random': [True],
        'hard': [False],
        'minutes': 4.0,
    }


def test_means_and_spreads_are_over_seeds():
    table = means([result('product', 0, 0.8), result('product', 1, 0.9)])
    mean, spread, seeds, scenes = table['methods', 'product', 'bolt', 'random', 'honest_miou']
    assert (mean, spread, seeds, scenes) == (pytest.approx(0.85), pytest.approx(0.05), 2, 1)
    assert table['methods', 'product', 'bolt', 'random', 'count_error'][0] == 1
    text = markdown([result('product', 0, 0.8), result('product', 1, 0.9)], {}, 'small', 'here')
    assert '| product | 4.0 | 2 |' in text
    assert (
        'Budget **small**: a shrunken run' in text
        and '| product | 0.850 ±0.050 | 0.850 |' in text
        and 'fails' not in text.split('## ')[1]
    )


def test_the_papers_figures_stand_below_ours():
    def on(part: str, **changes: object) -> dict:
        row = {**result('graphcut', 0, 0.5), 'part': part, 'hard': [True], 'random': [False]}
        return {**row, **changes}

    text = markdown([on(part) for part in INSTA10], {}, 'small', 'here')
    # The paper's mean is not that of its parts.
    assert '| *0.597* | *0.540* | *0.511* | *0.407* (printed: 0.373) |' in text
    assert text.count('in the paper') == 1, 'in its own protocol alone'
    losses = markdown([on('bolt', table='losses', method='paper: OT + i')], {}, 'small', 'here')
    assert '| *paper: OT + i, in the paper* | *0.312* | *0.312* |' in losses


def test_what_others_quote_is_a_table_of_its_own_for_those_that_it_was_measured_of():
    def on(method: str, part: str, value: float) -> dict:
        row = {**result(method, 0, value), 'part': part, 'hard': [True]}
        row['scores'][0] |= {'ari': value / 2, 'msc': value / 4}
        return {**row, 'ap': {'random': value / 8, 'hard': value / 10}}

    older = result('grabcut', 0, 0.5)
    some = [on('kmeans', 'nut', 0.8), on('kmeans', 'bolt', 0.4), on('spectral', 'nut', 0.8), older]
    text = markdown(some, {}, 'small', 'here')
    table = text[text.index('what others quote') :]
    assert '| kmeans | 0.075 | 0.300 | 0.150 | 0.060 | 0.300 | 0.150 |' in table
    assert '| spectral | (0.100) | (0.400) | (0.200) | (0.080) | (0.400) | (0.200) |' in table
    assert '| grabcut | 4.0 | 1 |' in table and table.count('grabcut') == 1
    assert 'quote' not in markdown([older], {}, 'small', 'here')
