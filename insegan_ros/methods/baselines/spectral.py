"""Spectral clustering (Ng, Jordan and Weiss, NIPS 2001), a baseline of InSeGAN's Table 1."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import SpectralClustering

from insegan_ros.geometry.label_images import points
from insegan_ros.heights import resize_height
from insegan_ros.methods.baselines.classical import ClassicalSegmenter

# Longest side in px of the height map whose foreground pixels are clustered: at 40 px the
# eigenvectors of their nearest-neighbour graph take a tenth of a second.
SIDE = 40
NEIGHBOURS = 12


class SpectralSegmenter(ClassicalSegmenter):
    """Spectral clustering of the foreground's points (x, y, height) by their nearest-neighbour
    graph."""

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h', w') uint16, 0 = background, at a working resolution of up to SIDE px, of a
        height map (h, w) in metres."""
        small = resize_height(height, min(1.0, SIDE / max(height.shape)))
        foreground = small > self.min_height_m
        labels = np.zeros(small.shape, np.uint16)
        zoom = pixel_m * height.shape[1] / small.shape[1]
        found = points(small, (zoom, zoom))[foreground]
        if len(found) <= self.instances:
            labels[foreground] = np.arange(1, len(found) + 1)
            return labels
        model = SpectralClustering(
            self.instances,
            affinity='nearest_neighbors',
            n_neighbors=min(NEIGHBOURS, len(found) - 1),
            assign_labels='kmeans',
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # Parts that lie apart make a graph of several components, as bins often do.
            warnings.filterwarnings('ignore', message='Graph is not fully connected')
            labels[foreground] = model.fit_predict(found) + 1
        return labels
