"""The three dataclasses that carry everything between simulator, datasets, segmenters and nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from insegan_ros.errors import InputError

# What of a frame a method looks at.
Modality = Literal['depth', 'colour', 'both']


# A true label that says nothing: such pixels count neither way.
IGNORE = 65535

# What a RealSense's driver calls the depth camera's optical frame.
DEPTH_FRAME = 'camera_depth_optical_frame'


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


def _size(image: np.ndarray | None) -> str:
    return 'none' if image is None else f'{image.shape[1]}x{image.shape[0]}'


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion: focal lengths fx, fy, principal point cx, cy, image
    width and height, all in px. Raises InputError for values that no camera has."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        # NaN fails every comparison. Beyond these limits rays leave what float32 can hold.
        _check(
            0.1 < self.fx < 1e6
            and 0.1 < self.fy < 1e6
            and abs(self.cx) < 1e6
            and abs(self.cy) < 1e6,
            f'intrinsics have fx={self.fx:g}, fy={self.fy:g}, cx={self.cx:g}, cy={self.cy:g}:'
            ' expected positive focal lengths in px (an uncalibrated camera publishes zeros)',
        )
        _check(
            self.width > 0 and self.height > 0,
            f'intrinsics have size {self.width}x{self.height}: expected positive',
        )

    @property
    def matrix(self) -> np.ndarray:
        """K, (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=float)

    def rays(self) -> np.ndarray:
        """(H, W, 3) float32 directions through the pixels' centres with z = 1, so that point =
        depth * ray. Read-only."""
        return _rays(self)

    def points(self, depth_m: np.ndarray) -> np.ndarray:
        """(H, W, 3) points in m, in the optical frame, that a depth image (H, W) in m shows; NaN
        where it has no reading."""
        return self.rays() * depth_m[..., None]


@lru_cache(maxsize=8)
def _rays(camera: Intrinsics) -> np.ndarray:
    # A camera's rays are the same for every frame.
    u = (np.arange(camera.width, dtype=np.float32) - camera.cx) / camera.fx
    v = (np.arange(camera.height, dtype=np.float32) - camera.cy) / camera.fy
    x, y = np.meshgrid(u, v)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)
    rays.setflags(write=False)
    return rays


@dataclass(frozen=True)
class Frame:
    """One picture of the camera.

    depth_m (H, W) float32, metres along the optical axis, NaN = no reading; colour (H, W, 3) uint8
    RGB or None; stamp_ns, nanoseconds of the camera's clock; frame_id, the optical frame's name.
    Raises InputError where these do not fit together.

    >>> camera = Intrinsics(fx=615.0, fy=615.0, cx=319.5, cy=239.5, width=640, height=480)
    >>> depth_mm = np.full((480, 640), 500, np.uint16)
    >>> frame = Frame(metres(depth_mm), camera)
    >>> float(frame.depth_m[240, 320])
    0.5
    """

    depth_m: np.ndarray
    intrinsics: Intrinsics
    colour: np.ndarray | None = None
    stamp_ns: int = 0
    frame_id: str = DEPTH_FRAME

    def __post_init__(self) -> None:
        depth, k = self.depth_m, self.intrinsics
        _check(
            depth.ndim == 2 and depth.dtype == np.float32,
            f'depth is {depth.dtype} of shape {depth.shape}: expected float32 metres of shape'
            ' (H, W)',
        )
        _check(
            depth.shape == (k.height, k.width),
            f'depth is {depth.shape[1]}x{depth.shape[0]} but its camera_info says'
            f' {k.width}x{k.height}: expected the same size (is camera_info remapped to another'
            ' stream?)',
        )
        _check(
            self.colour is None
            or (
                self.colour.dtype == np.uint8
                and self.colour.ndim == 3
                and self.colour.shape[2] == 3
            ),
            'colour is not (H, W, 3) uint8 RGB',
        )
        _check(
            self.colour is None or self.colour.shape[:2] == depth.shape,
            f'colour is {_size(self.colour)} but depth {_size(depth)}: expected colour in the view'
            ' of depth, pixel by pixel',
        )

    def points(self) -> np.ndarray:
        """(H, W, 3) float32 points in m, in the optical frame; NaN where there is no reading."""
        return self.intrinsics.points(self.depth_m)


