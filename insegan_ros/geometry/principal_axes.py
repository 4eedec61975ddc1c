"""Poses of instances from the depth itself, by the principal axes of their points, and rotations
between a picture of the bin and the optical frame."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from insegan_ros.frame import Frame

MAX_POINTS = 1000
# A camera that looks straight down.
DOWN = (0.0, 0.0, -1.0)
MIRROR = np.diag([1.0, 1.0, -1.0])


def poses_from_points(frame: Frame, labels: np.ndarray, count: int) -> np.ndarray:
    """Camera-from-object poses (N, 4, 4) float32 in metres of the visible surfaces of `count`
    instances in labels (H, W): origin the mean point, axes the principal ones.

    x is the longest axis, z the shortest and points to the camera: a grasp-ready frame that needs
    no mesh. The part's own frame is not known without one. An instance with fewer than three
    readings keeps the identity.
    """
    poses = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    pixels = np.flatnonzero(labels)
    # A few thousand points tell a mean and axes as well as all of them.
    pixels = pixels[:: max(len(pixels) // (MAX_POINTS * max(count, 1)), 1)]
    depth = frame.depth_m.ravel()[pixels]
    pixels, depth = pixels[np.isfinite(depth)], depth[np.isfinite(depth)]
    flat_labels = labels.ravel()[pixels]
    flat_points = (frame.intrinsics.rays().reshape(-1, 3)[pixels] * depth[:, None]).astype(float)
    order = np.argsort(flat_labels, kind='stable')
    bounds = np.searchsorted(flat_labels[order], np.arange(1, count + 2))
    seen = np.flatnonzero(np.diff(bounds) >= 3)
    own = [flat_points[order[bounds[index] : bounds[index + 1]]] for index in seen]
    if own:
        poses[seen] = _principal_frames(own)
    return poses


def camera_from_picture(
    rotations: np.ndarray, upwards: tuple[float, float, float] = DOWN
) -> np.ndarray:
    """Rotations (n, 3, 3) by the axes of a picture of the bin (x to the right, y down, z up:
    left-handed) as rotations in the optical frame, in which the floor's normal is `upwards`."""
    tilt = Rotation.align_vectors(np.array([upwards]), np.array([DOWN]))[0].as_matrix()
    return tilt @ MIRROR @ rotations @ MIRROR


def principal_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), variances (D,) ascending and their axes, the columns of (D, D), of points (M,
    D)."""
    mean, covariance = _moments(points)
    return mean, *np.linalg.eigh(covariance)


def _moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = points.mean(0)
    centred = points - mean
    return mean, centred.T @ centred / max(len(points) - 1, 1)


def _principal_frames(clouds: list[np.ndarray]) -> np.ndarray:
    """The frames (N, 4, 4) of N clouds of points (M, 3)."""
    means, covariances = zip(*map(_moments, clouds))
    vectors = np.linalg.eigh(np.stack(covariances))[1]
    x, z = vectors[..., 2], vectors[..., 0]
    z = np.where(z[:, 2:] < 0, z, -z)
    farthest = np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)
    x = np.where(farthest > 0, x, -x)
    frames = np.tile(np.eye(4, dtype=np.float32), (len(clouds), 1, 1))
    frames[:, :3, :3] = np.stack([x, np.cross(z, x), z], axis=2)
    frames[:, :3, 3] = means
    return frames
