"""What the baselines that need no training share: the foreground from the input's height, a small
picture to work on."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.ndimage import distance_transform_edt

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.base import clean, resolve_workspace, to_instances
from insegan_ros.workspace import Workspace, resize_height

# They run on about this many pixels a side, the paper's image; results are as good as at full size
# and a hundred times quicker.
WORKING_SIDE = 64


class ClassicalSegmenter(ABC):
    """A baseline that is told the number of `instances` and nothing else. Seeded: equal input,
    equal output."""

    # Whether `divide` decides what is foreground; otherwise what stands above the floor is.
    own_foreground = False

    def __init__(
        self,
        instances: int = 5,
        workspace: Workspace | None = None,
        min_height_m: float = 0.006,
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
        workspace = resolve_workspace(self.workspace, frame)
        window = workspace.window(frame.intrinsics)
        height = workspace.height_map(frame, self.min_height_m, window)
        small = resize_height(height, min(1.0, WORKING_SIDE / max(height.shape)))
        if (small > self.min_height_m).sum() < max(self.instances, 2):
            return Instances.none(frame.depth_m.shape)
        pixel_m = workspace.floor_distance_m / frame.intrinsics.fx
        labels = clean(self.label(height, small, pixel_m), 0.0005 * height.size)
        return to_instances(
            frame, window, labels, np.full(int(labels.max(initial=0)), 0.5, np.float32)
        )

    def label(self, height: np.ndarray, small: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (H, W), 0 = background, for the window's height map in metres; `small` is the
        same, resized to work on."""
        labels = self.divide(small, pixel_m * height.shape[1] / small.shape[1])
        return (
            nearest_resize(labels, height.shape)
            if self.own_foreground
            else spread(labels, height > self.min_height_m)
        )

    @abstractmethod
    def divide(self, height: np.ndarray, pixel_m: float) -> np.ndarray:
        """Labels (h, w), 0 = background, of a small height map in metres whose pixels cover
        pixel_m."""


def points(height: np.ndarray, pixel_m: tuple[float, float]) -> np.ndarray:
    """(H, W, 3) metric x, y, height of every pixel; pixel_m is (x, y)."""
    y, x = np.mgrid[: height.shape[0], : height.shape[1]]
    return np.stack([(x + 0.5) * pixel_m[0], (y + 0.5) * pixel_m[1], height], -1).astype(np.float32)


def nearest_resize(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) at another resolution, nearest pixel."""
    rows = np.minimum(
        (np.arange(shape[0]) + 0.5) * labels.shape[0] / shape[0], labels.shape[0] - 1
    ).astype(int)
    columns = np.minimum(
        (np.arange(shape[1]) + 0.5) * labels.shape[1] / shape[1], labels.shape[1] - 1
    ).astype(int)
    return labels[rows[:, None], columns[None]]


def spread(labels: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Labels (h, w), 0 = none, brought to a foreground (H, W): every pixel of it takes the nearest
    label that there is."""
    if not labels.any():
        return np.zeros(foreground.shape, np.uint16)
    rows, columns = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(foreground, nearest_resize(labels[rows, columns], foreground.shape), 0).astype(
        np.uint16
    )
