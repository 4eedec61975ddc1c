"""The InSeGAN paper's test set: scenes on which K-means fails."""

from __future__ import annotations

from insegan_ros.data.scene import Scene
from insegan_ros.frame import counted
from insegan_ros.geometry.clusters import kmeans_instances
from insegan_ros.metrics.masks import paper_miou

# K-means fails where its best-IoU mIoU, the paper's own measure, is below this. The paper gives no
# number.
KMEANS_FAILS_BELOW = 0.7


def kmeans_fails(scene: Scene) -> bool:
    """Whether K-means, told the true number of parts, fails on this labelled scene."""
    truth = scene.labelled()
    if not truth.labels.any():
        return False
    found = kmeans_instances(scene.frame, scene.workspace, len(truth))
    return paper_miou(*counted(truth.labels, found.labels)) < KMEANS_FAILS_BELOW
