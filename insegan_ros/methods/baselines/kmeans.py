"""K-means on (x, y, height) of the foreground, with the number of parts given."""

from __future__ import annotations

import numpy as np

from insegan_ros.geometry.clusters import cluster_heights
from insegan_ros.methods.baselines.classical import ClassicalSegmenter


class KMeansSegmenter(ClassicalSegmenter):
    """Clusters the positions of foreground pixels in metres."""

    def label(self, height: np.ndarray, small: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (H, W), 0 = background: clusters are found on the small height map, and every
        pixel of the large one belongs to the nearest."""
        return cluster_heights(height, small, pixel_m, self.instances, self.min_height_m, self.seed)

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w) uint16, 0 = background, of a height map (h, w) in metres."""
        return self.label(height, height, pixel_m)
