"""Tables of bins of any fill."""

from __future__ import annotations

import json

import cv2
import pytest

from insegan_ros.benchmarks.bins import TRUE, BinsBudget, cells, run_bins


def test_every_condition_has_every_method():
    budget = BinsBudget.read('full')
    everything = list(cells(budget))
    assert len(everything) == 11 * 4 * 4 * 2 * 5
    assert {(one.fill, one.count) for one in everything} == {
        (fill, count) for fill in (0.7, 1.0, 2.0, 3.0) for count in (5, 20, 40, 100)
    }
    assert {one.model for one in everything if one.part == 'nut'} == {
        *('kmeans', 'spectral', 'cutpaste-nut', 'piles-nut', '')
    }


@pytest.mark.slow
def test_the_small_budget_ends_in_tables_and_goes_on_where_it_was(tmp_path):
    only = {'kmeans', 'cutpaste', TRUE}
    rows = run_bins(tmp_path / 'bins', 'small', only)
    values = {(row['method'], row['metric']): row['value'] for row in rows}
    assert values['cutpaste', 'found50'] > 0.2 and 0 <= values[TRUE, 'seen_miou'] <= 1
    assert {row['protocol'] for row in rows} == {'15 parts fill 2 ideal (small budget)'}
    text = (tmp_path / 'bins/tables.md').read_text()
    assert '## 15 parts fill 2 ideal, every part' in text and '| nut, kmeans |' in text
    (picture, *_) = (tmp_path / 'bins/pictures').glob('*cutpaste.png')
    assert cv2.imread(str(picture)).shape == (3 * (224 + 30), 2 * 224, 3)
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / 'bins/results').iterdir()}
    assert run_bins(tmp_path / 'bins', 'small', only) == rows
    assert results == {path: path.stat().st_mtime_ns for path in results}
    assert json.loads((tmp_path / 'bins/tables.json').read_text()) == rows
