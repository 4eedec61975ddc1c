"""What all that divide a picture of a heap share: from a frame to the picture, from labels to
instances."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from insegan_ros.data.heap import picture_of
from insegan_ros.frame import Frame, Instances, Modality, numbered_anew
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace, window_of

# What rises no higher than this above the floor is taken for it.
FLOOR_M = 0.003


class HeapSegmenter(Segmenter):
    """Divides the window of the workspace, or the whole image. Where colour alone is divided and a
    workspace says where the bin is, pieces of its floor and walls are no objects. relief_m: the
    height in m that becomes 1, as in picture_of; 0 takes the picture's own. flat: whether
    brightness is equalised locally."""

    task = 'heaps'

    def __init__(self, modality: Modality, relief_m: float = 0.0, flat: bool = False) -> None:
        self.modality, self.relief_m, self.flat = modality, relief_m, flat

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The objects of the heap. Raises InputError for a frame without what is looked at."""
        window = window_of(workspace, frame.intrinsics)
        picture, _ = picture_of(frame, self.modality, workspace, window, self.relief_m, self.flat)
        labels, scores = self.divide(picture)
        if self.modality == 'colour' and workspace is not None:
            labels, scores = without_the_bin(frame, workspace, window, labels, scores)
        return to_instances(frame, window, labels, scores)

    @abstractmethod
    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and a score
        an instance."""


def without_the_bin(
    frame: Frame,
    workspace: Workspace,
    window: tuple[int, int, int, int],
    labels: np.ndarray,
    scores: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (h, w) of a window (left, top, right, bottom) in px and scores (N,) without what depth
    says is floor or wall; what lies there by half of its readings or more is no object. Without a
    reading everything stays."""
    left, top, right, bottom = window
    seen = np.isfinite(frame.depth_m[top:bottom, left:right])
    bin_itself = seen & (workspace.height_map(frame, FLOOR_M, window) == 0)
    readings, beside = (
        np.bincount(labels[pixels], minlength=len(scores) + 1)[1:] for pixels in (seen, bin_itself)
    )
    kept = (readings == 0) | (beside < readings / 2)
    return numbered_anew(np.where(bin_itself, 0, labels), kept), scores[kept]
