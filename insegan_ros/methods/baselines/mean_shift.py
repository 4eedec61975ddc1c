"""Mean Shift (Comaniciu and Meer, 2002) on (x, y, height): modes of the points' density are
instances."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import MeanShift

from insegan_ros.geometry.label_images import points
from insegan_ros.heights import resize_height
from insegan_ros.methods.baselines.classical import ClassicalSegmenter

# Points are shifted one by one: at this many pixels a side it takes a second.
SIDE = 24
# The kernel's radius, in radii of a disk that covers an equal share of the foreground.
BANDWIDTH = 1.0


class MeanShiftSegmenter(ClassicalSegmenter):
    """The number of instances sets the kernel's width; how many modes there are, the points say."""

    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w), 0 = background, of a height map (h, w) in metres; coarser than it."""
        small = resize_height(height, min(1.0, SIDE / max(height.shape)))
        foreground = small > self.min_height_m
        labels = np.zeros(small.shape, np.uint16)
        zoom = pixel_m * height.shape[1] / small.shape[1]
        found = points(small, (zoom, zoom))[foreground]
        # A small part may be lost at this resolution, and a kernel needs a width.
        if not len(found):
            return labels
        share_m2 = len(found) * zoom**2 / self.instances
        model = MeanShift(bandwidth=BANDWIDTH * np.sqrt(share_m2 / np.pi), bin_seeding=True)
        labels[foreground] = model.fit_predict(found) + 1
        return labels
