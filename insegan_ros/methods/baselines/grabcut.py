"""GrabCut (Rother et al., SIGGRAPH 2004) for the foreground, K-means for the instances: a baseline
of InSeGAN's Table 1."""

from __future__ import annotations

import cv2
import numpy as np

from insegan_ros.geometry.clusters import fit_kmeans
from insegan_ros.methods.baselines.classical import ClassicalSegmenter

ITERATIONS = 3


def grabcut(picture: np.ndarray, mask: np.ndarray, iterations: int, seed: int) -> np.ndarray:
    """The foreground (H, W) bool of a picture (H, W, 3) uint8 by GrabCut, begun with OpenCV's
    classes mask (H, W) uint8 (cv2.GC_BGD and so on), which is written to."""
    cv2.setRNGSeed(seed)
    # The rectangle is not looked at where there is a mask.
    rectangle, background, foreground = (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, mask, rectangle, background, foreground, iterations, cv2.GC_INIT_WITH_MASK)
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


class GrabCutSegmenter(ClassicalSegmenter):
    """GrabCut on the height map as a grey picture; what stands above the floor begins as
    foreground."""

    own_foreground = True

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w) uint16, 0 = background, of a height map (h, w) in metres."""
        foreground = height > self.min_height_m
        if foreground.any() and not foreground.all():
            mask = np.where(foreground, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
            grey = np.clip(255 * height / max(float(height.max()), 1e-6), 0, 255).astype(np.uint8)
            picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
            foreground = grabcut(picture, mask, ITERATIONS, self.seed)
        labels = np.zeros(height.shape, np.uint16)
        if foreground.sum() >= self.instances:
            model = fit_kmeans(height, (pixel_m, pixel_m), foreground, self.instances, self.seed)
            labels[foreground] = model.labels_ + 1
        return labels
