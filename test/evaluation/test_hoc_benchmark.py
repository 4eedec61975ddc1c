"""Heaps: what is judged, what the tables hold, that a second start trains nothing."""

from __future__ import annotations

import json
from functools import partial

import cv2
import numpy as np
import pytest

from insegan_ros.benchmarks.benchmark import run_hoc
from insegan_ros.benchmarks.heaps import BUDGETS, GRIDS, HocBenchmark, cells, make_heaps
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.evaluation import card as cards
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.tasks.heaps import Heap, divide_heap, photographed_heaps, score_heaps


class Answers:
    """A segmenter that gives the same answer whatever it sees."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.workspace = labels, None

    def segment(self, frame: Frame) -> Instances:
        return Instances(
            self.labels, np.linspace(0.9, 0.5, int(self.labels.max())).astype(np.float32)
        )


def four_squares() -> Heap:
    """Three squares that are judged, one that is overlooked."""
    labels = np.zeros((40, 40), np.uint16)
    for number, (row, column) in enumerate(((5, 5), (5, 25), (25, 5), (25, 25)), start=1):
        labels[row : row + 10, column : column + 10] = number
    frame = Frame(np.full((40, 40), 0.5, np.float32), Intrinsics(40, 40, 19.5, 19.5, 40, 40))
    return Heap('four', frame, np.where(labels < 4, labels, 0).astype(np.uint16), labels == 4, None)


def test_what_is_not_judged_is_neither_gain_nor_loss():
    heap = four_squares()
    for answer in (heap.labels, heap.labels + 4 * heap.overlooked):
        scores = score_heaps([heap], [divide_heap(Answers(answer.astype(np.uint16)), heap)])
        assert (
            scores['ap50'],
            scores['honest_miou'],
            scores['count_error'],
            scores['instances'],
        ) == (1.0, 1.0, 0.0, 3.0)
    lost = np.where(heap.labels == 2, 0, heap.labels)
    scores = score_heaps([heap], [divide_heap(Answers(lost.astype(np.uint16)), heap)])
    assert (
        scores['honest_miou'] == pytest.approx(2 / 3, abs=1e-3)
        and scores['count_error'] == 1
        and scores['ap50'] < 0.7
    )
    split = np.where((heap.labels == 1) & (np.arange(40) < 10), 5, heap.labels)
    assert (
        score_heaps([heap], [divide_heap(Answers(split.astype(np.uint16)), heap)])['count_error']
        == 1
    )


def test_photographs_come_with_their_labels(tmp_path):
    with pytest.raises(DatasetError, match='holds no picture with labels'):
        photographed_heaps(tmp_path)
    cv2.imwrite(str(tmp_path / 'b.png'), np.full((20, 30, 3), (10, 20, 30), np.uint8))
    cv2.imwrite(str(tmp_path / 'b_labels.png'), np.eye(20, 30).astype(np.uint16) * 300)
    (heap,) = photographed_heaps(tmp_path)
    assert (
        heap.name == 'b'
        and heap.frame.colour[0, 0].tolist() == [30, 20, 10]
        and heap.labels.max() == 300
    )
    cv2.imwrite(str(tmp_path / 'b_labels.png'), np.zeros((5, 5), np.uint16))
    with pytest.raises(
        DatasetError, match='expected a picture, and label numbers of the same size'
    ):
        photographed_heaps(tmp_path)


def test_the_papers_ablations_and_the_baselines_are_there(tmp_path):
    everything = list(cells(pictures=True))
    changes = [cell.changes for cell in everything if cell.table == 'ablation by depth']
    assert {key for one in changes for key in one} == {
        'gan.area',
        'generator.disk',
        'generator.padding',
        'gan.binary',
        'generator.relief',
    }
    for table in (
        'heaps of nuts by depth',
        'heaps of nuts by colour',
        'heaps of nuts by both',
        'photographs',
    ):
        assert {'watershed', 'felzenszwalb', 'template', 'kmeans', 'hoc'} <= {
            cell.method for cell in everything if cell.table == table
        }
    assert not any(cell.set == 'pictures' for cell in cells(pictures=False))
    with pytest.raises(ConfigError, match='unknown table or method "everything, nothing"'):
        HocBenchmark(tmp_path, BUDGETS['small']).run({'everything', 'nothing'})


@pytest.mark.slow
def test_the_small_budget_ends_in_tables_and_a_card(tmp_path, monkeypatch, capsys):
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
        and '80 to 100 nuts' in text
    )
    assert (
        cv2.imread(str(tmp_path / 'bench/pictures/heaps-of-nuts-by-depth-hoc.png')).shape[1]
        == 3 * 320
    )
    monkeypatch.setattr(HocBenchmark, '_measure', lambda *arguments: pytest.fail('measured again'))
    assert run_hoc(tmp_path / 'bench', 'small', only) == found
    # The card measures on heaps of its own; small ones here.
    monkeypatch.setattr(cards, 'make_heaps', partial(make_heaps, nuts='80-100'))
    monkeypatch.setattr(
        'insegan_ros.benchmarks.heaps.GRIDS',
        {
            name: (kind, {key: some[:1] for key, some in grid.items()})
            for name, (kind, grid) in GRIDS.items()
        },
    )
    card = cards.make_card(
        tmp_path / 'bench/runs/heaps-depth/checkpoint', tmp_path / 'card', limit=1
    )
    assert card == json.loads((tmp_path / 'card/card.json').read_text()) and card['look'] == 'depth'
    assert {
        'ap50',
        'honest_miou',
        'count_error',
        'ap50_watershed',
        'ap50_felzenszwalb',
        'single',
    } <= card['metrics'].keys()
    assert '| AP50 |' in (tmp_path / 'card/README.md').read_text() and all(
        (tmp_path / 'card' / name).stat().st_size > 1000
        for name in ('scenes.png', 'objects.png', 'weights.safetensors')
    )
