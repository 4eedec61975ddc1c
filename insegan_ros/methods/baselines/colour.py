"""Foreground baselines by colour or depth that need no training: what a learnt foreground segmenter
must do better than."""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.cluster import KMeans

from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.methods.baselines.grabcut import grabcut
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.segmenters.foreground import PictureSegmenter
from insegan_ros.workspace import Workspace, resolve_workspace

# Side of the pictures that they work on, in px: the papers'. The shipped networks' is 32, at which
# GrabCut has an IoU of .770 on totes, .832 at this.
WORKING_SIDE = 128
# Width of the border that begins as background for GrabCut, as a share of the picture's side.
RIM = 0.08
ITERATIONS = 5


def _working_picture(picture: np.ndarray) -> np.ndarray:
    """A picture (S, S, 3) uint8 resized to WORKING_SIDE."""
    return cv2.resize(picture, (WORKING_SIDE, WORKING_SIDE), interpolation=cv2.INTER_AREA)


def _enlarged(found: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A foreground (s, s) float32 resized to the side of a picture (S, S, 3)."""
    return cv2.resize(found, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)


class ColourGrabCutSegmenter(PictureSegmenter):
    """GrabCut (Rother et al., SIGGRAPH 2004) on colour; the picture's border begins as
    background."""

    def __init__(self, instances: int = 1, seed: int = 0) -> None:
        self.seed = seed

    def foreground(self, picture: np.ndarray) -> np.ndarray:
        """picture (S, S, 3) uint8 RGB -> foreground (S, S) float32 in [0, 1]."""
        small = _working_picture(picture)
        rim = int(RIM * WORKING_SIDE)
        mask = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
        mask[rim:-rim, rim:-rim] = cv2.GC_PR_FGD
        found = grabcut(small, mask, ITERATIONS, self.seed)
        return _enlarged(found.astype(np.float32), picture)


class ColourKMeansSegmenter(PictureSegmenter):
    """K-means with two clusters of colours (CIELAB); the one that is rarer at the picture's border
    is the foreground."""

    def __init__(self, instances: int = 1, seed: int = 0) -> None:
        self.seed = seed

    def foreground(self, picture: np.ndarray) -> np.ndarray:
        """picture (S, S, 3) uint8 RGB -> foreground (S, S) float32 in [0, 1]."""
        small = cv2.GaussianBlur(_working_picture(picture), (5, 5), 0)
        colours = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
        if len(np.unique(colours, axis=0)) < 2:
            return np.zeros(picture.shape[:2], np.float32)
        cluster = KMeans(2, n_init=3, random_state=self.seed).fit(colours).labels_
        cluster = cluster.reshape(WORKING_SIDE, WORKING_SIDE)
        rim = np.concatenate([cluster[0], cluster[-1], cluster[:, 0], cluster[:, -1]])
        found = cluster == int(rim.mean() < 0.5)
        return _enlarged(found.astype(np.float32), picture)


class DepthThresholdSegmenter(Segmenter):
    """Whatever stands higher than min_height_m above the floor is one instance."""

    task = 'foreground'

    def __init__(self, instances: int = 1, min_height_m: float = 0.006) -> None:
        self.min_height_m = min_height_m

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """One instance in the workspace's window, or none; without a workspace the floor is fitted
        to the frame."""
        workspace = resolve_workspace(workspace, frame)
        window = workspace.view(frame)
        above = workspace.height_map(frame, self.min_height_m, window) > self.min_height_m
        scores = np.full(int(above.any()), 0.5, np.float32)
        return to_instances(frame, window, above.astype(np.uint16), scores)
