"""GrabCut (Rother et al., 2004) for the foreground, K-means for the instances: a baseline of
InSeGAN's Table 1."""

from __future__ import annotations

import cv2
import numpy as np

from insegan_ros.geometry.clusters import fit_kmeans
from insegan_ros.methods.baselines.classical import ClassicalSegmenter

ITERATIONS = 3


class GrabCutSegmenter(ClassicalSegmenter):
    """Colour models of foreground and background are learnt on the picture of heights; what stands
    up begins as foreground."""

    own_foreground = True

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """See ClassicalSegmenter."""
        above = height > self.min_height_m
        grey = np.clip(255 * height / max(float(height.max()), 1e-6), 0, 255).astype(np.uint8)
        mask = np.where(above, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        if above.any() and not above.all():
            cv2.setRNGSeed(self.seed)
            cv2.grabCut(
                cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR),
                mask,
                None,
                np.zeros((1, 65)),
                np.zeros((1, 65)),
                ITERATIONS,
                cv2.GC_INIT_WITH_MASK,
            )
        foreground = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
        labels = np.zeros(height.shape, np.uint16)
        if foreground.sum() >= self.instances:
            labels[foreground] = (
                fit_kmeans(
                    height, (pixel_m, pixel_m), foreground, self.instances, self.seed
                ).labels_
                + 1
            )
        return labels
