"""What all methods share that tell foreground from background in a colour picture, trained or
not."""

from __future__ import annotations

from abc import abstractmethod

import cv2
import numpy as np

from insegan_ros.data.pictures import View, square_window
from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import TRAINING_MARGIN, Workspace, window_of

# Smaller pieces, as shares of the picture, are no object.
SMALLEST_PIECE = 0.002


class PictureSegmenter(Segmenter):
    """Every connected piece of the foreground is an instance. With a workspace the bin's inside is
    looked at, without one the whole picture."""

    task = 'foreground'
    modality = 'colour'
    # What of a picture it is meant for: see read_pictures.
    view: View = 'scene'
    context = 1.2

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The connected pieces of the foreground, each with its mean certainty as score. Raises
        InputError for a frame without colour."""
        if frame.colour is None:
            raise InputError(
                'the frame has no colour: expected a colour picture aligned with depth, which this'
                ' method looks at'
            )
        left, top, right, bottom = window = window_of(workspace, frame.intrinsics, TRAINING_MARGIN)
        share = self.foreground(square_window(window, frame.colour))[: bottom - top, : right - left]
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(
            (share > 0.5).astype(np.uint8), connectivity=8
        )
        labels, scores = np.zeros(share.shape, np.uint16), []
        for piece in range(1, count):
            if stats[piece][cv2.CC_STAT_AREA] >= max(SMALLEST_PIECE * share.size, 4):
                own = pieces == piece
                scores.append(float(share[own].mean()))
                labels[own] = len(scores)
        return to_instances(frame, window, labels, np.array(scores, np.float32))

    @abstractmethod
    def foreground(self, picture: np.ndarray) -> np.ndarray:
        """picture (S, S, 3) uint8 RGB -> (S, S) float32, how sure it is that a pixel is foreground,
        in [0, 1]."""
