"""What the baselines that need no training share: the foreground from the input's height, a small
picture to work on."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.clusters import MIN_HEIGHT_M, labelled, window_heights
from insegan_ros.geometry.label_images import fill_foreground, nearest_resize
from insegan_ros.workspace import Workspace, resolve_workspace


class ClassicalSegmenter(ABC):
    """A baseline that is told the number of `instances` and nothing else. Seeded: equal input,
    equal output."""

    # Whether `divide` decides what is foreground; otherwise what stands above the floor is.
    own_foreground = False

    def __init__(
        self,
        instances: int = 5,
        workspace: Workspace | None = None,
        min_height_m: float = MIN_HEIGHT_M,
        seed: int = 0,
    ) -> None:
        if instances < 1:
            raise ConfigError(f'instances is {instances}: expected 1 or more')
        self.instances, self.workspace, self.min_height_m, self.seed = (
            instances,
            workspace,
            min_height_m,
            seed,
        )

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter."""
        seen = window_heights(frame, resolve_workspace(self.workspace, frame), self.min_height_m)
        if (seen.small_m > self.min_height_m).sum() < max(self.instances, 2):
            return Instances.none(frame.depth_m.shape)
        return labelled(frame, seen, self.label(seen.height_m, seen.small_m, seen.pixel_m))

    def label(self, height: np.ndarray, small: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (H, W), 0 = background, for the window's height map in metres; `small` is the
        same, resized to work on."""
        labels = self.divide(small, pixel_m * height.shape[1] / small.shape[1])
        return (
            nearest_resize(labels, height.shape)
            if self.own_foreground
            else fill_foreground(labels, height > self.min_height_m)
        )

    @abstractmethod
    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w), 0 = background, of a small height map in metres whose pixels cover
        pixel_m."""
