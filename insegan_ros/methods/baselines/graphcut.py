"""Graph cut by alpha expansion (Boykov, Veksler and Zabih, 2001), a baseline of InSeGAN's Table
1."""

from __future__ import annotations

import maxflow.fastmin
import numpy as np

from insegan_ros.geometry.clusters import fit_kmeans
from insegan_ros.geometry.label_images import points
from insegan_ros.methods.baselines.classical import ClassicalSegmenter

# Cost of a border between two neighbours, as a share of the mean squared distance to a cluster's
# centre.
SMOOTHNESS = 0.5


class GraphCutSegmenter(ClassicalSegmenter):
    """Labels are the floor and one K-means centre each; a pixel pays its squared distance to the
    centre, and a border its length."""

    own_foreground = True

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """See ClassicalSegmenter."""
        foreground = height > self.min_height_m
        where = points(height, (pixel_m, pixel_m))
        model = fit_kmeans(height, (pixel_m, pixel_m), foreground, self.instances, self.seed)
        squared = ((where[..., None, :] - model.cluster_centers_) ** 2).sum(-1)
        unit = float(squared.min(-1)[foreground].mean()) + 1e-12
        # The floor costs nothing where the camera sees it, and much on what stands up; a part the
        # other way round.
        floor = np.where(foreground, 8 * unit, 0.0)[..., None]
        parts = squared + np.where(foreground, 0.0, 8 * unit)[..., None]
        cost = np.concatenate([floor, parts], -1) / unit
        return maxflow.fastmin.aexpansion_grid(
            np.ascontiguousarray(cost), SMOOTHNESS * (1 - np.eye(cost.shape[-1]))
        ).astype(np.uint16)
