"""A segmenter on labelled scenes: honest and paper protocol side by side, K-means on the same scenes."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from insegan_ros.datasets.shards import ShardDataset
from insegan_ros.errors import DatasetError
from insegan_ros.evaluation.metrics import count_error, foreground_iou, honest_miou, paper_miou
from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.segmenters.kmeans import KMeansSegmenter

# The paper's hard test images are those where K-means fails: best-IoU mIoU below this.
KMEANS_FAILS_BELOW = 0.7


@dataclass(frozen=True)
class SceneScore:
    """One scene's measures; NaN nowhere, since scenes without a part are refused."""

    honest_miou: float
    paper_miou: float
    foreground_iou: float
    count_error: int


def score(truth: Instances, found: Instances) -> SceneScore:
    """Compare two label images of the same size."""
    labels = truth.labels, found.labels
    return SceneScore(honest_miou(*labels), paper_miou(*labels), foreground_iou(*labels), count_error(*labels))


@dataclass(frozen=True)
class Evaluation:
    """Scores of a segmenter and of K-means on the same scenes, in order."""

    scenes: list[SceneScore]
    kmeans: list[SceneScore]

    def hard(self) -> list[int]:
        """The scenes where K-means fails."""
        return [i for i, s in enumerate(self.kmeans) if s.paper_miou < KMEANS_FAILS_BELOW]

    def summary(self, limit: int = 100) -> dict[str, float | int]:
        """Means over the first `limit` scenes, and over the first `limit` of those where K-means fails."""
        out: dict[str, float | int] = {}
        for suffix, chosen in (('', list(range(len(self.scenes)))[:limit]), ('_hard', self.hard()[:limit])):
            out[f'scenes{suffix}'] = len(chosen)
            for prefix, scores in (('', self.scenes), ('kmeans_', self.kmeans)):
                for name in ('honest_miou', 'paper_miou', 'foreground_iou'):
                    if chosen:
                        out[f'{prefix}{name}{suffix}'] = round(float(np.mean([getattr(scores[i], name) for i in chosen])), 4)
                if chosen:
                    out[f'{prefix}count_error{suffix}'] = round(float(np.mean([abs(scores[i].count_error) for i in chosen])), 3)
        return out


def evaluate(segmenter: Segmenter, data: str | Path, instances: int = 5, limit: int | None = None, progress: bool = True) -> Evaluation:
    """Run a segmenter and K-means over a folder of labelled shards; the workspace is the data's."""
    dataset = ShardDataset(data)
    segmenter.workspace = dataset.workspace
    kmeans = KMeansSegmenter(instances, dataset.workspace)
    count = min(limit or len(dataset), len(dataset))
    ours, theirs = [], []
    for index, (frame, truth) in enumerate(tqdm(dataset, total=count, desc='evaluate', unit='scene', disable=not progress)):
        if index >= count:
            break
        if not truth.labels.any():
            raise DatasetError(f'scene {index} of {data} has no visible part: expected labelled scenes')
        ours.append(score(truth, segmenter.segment(frame)))
        theirs.append(score(truth, kmeans.segment(frame)))
    return Evaluation(ours, theirs)


def scene_rows(evaluation: Evaluation) -> list[dict[str, object]]:
    """One row a scene, for a JSON file."""
    return [{'scene': i, **asdict(ours), 'kmeans': asdict(theirs)}
            for i, (ours, theirs) in enumerate(zip(evaluation.scenes, evaluation.kmeans))]


def truth_frames(data: str | Path, count: int) -> list[tuple[Frame, Instances]]:
    """The first scenes of a folder."""
    return [pair for pair, _ in zip(ShardDataset(data), range(count))]
