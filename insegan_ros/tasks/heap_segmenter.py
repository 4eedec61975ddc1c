"""What all that divide a picture of a heap share: from a frame to the picture, from labels to
instances."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from insegan_ros.data.heap import Look, picture_of
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.workspace import Workspace


class HeapSegmenter(ABC):
    """Divides the window of the workspace, or the whole image. relief_m: what height becomes 1, see
    picture_of; 0 takes the picture's own."""

    part = ''

    def __init__(self, look: Look, workspace: Workspace | None, relief_m: float = 0.0) -> None:
        self.look, self.workspace, self.relief_m = look, workspace, relief_m

    @property
    def needs_colour(self) -> bool:
        """Whether frames must hold colour."""
        return self.look != 'depth'

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter. Raises InputError for a frame without what is looked at."""
        window = (
            self.workspace.window(frame.intrinsics)
            if self.workspace
            else (0, 0, frame.intrinsics.width, frame.intrinsics.height)
        )
        labels, scores = self.divide(
            picture_of(frame, self.look, self.workspace, window, self.relief_m)[0]
        )
        return to_instances(frame, window, labels, scores)

    @abstractmethod
    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and a score
        an instance."""
