"""Foreground, scored within the tote."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset
from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.foreground import evaluate_foreground
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
