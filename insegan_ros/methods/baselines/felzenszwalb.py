"""Efficient graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004), "Graph
Segmentation" in InSeGAN's Table 3."""

from __future__ import annotations

import numpy as np
from skimage.segmentation import felzenszwalb

from insegan_ros.methods.baselines.classical import ClassicalSegmenter

# Scales tried, and the smallest region as a share of the picture.
SCALES = (10, 20, 40, 80, 160, 320, 640)
SMALLEST_SHARE = 0.002


class FelzenszwalbSegmenter(ClassicalSegmenter):
    """Regions of similar height. Of several scales the one is taken whose number of regions is
    nearest to the given number of instances; the largest regions stay, and the rest of the
    foreground goes to its neighbours."""

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w) uint16, 0 = background, of a height map (h, w) in metres."""
        foreground = height > self.min_height_m
        picture = height / max(float(height.max()), 1e-6)
        min_size = max(int(SMALLEST_SHARE * height.size), 4)
        candidates = []
        for scale in SCALES:
            regions = felzenszwalb(picture, scale=scale, sigma=0.5, min_size=min_size)
            labels = np.zeros(height.shape, np.uint16)
            labels[foreground] = np.unique(regions[foreground], return_inverse=True)[1] + 1
            candidates.append(labels)
        best = min(candidates, key=lambda labels: abs(int(labels.max()) - self.instances))
        largest = np.argsort(-np.bincount(best.ravel())[1:], kind='stable')[: self.instances] + 1
        return np.where(np.isin(best, largest), best, 0).astype(np.uint16)
