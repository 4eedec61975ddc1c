"""The benchmark of bins that were moved."""

from __future__ import annotations

import pytest

from insegan_ros.benchmarks.registry import run_benchmark


@pytest.mark.slow
def test_it_has_a_row_a_movement_and_the_large_ones_are_seen(monkeypatch):
    monkeypatch.setattr('insegan_ros.benchmarks.carrier.SENSORS', ('ideal',))
    moves = ((0, 0), (5, 0), (0, 3))
    monkeypatch.setattr('insegan_ros.benchmarks.carrier.MOVES', moves)
    rows = run_benchmark('carrier', 'small')
    said = {
        (
            row['protocol'].split(',')[0],
            row['protocol'].split('moved ')[1].split(' degrees')[0],
        ): row['value']
        for row in rows
        if row['metric'] == 'said to have moved'
    }
    assert said == {
        (filled, f'{mm} mm, {degrees}'): float(bool(mm or degrees))
        for filled in ('empty', 'full')
        for mm, degrees in moves
    }
    fills = [row['value'] for row in rows if row['metric'] == 'mean fill']
    assert all(value < 1 for value in fills[:3]) and all(value > 40 for value in fills[3:])
    assert all(row['command'] == 'insegan benchmark carrier --budget small' for row in rows)
