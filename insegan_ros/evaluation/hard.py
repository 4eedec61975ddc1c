"""The InSeGAN paper's test set: scenes on which K-means fails."""

from __future__ import annotations

from insegan_ros.datasets.scene import Scene
from insegan_ros.evaluation.metrics import paper_miou
from insegan_ros.segmenters.kmeans import KMeansSegmenter

# K-means fails where its best-IoU mIoU, the paper's own measure, is below this. The paper gives no
# number.
KMEANS_FAILS_BELOW = 0.7


def kmeans_fails(scene: Scene) -> bool:
    """Whether K-means, told the true number of parts, fails on this labelled scene."""
    truth = scene.labelled()
    if not truth.labels.any():
        return False
    return (
        paper_miou(
            truth.labels, KMeansSegmenter(len(truth), scene.workspace).segment(scene.frame).labels
        )
        < KMEANS_FAILS_BELOW
    )
