"""The benchmark of numbers that stay."""

from __future__ import annotations

import pytest

from insegan_ros.benchmarks.registry import run_benchmark


@pytest.mark.slow
def test_it_tells_how_many_keep_their_number():
    rows = run_benchmark('tracks', 'small')
    values = {row['metric']: row['value'] for row in rows}
    assert set(values) == {'keep their number', 'keep it when one is taken', 'processor time'}
    assert values['keep their number'] > 0.95 and values['keep it when one is taken'] > 0.8
    assert rows[0]['protocol'].startswith('8 parts, d435, 640x480')
