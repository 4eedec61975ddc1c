"""Heaps: what is judged, photographs with labels."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.heaps import (
    Heap,
    HeapsTask,
    divide_heap,
    draw_heaps,
    photographed_heaps,
    score_heaps,
)
from insegan_ros.workspace import Workspace


class Answers(Segmenter):
    """A segmenter that gives the same answer whatever it sees."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
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


def test_a_picture_of_nothing_leaves_the_others_their_score(tmp_path):
    """It has no mIoU, and the mean of all was none either."""
    heap = four_squares()
    nothing = replace(heap, name='nothing', labels=np.zeros((40, 40), np.uint16))
    found = [divide_heap(Answers(one.labels), one) for one in (heap, nothing)]
    scores = score_heaps([heap, nothing], found)
    assert (scores['honest_miou'], scores['ap50'], scores['instances']) == (1.0, 1.0, 1.5)
    assert np.isnan(score_heaps([nothing], found[1:])['honest_miou'])
    draw_heaps([nothing, heap], found[::-1], tmp_path / 'drawn.png', False)
    # It has no AP50 that it could be the worst, or the best, by.
    assert cv2.imread(str(tmp_path / 'drawn.png')).shape[0] == 320


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
    cv2.imwrite(str(tmp_path / 'b_labels.png'), np.eye(20, 30, dtype=np.uint16) * 300)
    (heap,) = photographed_heaps(tmp_path)
    assert (
        heap.name == 'b'
        and heap.frame.colour[0, 0].tolist() == [30, 20, 10]
        and np.array_equal(heap.labels, np.eye(20, 30))
    )
    labels = np.zeros((20, 30), np.uint16)
    labels[:5], labels[10:15, :10] = IGNORE, 60_000
    cv2.imwrite(str(tmp_path / 'b_labels.png'), labels)
    (heap,) = photographed_heaps(tmp_path)
    assert heap.overlooked.sum() == 5 * 30
    scores = score_heaps([heap], [divide_heap(Answers((labels > 0).astype(np.uint16)), heap)])
    assert scores['instances'] == 1
    scores = score_heaps([heap], [divide_heap(Answers(heap.labels), heap)])
    assert (scores['ap50'], scores['honest_miou'], scores['count_error']) == (1.0, 1.0, 0.0)
    cv2.imwrite(str(tmp_path / 'b_labels.png'), np.zeros((5, 5), np.uint16))
    with pytest.raises(
        DatasetError, match='expected a picture, and label numbers of the same size'
    ):
        photographed_heaps(tmp_path)


def test_a_card_of_other_heaps_than_nuts_is_refused(tmp_path):
    fruit = tmp_path / 'fruit.2'
    fruit.mkdir()
    (fruit / 'dataset.yaml').write_text('part: plum\n')
    for image in (fruit, tmp_path / 'heap.JPG'):
        learnt = SimpleNamespace(config={'image': str(image), 'modality': 'colour'})
        with pytest.raises(ConfigError, match=f'was learnt from {image.name}: expected one learnt'):
            HeapsTask().card(learnt, tmp_path / 'model', 1)
