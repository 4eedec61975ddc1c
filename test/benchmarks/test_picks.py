"""The benchmark of picks: a row a gripper and kind of masks."""

from __future__ import annotations

import pytest

from insegan_ros.benchmarks.registry import run_benchmark


@pytest.mark.slow
def test_it_has_a_row_a_gripper_and_kind_of_masks(monkeypatch):
    monkeypatch.setattr('insegan_ros.benchmarks.picks.shipped_parts', lambda: ['nut'])
    rows = run_benchmark('picks', 'small')
    free = {
        (row['method'], row['protocol'].split(', ')[1].split()[0]): row['value']
        for row in rows
        if row['metric'] == 'first pick truly free'
    }
    assert set(free) == {
        (method, gripper)
        for method in ('true masks', 'cutpaste-nut')
        for gripper in ('suction', 'parallel')
    }
    assert free['true masks', 'suction'] == 1 and all(0 <= value <= 1 for value in free.values())
    assert sum(row['unit'] == 'ms' for row in rows) == 2 and all(
        row['command'] == 'insegan benchmark picks --budget small' for row in rows
    )
