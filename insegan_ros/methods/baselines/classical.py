"""What the classical baselines share, which need no training: the foreground by height, and a small
height map to work on."""

from __future__ import annotations

import copy
from abc import abstractmethod

import numpy as np

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.clusters import MIN_HEIGHT_M, labelled, min_height, window_heights
from insegan_ros.geometry.label_images import fill_foreground, nearest_resize
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace, resolve_workspace


class ClassicalSegmenter(Segmenter):
    """A baseline that is told the number of instances. What stands higher than min_height_m above
    the floor is foreground; where none is given, every frame says (`min_height`). Seeded: equal
    input, equal output."""

    # Whether `divide` decides what is foreground.
    own_foreground = False

    def __init__(
        self, instances: int = 5, min_height_m: float | None = None, seed: int = 0
    ) -> None:
        if instances < 1:
            raise ConfigError(f'instances is {instances}: expected 1 or more')
        self.instances = instances
        self.finds_height = min_height_m is None
        self.min_height_m = MIN_HEIGHT_M if min_height_m is None else min_height_m
        self.seed = seed

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """Labels of the workspace's window at the frame's resolution, with equal scores; without a
        workspace the floor is fitted to the frame."""
        workspace = resolve_workspace(workspace, frame)
        method = copy.copy(self)
        if self.finds_height:
            method.min_height_m = min_height(frame, workspace)
        seen = window_heights(frame, workspace, method.min_height_m)
        if (seen.small_m > method.min_height_m).sum() < max(self.instances, 2):
            return Instances.none(frame.depth_m.shape)
        return labelled(frame, seen, method.label(seen.height_m, seen.small_m, seen.pixel_m))

    def told(self, instances: int) -> ClassicalSegmenter:
        """The same method for another number of instances."""
        other = copy.copy(self)
        other.instances = instances
        return other

    def label(self, height: np.ndarray, small: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (H, W), 0 = background, of a height map (H, W) in metres whose pixels cover
        pixel_m; small (h, w): the same height map, resized to work on."""
        labels = self.divide(small, pixel_m * height.shape[1] / small.shape[1])
        if self.own_foreground:
            return nearest_resize(labels, height.shape)
        return fill_foreground(labels, height > self.min_height_m)

    @abstractmethod
    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w), 0 = background, of a small height map (h, w) in metres whose pixels cover
        pixel_m metres."""
