"""The benchmark of poses: rows for true masks, for ours, and for decoded poses."""

from __future__ import annotations

import pytest

from insegan_ros.benchmarks.poses import BINS, Bins
from insegan_ros.benchmarks.registry import run_benchmark

WITHOUT_MESH = 'insegan-generator-nut, insegan-views, no mesh'


@pytest.mark.slow
def test_it_has_rows_for_true_masks_and_for_ours(monkeypatch):
    monkeypatch.setattr('insegan_ros.benchmarks.poses.shipped_parts', lambda: ['nut'])
    fewer = Bins(', parts in layers', 12, 2.0, (3, 1))
    monkeypatch.setattr('insegan_ros.benchmarks.poses.BINS', (BINS[0], fewer))
    rows = {
        (row['method'], row['metric'], 'layers' in row['protocol']): row['value']
        for row in run_benchmark('poses', 'small')
    }
    models = ('cutpaste-nut', 'piles-nut')
    meshes = ('', ', reconstructed mesh')
    assert {method for method, _, _ in rows} == {
        'true masks, mesh with errors',
        *(f'{one}{mesh}' for one in ('true masks', *models) for mesh in meshes),
        *(f'insegan-generator-nut, insegan{mesh}' for mesh in meshes),
        WITHOUT_MESH,
    }
    for method in ('true masks', 'true masks, mesh with errors', *models, 'piles-nut' + meshes[1]):
        assert (
            rows[method, 'ADD-S below .1 diameter', False] > 0.8
            and rows[method, 'median MSSD', False] < 0.1
            and rows[method, 'time', False] > 0
        )
        assert rows[method, 'median ADD-S', False] < 0.05
    assert rows['piles-nut' + meshes[1], 'ADD-S below .1 diameter', True] > 0.6
    assert rows[WITHOUT_MESH, 'ADD-S below .1 diameter', False] > 0.8
    for method in (WITHOUT_MESH, 'piles-nut' + meshes[1]):
        # In the two bins of five no part is hidden by a tenth to a half.
        assert 0.5 < rows[method, 'amodal IoU', True] < 1
