"""The benchmark of poses: rows for true masks, for ours, and for decoded poses."""

from __future__ import annotations

import pytest

from insegan_ros.benchmarks.registry import run_benchmark

WITHOUT_MESH = 'insegan-generator-nut, insegan-views, no mesh'


@pytest.mark.slow
def test_it_has_rows_for_true_masks_and_for_ours(monkeypatch):
    monkeypatch.setattr('insegan_ros.benchmarks.poses.shipped_parts', lambda: ['nut'])
    rows = {(row['method'], row['metric']): row['value'] for row in run_benchmark('poses', 'small')}
    assert {method for method, _ in rows} == {
        'true masks',
        'true masks, mesh with errors',
        'cutpaste-nut',
        'insegan-generator-nut, insegan',
        WITHOUT_MESH,
    }
    for method in ('true masks', 'true masks, mesh with errors', 'cutpaste-nut'):
        assert (
            rows[method, 'ADD-S below .1 diameter'] > 0.8
            and rows[method, 'median MSSD'] < 0.1
            and rows[method, 'time'] > 0
        )
        assert rows[method, 'median ADD-S'] < 0.05
    assert rows[WITHOUT_MESH, 'ADD-S below .1 diameter'] > 0.8
    assert 0.5 < rows[WITHOUT_MESH, 'amodal IoU'] < 1
