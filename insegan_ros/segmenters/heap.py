"""What all that divide a picture of a heap share: from a frame to the picture, from labels to
instances."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from insegan_ros.data.heap import picture_of
from insegan_ros.frame import Frame, Instances, Modality
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace, window_of


class HeapSegmenter(Segmenter):
    """Divides the window of the workspace, or the whole image. relief_m: the height in m that
    becomes 1, as in picture_of; 0 takes the picture's own. flat: whether brightness is equalised
    locally."""

    task = 'heaps'

    def __init__(self, modality: Modality, relief_m: float = 0.0, flat: bool = False) -> None:
        self.modality, self.relief_m, self.flat = modality, relief_m, flat

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The objects of the heap. Raises InputError for a frame without what is looked at."""
        window = window_of(workspace, frame.intrinsics)
        picture, _ = picture_of(frame, self.modality, workspace, window, self.relief_m, self.flat)
        labels, scores = self.divide(picture)
        return to_instances(frame, window, labels, scores)

    @abstractmethod
    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and a score
        an instance."""
