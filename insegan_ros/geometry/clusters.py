"""K-means on the points of a height map, told how many parts there are: the baseline that every
score stands beside, and what tells a hard scene from an easy one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans

from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import clean, points, to_instances
from insegan_ros.heights import floor_limit, pixel_size_m, resize_height
from insegan_ros.workspace import Workspace, resolve_workspace

# Classical methods run on about this many pixels per side, the paper's image; results are as good
# as at full size and a hundred times quicker.
WORKING_SIDE = 64
# What stands no higher is floor to them, unless so large a share of a frame is flatter.
MIN_HEIGHT_M, FLAT_SHARE = 0.006, 0.1
# Fragments below this share of the window are dropped.
SMALLEST_SHARE = 0.0005


def min_height(frame: Frame, workspace: Workspace) -> float:
    """What stands no higher in a frame is floor, in m: MIN_HEIGHT_M, less where sheets lie in the
    bin."""
    heights = workspace.height_map(frame, 0.0, workspace.view(frame))
    return floor_limit(heights, MIN_HEIGHT_M, FLAT_SHARE)


class WindowHeights(NamedTuple):
    """The bin's window (left, top, right, bottom) in px, its height map (H, W) in metres, the same
    resized to work on (h, w), and the metres that a pixel of the large one covers."""

    window: tuple[int, int, int, int]
    height_m: np.ndarray
    small_m: np.ndarray
    pixel_m: float


def window_heights(
    frame: Frame, workspace: Workspace, min_height_m: float = MIN_HEIGHT_M
) -> WindowHeights:
    """What classical methods look at in a frame: heights in metres, 0 where lower than
    min_height_m."""
    window = workspace.view(frame)
    height = workspace.height_map(frame, min_height_m, window)
    small = resize_height(height, min(1.0, WORKING_SIDE / max(height.shape)))
    return WindowHeights(window, height, small, pixel_size_m(workspace, frame.intrinsics))


def fit_kmeans(
    height_m: np.ndarray,
    pixel_m: tuple[float, float],
    foreground: np.ndarray,
    instances: int,
    seed: int,
) -> KMeans:
    """K-means of the points (x, y, height) in m of the foreground (h, w) bool of a height map (h,
    w), whose pixels are pixel_m = (x, y) wide and high; as many clusters as instances."""
    return KMeans(min(instances, int(foreground.sum())), n_init=3, random_state=seed).fit(
        points(height_m, pixel_m)[foreground]
    )


def cluster_heights(
    height_m: np.ndarray,
    small_m: np.ndarray,
    pixel_m: float,
    instances: int,
    min_height_m: float = MIN_HEIGHT_M,
    seed: int = 0,
) -> np.ndarray:
    """Labels (H, W) uint16, 0 = floor, of a height map in metres whose pixels cover pixel_m:
    clusters of (x, y, height) found on the small one (h, w), every pixel of the large one put to
    the nearest."""
    zoom = height_m.shape[1] / small_m.shape[1], height_m.shape[0] / small_m.shape[0]
    small_pixel_m = pixel_m * zoom[0], pixel_m * zoom[1]
    model = fit_kmeans(small_m, small_pixel_m, small_m > min_height_m, instances, seed)
    foreground = height_m > min_height_m
    labels = np.zeros(height_m.shape, np.uint16)
    labels[foreground] = model.predict(points(height_m, (pixel_m, pixel_m))[foreground]) + 1
    return labels


def kmeans_instances(frame: Frame, workspace: Workspace | None, instances: int) -> Instances:
    """What K-means makes of a frame that holds so many instances; without a workspace the floor is
    fitted to the frame. Raises InputError for a frame that cannot be used."""
    workspace = resolve_workspace(workspace, frame)
    floor_m = min_height(frame, workspace)
    seen = window_heights(frame, workspace, floor_m)
    if (seen.small_m > floor_m).sum() < max(instances, 2):
        return Instances.none(frame.depth_m.shape)
    labels = cluster_heights(seen.height_m, seen.small_m, seen.pixel_m, instances, floor_m)
    return labelled(frame, seen, labels)


def labelled(frame: Frame, seen: WindowHeights, labels: np.ndarray) -> Instances:
    """Instances from labels (H, W) of a window, without fragments; classical methods have no
    scores, so each is .5."""
    labels = clean(labels, SMALLEST_SHARE * seen.height_m.size)
    count = int(labels.max(initial=0))
    return to_instances(frame, seen.window, labels, np.full(count, 0.5, np.float32))
