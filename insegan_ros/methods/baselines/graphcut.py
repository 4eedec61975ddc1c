"""Graph cut by alpha expansion (Boykov, Veksler and Zabih, PAMI 2001), a baseline of InSeGAN's
Table 1."""

from __future__ import annotations

import maxflow.fastmin
import numpy as np

from insegan_ros.geometry.clusters import fit_kmeans
from insegan_ros.geometry.label_images import points
from insegan_ros.methods.baselines.classical import ClassicalSegmenter

# Cost of a border between two neighbours, and of a part on the floor or the floor on a part, in
# mean squared distances to a cluster's centre.
SMOOTHNESS, MISPLACED = 0.5, 8


class GraphCutSegmenter(ClassicalSegmenter):
    """Labels are the floor and the centres of K-means; a pixel costs its squared distance to its
    label's centre, a border between labels its length."""

    own_foreground = True

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w) uint16, 0 = background, of a height map (h, w) in metres."""
        foreground = height > self.min_height_m
        where = points(height, (pixel_m, pixel_m))
        model = fit_kmeans(height, (pixel_m, pixel_m), foreground, self.instances, self.seed)
        squared = ((where[..., None, :] - model.cluster_centers_) ** 2).sum(-1)
        unit = float(squared.min(-1)[foreground].mean()) + 1e-12
        # The floor costs nothing where the camera sees it, and much on what stands above it; a part
        # the other way round.
        floor = np.where(foreground, MISPLACED * unit, 0.0)[..., None]
        parts = squared + np.where(foreground, 0.0, MISPLACED * unit)[..., None]
        cost = np.ascontiguousarray(np.concatenate([floor, parts], -1) / unit)
        borders = SMOOTHNESS * (1 - np.eye(cost.shape[-1]))
        return maxflow.fastmin.aexpansion_grid(cost, borders).astype(np.uint16)