@dataclass(frozen=True)
class Instances:
    """What a segmenter found.

    labels (H, W) uint16, 0 = background, i = the i-th instance, in a truth also IGNORE, where
    nobody knows what is seen (no instance, and no score counts it); scores (N,) in [0, 1], higher
    is surer; classes (N,) names or None; poses (N, 4, 4) camera-from-object in metres or None;
    amodal (N, H, W) bool, whole masks with what is hidden, or None; registered (N,) bool, which of
    the poses a mesh was laid at, where not all are of its frame, or None. Raises InputError where
    these do not fit together.

    >>> labels = np.array([[0, 1, 1], [2, 2, 1]], np.uint16)
    >>> found = Instances(labels, scores=np.array([0.9, 0.4]))
    >>> len(found), found.masks().sum(axis=(1, 2)).tolist()
    (2, [3, 2])
    >>> found.only(found.scores > 0.5).labels
    array([[0, 1, 1],
           [0, 0, 1]], dtype=uint16)
    """

    labels: np.ndarray
    scores: np.ndarray
    classes: tuple[str, ...] | None = None
    poses: np.ndarray | None = None
    amodal: np.ndarray | None = None
    registered: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        _check(
            self.labels.ndim == 2 and self.labels.dtype == np.uint16,
            f'labels are {self.labels.dtype} of shape {self.labels.shape}: expected uint16 of shape'
            ' (H, W)',
        )
        highest = highest_label(self.labels)
        _check(
            highest <= count,
            f'labels go up to {highest} but there are {count} scores: expected one score per'
            ' instance',
        )
        _check(
            self.classes is None or len(self.classes) == count,
            'classes and scores differ in number',
        )
        _check(self.poses is None or self.poses.shape == (count, 4, 4), 'poses are not (N, 4, 4)')
        _check(
            self.amodal is None or self.amodal.shape == (count, *self.labels.shape),
            'amodal masks are not (N, H, W)',
        )
        _check(
            self.registered is None or self.registered.shape == (count,), 'registered is not (N,)'
        )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def in_mesh_frame(self) -> np.ndarray:
        """Which of the poses (N,) are of a mesh's frame, where there is one."""
        return np.ones(len(self), bool) if self.registered is None else self.registered

    def masks(self) -> np.ndarray:
        """Visible masks, (N, H, W) bool."""
        return self.labels[None] == np.arange(1, len(self) + 1, dtype=np.uint16)[:, None, None]

    def require_poses(self) -> np.ndarray:
        """The poses (N, 4, 4). Raises InputError where they are not known."""
        if self.poses is None:
            raise InputError('the instances have no poses: expected one for each')
        return self.poses

    def only(self, chosen: np.ndarray) -> Instances:
        """Those of a mask (N,) bool, numbered anew in the same order."""
        ignored = self.labels == IGNORE
        labels = numbered_anew(np.where(ignored, 0, self.labels), chosen)
        labels[ignored] = IGNORE
        return Instances(
            labels,
            self.scores[chosen],
            (
                None
                if self.classes is None
                else tuple(c for c, keep in zip(self.classes, chosen) if keep)
            ),
            None if self.poses is None else self.poses[chosen],
            None if self.amodal is None else self.amodal[chosen],
            None if self.registered is None else self.registered[chosen],
        )

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Instances:
        """Nothing found in an image of this shape (H, W)."""
        return cls(
            np.zeros(shape, np.uint16),
            np.zeros(0, np.float32),
            poses=np.zeros((0, 4, 4), np.float32),
        )


def numbered_anew(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Labels (...), 0 = none, of those of a mask (N,) bool, numbered anew in the same order, as
    uint16; the others are 0."""
    numbers = np.concatenate([[0], np.where(chosen, np.cumsum(chosen), 0)]).astype(np.uint16)
    return numbers[labels]


def highest_label(labels: np.ndarray) -> int:
    """The number of the last instance in labels (H, W) uint16; 0 where there is none."""
    return int(np.where(labels == IGNORE, 0, labels).max(initial=0))


def counted(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and found labels (H, W), background where the truth says nothing (IGNORE)."""
    known = truth != IGNORE
    return (truth, found) if known.all() else (np.where(known, truth, 0), np.where(known, found, 0))


def check_unit(unit_m: float) -> None:
    """Raise InputError for metres in a step of depth that no camera has."""
    _check(
        1e-6 <= unit_m <= 0.1,
        f'a step of depth is {unit_m:g} m: expected 0.000001 to 0.1 (0.001 for millimetres)',
    )


def metres(counts: np.ndarray, unit_m: float = 1e-3) -> np.ndarray:
    """Depth (H, W) as cameras count it, in units of unit_m, 0 = no reading -> float32 metres, NaN =
    no reading. Raises InputError for a unit that no camera has."""
    check_unit(unit_m)
    return np.where(counts > 0, counts.astype(np.float32) * np.float32(unit_m), np.float32(np.nan))


def millimetres(depth_m: np.ndarray) -> np.ndarray:
    """Depth (H, W) in metres, NaN = no reading -> uint16 millimetres, 0 = no reading."""
    return np.nan_to_num(depth_m * 1000).round().clip(0, 65535).astype(np.uint16)
