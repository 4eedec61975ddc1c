"""The baseline from the first day: K-means on (x, y, height) of the foreground, with the number of
parts given."""

from __future__ import annotations

import numpy as np

from insegan_ros.geometry.clusters import cluster_heights
from insegan_ros.methods.baselines.classical import ClassicalSegmenter


class KMeansSegmenter(ClassicalSegmenter):
    """Clusters the metric positions of foreground pixels."""

    def label(self, height: np.ndarray, small: np.ndarray, pixel_m: float) -> np.ndarray:
        """Clusters found on the small picture, every pixel of the large one put to the nearest."""
        return cluster_heights(height, small, pixel_m, self.instances, self.min_height_m, self.seed)

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """See ClassicalSegmenter."""
        return self.label(height, height, pixel_m)
