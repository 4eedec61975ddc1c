"""The tables of heaps: the papers' ablations, a second start that trains nothing, a card."""

from __future__ import annotations

import json
from functools import partial

import cv2
import numpy as np
import pytest

from insegan_ros.benchmarks.heaps import (
    FRUIT,
    LEARNT,
    OTHERS,
    PHOTOGRAPHED,
    HeapBenchmark,
    HeapBudget,
    cells,
    run_hoc,
)
from insegan_ros.errors import ConfigError
from insegan_ros.methods.hoc.segmenter import USUAL
from insegan_ros.tasks.base import make_card
from insegan_ros.tasks.heaps import GRIDS, HeapsTask, make_heaps


def test_the_papers_ablations_and_the_baselines_are_there(tmp_path):
    everything = list(cells(pictures=LEARNT + 1))
    changes = [cell.changes for cell in everything if cell.table == 'ablation by depth']
    assert {key for one in changes for key in one} == {
        'gan.area',
        'generator.disk',
        'generator.padding',
        'gan.binary',
        'generator.relief',
        'generator.disk_masks',
        'generator.providers',
    }
    colour = [cell.changes for cell in everything if cell.table == 'heaps of nuts by colour']
    assert {'flatten': True, 'generator.ground': True, 'generator.shadow': 0.5} in colour
    assert [cell.changes for cell in everything if cell.table == 'seeds by depth'] == [
        {'seed': 1},
        {'seed': 2},
    ]
    for table in (
        'heaps of nuts by depth',
        'heaps of nuts by colour',
        'heaps of nuts by both',
        'photographs',
        OTHERS,
        FRUIT,
    ):
        assert {'watershed', 'felzenszwalb', 'template', 'kmeans', 'hoc'} <= {
            cell.method.partition(' ')[0] for cell in everything if cell.table == table
        }
    assert not any(cell.set in PHOTOGRAPHED for cell in cells(pictures=0))
    assert not any(cell.table == OTHERS for cell in cells(pictures=LEARNT))
    benchmark = HeapBenchmark(tmp_path, HeapBudget.read('small'))
    assert {benchmark.config(cell).votes for cell in everything if not cell.baseline} == {USUAL}
    with pytest.raises(ConfigError, match='unknown table or method "everything, nothing"'):
        benchmark.run({'everything', 'nothing'})


def test_photographs_are_judged_by_what_was_learnt_from_others(tmp_path):
    for name in 'edcba':
        picture = np.full((64, 64, 3), ord(name), np.uint8)
        labels = np.zeros((64, 64), np.uint16)
        labels[8:30, 8:30] = 1
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture)
        cv2.imwrite(str(tmp_path / f'{name}_labels.png'), labels)
    benchmark = HeapBenchmark(tmp_path / 'bench', HeapBudget.read('small'), tmp_path)
    assert [heap.name for heap in benchmark.heaps('others')] == ['d', 'e']
    learnt = [cell.learnt for cell in cells(5) if cell.table == OTHERS and not cell.baseline]
    assert learnt == [0, 1, 2]


@pytest.mark.slow
def test_the_small_budget_ends_in_tables_and_a_card(tmp_path, monkeypatch):
    only = {'heaps of nuts by depth', 'watershed', 'hoc'}
    found = run_hoc(tmp_path / 'bench', 'small', only)
    values = {(row['method'], row['metric']): row['value'] for row in found}
    assert (
        values['watershed', 'ap50'] > 0.05
        and values['hoc', 'single'] > 0.5
        and values['hoc', 'honest_miou'] >= 0
    )
    assert all('small budget' in row['protocol'] and row['benchmark'] == 'hoc' for row in found)
    text = (tmp_path / 'bench/tables.md').read_text()
    assert (
        'a shrunken run' in text
        and '## Heaps of nuts by depth' in text
        and '80 to 100 parts' in text
    )
    assert (
        cv2.imread(str(tmp_path / 'bench/pictures/heaps-of-nuts-by-depth-hoc.png')).shape[1]
        == 3 * 320
    )
    monkeypatch.setattr(HeapBenchmark, '_measure', lambda *arguments: pytest.fail('measured again'))
    assert run_hoc(tmp_path / 'bench', 'small', only) == found
    # The card measures on heaps of its own; small ones here.
    monkeypatch.setattr('insegan_ros.tasks.heaps.make_heaps', partial(make_heaps, nuts='80-100'))
    monkeypatch.setattr(
        'insegan_ros.tasks.heaps.GRIDS',
        {
            name: (kind, {key: some[:1] for key, some in grid.items()})
            for name, (kind, grid) in GRIDS.items()
        },
    )
    checkpoint = tmp_path / 'bench/runs/heaps-depth/checkpoint'
    card = make_card(HeapsTask(), checkpoint, tmp_path / 'card', limit=1)
    assert card == json.loads((tmp_path / 'card/card.json').read_text())
    assert (
        card['modality'] == 'depth'
        and {'ap50', 'honest_miou', 'count_error', 'ap50_watershed', 'ap50_felzenszwalb', 'single'}
        <= card['metrics'].keys()
    )
    assert '| AP50 |' in (tmp_path / 'card/README.md').read_text() and all(
        (tmp_path / 'card' / name).stat().st_size > 1000
        for name in ('scenes.png', 'objects.png', 'weights.safetensors')
    )
