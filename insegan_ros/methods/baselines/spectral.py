"""Spectral clustering (Ng, Jordan and Weiss, NIPS 2001), a baseline of InSeGAN's Table 1."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import SpectralClustering

from insegan_ros.geometry.label_images import points
from insegan_ros.heights import resize_height
from insegan_ros.methods.baselines.classical import ClassicalSegmenter

# The affinity is a graph of neighbours between foreground pixels: at 40 px a side its eigenvectors
# take a tenth of a second.
SIDE = 40
NEIGHBOURS = 12


class SpectralSegmenter(ClassicalSegmenter):
    """Cuts the nearest-neighbour graph of the foreground's points (x, y, height)."""

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """See ClassicalSegmenter."""
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
            # Parts that lie apart make a graph in several pieces: what a bin often is.
            warnings.filterwarnings('ignore', message='Graph is not fully connected')
            labels[foreground] = model.fit_predict(found) + 1
        return labels
