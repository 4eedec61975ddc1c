"""Means and spreads in the report."""

from __future__ import annotations

import pytest

from insegan_ros.benchmarks.insta10_report import markdown, means


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
