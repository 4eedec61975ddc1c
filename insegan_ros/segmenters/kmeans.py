"""The baseline from the first day: K-means on (x, y, height) of the foreground, with the number of parts given."""
from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.base import clean, resolve_workspace, to_instances
from insegan_ros.workspace import Workspace, resize_height

# K-means runs on about this many pixels a side; its clusters are as good and a hundred times quicker.
WORKING_SIDE = 64


class KMeansSegmenter:
    """Clusters the metric positions of foreground pixels. `instances` must be known; seeded, so equal input, equal output."""

    def __init__(self, instances: int = 5, workspace: Workspace | None = None, min_height_m: float = 0.006, seed: int = 0) -> None:
        if instances < 1:
            raise ConfigError(f'instances is {instances}: expected 1 or more')
        self.instances, self.workspace, self.min_height_m, self.seed = instances, workspace, min_height_m, seed

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter."""
        workspace = resolve_workspace(self.workspace, frame)
        window = workspace.window(frame.intrinsics)
        height = workspace.height_map(frame, self.min_height_m, window)
        metres = workspace.floor_distance_m / frame.intrinsics.fx
        small = resize_height(height, min(1.0, WORKING_SIDE / max(height.shape)))
        zoom = height.shape[0] / small.shape[0], height.shape[1] / small.shape[1]
        points = _points(small, metres * zoom[1], metres * zoom[0])[small > self.min_height_m]
        if len(points) < self.instances:
            return Instances.none(frame.depth_m.shape)
        model = KMeans(self.instances, n_init=3, random_state=self.seed).fit(points)
        foreground = height > self.min_height_m
        labels = np.zeros(height.shape, np.uint16)
        labels[foreground] = model.predict(_points(height, metres, metres)[foreground]) + 1
        labels = clean(labels, 0.0005 * height.size)
        count = int(labels.max(initial=0))
        return to_instances(frame, window, labels, np.full(count, 0.5, np.float32))


def _points(height: np.ndarray, metres_x: float, metres_y: float) -> np.ndarray:
    y, x = np.mgrid[:height.shape[0], :height.shape[1]]
    return np.stack([(x + 0.5) * metres_x, (y + 0.5) * metres_y, height], -1).astype(np.float32)
