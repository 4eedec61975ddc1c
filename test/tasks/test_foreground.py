"""Foreground, scored within the tote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from insegan_ros.data.pictures import Pictures
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset
from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.foreground import draw_foregrounds, evaluate_foreground
from insegan_ros.workspace import Workspace


class Truth(Segmenter):
    """A segmenter that knows the answers, in order."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.answers = iter(scenes)

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        scene = next(self.answers)
        assert workspace is scene.workspace
        return scene.labelled()


def test_scores_are_taken_within_the_tote(tote_data):
    scenes = list(ShardDataset(tote_data))
    scores = evaluate_foreground(Truth(scenes), scenes)
    assert len(scores) == len(scenes)
    for one in scores:
        assert all(one[name] == pytest.approx(1.0) for name in ('acc', 'iou', 'miou', 'ari'))


@pytest.mark.parametrize('count', [1, 5, 12, 20, 300])
def test_drawn_pictures_are_from_the_worst_to_the_best(tmp_path: Path, count: int):
    """Of 13 to 23 pictures the worst twelve were drawn, and the best of any number never."""

    class Nothing:
        def foreground(self, picture: np.ndarray) -> np.ndarray:
            return np.zeros(picture.shape[:2], np.float32)

    grey = np.linspace(0, 255, count).astype(np.uint8)
    images = np.broadcast_to(grey[:, None, None, None], (count, 8, 8, 3))
    pictures = Pictures(images, np.zeros((count, 8, 8), bool), ('',) * count, 'grey')
    scores = [{'iou': number / count} for number in range(count)]
    draw_foregrounds(Nothing(), pictures, scores, tmp_path / 'drawn.png')
    drawn = cv2.imread(str(tmp_path / 'drawn.png'))
    assert drawn.shape == (3 * 8, 8 * min(count, 12), 3)
    assert drawn[0, 0, 0] == grey[0] and drawn[0, -1, 0] == grey[-1]
    assert (np.diff(drawn[0, ::8, 0].astype(int)) >= 0).all()
