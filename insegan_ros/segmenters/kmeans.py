"""The baseline from the first day: K-means on (x, y, height) of the foreground, with the number of
parts given."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from insegan_ros.segmenters.classical import ClassicalSegmenter, points


def fit_kmeans(
    height: np.ndarray,
    pixel_m: tuple[float, float],
    foreground: np.ndarray,
    instances: int,
    seed: int,
) -> KMeans:
    """K-means of the points (x, y, height) of a height map's foreground (h, w)."""
    return KMeans(min(instances, int(foreground.sum())), n_init=3, random_state=seed).fit(
        points(height, pixel_m)[foreground]
    )


class KMeansSegmenter(ClassicalSegmenter):
    """Clusters the metric positions of foreground pixels."""

    def label(self, height: np.ndarray, small: np.ndarray, pixel_m: float) -> np.ndarray:
        """Clusters found on the small picture, every pixel of the large one put to the nearest."""
        zoom = height.shape[1] / small.shape[1], height.shape[0] / small.shape[0]
        model = fit_kmeans(
            small,
            (pixel_m * zoom[0], pixel_m * zoom[1]),
            small > self.min_height_m,
            self.instances,
            self.seed,
        )
        foreground = height > self.min_height_m
        labels = np.zeros(height.shape, np.uint16)
        labels[foreground] = model.predict(points(height, (pixel_m, pixel_m))[foreground]) + 1
        return labels

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """See ClassicalSegmenter."""
        return self.label(height, height, pixel_m)
