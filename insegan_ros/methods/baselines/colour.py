"""Foreground by colour or depth alone, nothing learnt: what a foreground segmenter must be better
than."""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.cluster import KMeans

from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.tasks.foreground_segmenter import PictureSegmenter
from insegan_ros.workspace import Workspace, resolve_workspace

# They run on pictures of this side, as large as the networks' own.
WORKING_SIDE = 128
# Share of the picture at its rim that GrabCut takes for background.
RIM = 0.08
ITERATIONS = 5


class ColourGrabCutSegmenter(PictureSegmenter):
    """GrabCut (Rother et al., 2004) on colour; the picture's rim begins as background."""

    def __init__(
        self, instances: int = 1, workspace: Workspace | None = None, seed: int = 0
    ) -> None:
        self.workspace, self.seed = workspace, seed

    def foreground(self, picture: np.ndarray) -> np.ndarray:
        """See PictureSegmenter."""
        small = cv2.resize(picture, (WORKING_SIDE, WORKING_SIDE), interpolation=cv2.INTER_AREA)
        rim = int(RIM * WORKING_SIDE)
        mask = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
        mask[rim:-rim, rim:-rim] = cv2.GC_PR_FGD
        cv2.setRNGSeed(self.seed)
        cv2.grabCut(
            small,
            mask,
            None,
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            ITERATIONS,
            cv2.GC_INIT_WITH_MASK,
        )
        found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.float32)
        return cv2.resize(found, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)


class ColourKMeansSegmenter(PictureSegmenter):
    """Two clusters of colours (CIELAB); the one that the picture's rim has less of is the
    foreground."""

    def __init__(
        self, instances: int = 1, workspace: Workspace | None = None, seed: int = 0
    ) -> None:
        self.workspace, self.seed = workspace, seed

    def foreground(self, picture: np.ndarray) -> np.ndarray:
        """See PictureSegmenter."""
        small = cv2.GaussianBlur(
            cv2.resize(picture, (WORKING_SIDE, WORKING_SIDE), interpolation=cv2.INTER_AREA),
            (5, 5),
            0,
        )
        colours = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
        if len(np.unique(colours, axis=0)) < 2:
            return np.zeros(picture.shape[:2], np.float32)
        owner = (
            KMeans(2, n_init=3, random_state=self.seed)
            .fit(colours)
            .labels_.reshape(WORKING_SIDE, WORKING_SIDE)
        )
        rim = np.concatenate([owner[0], owner[-1], owner[:, 0], owner[:, -1]])
        found = (owner == int(rim.mean() < 0.5)).astype(np.float32)
        return cv2.resize(found, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)


class DepthThresholdSegmenter:
    """Whatever stands above the floor is one instance."""

    def __init__(
        self, instances: int = 1, workspace: Workspace | None = None, min_height_m: float = 0.006
    ) -> None:
        self.workspace, self.min_height_m = workspace, min_height_m

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter."""
        workspace = resolve_workspace(self.workspace, frame)
        window = workspace.window(frame.intrinsics)
        labels = (
            workspace.height_map(frame, self.min_height_m, window) > self.min_height_m
        ).astype(np.uint16)
        return to_instances(
            frame, window, labels, np.full(int(labels.max(initial=0)), 0.5, np.float32)
        )
