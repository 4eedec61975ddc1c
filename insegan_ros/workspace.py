"""From depth to height above the bin's floor: what every network sees, in training and on the robot
alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Intrinsics

# How much wider than the bin's floor a picture of it is: what stands high at the rim is seen beyond
# the floor's edge, the more the nearer the camera. Training pictures are tight, so that parts are
# large in them.
VIEW_MARGIN, TRAINING_MARGIN = 0.3, 0.12


def four(values: Iterable[float]) -> tuple[float, float, float, float]:
    """A floor or bounds from any sequence of numbers, such as a list of a YAML file. Raises
    InputError where there are not four of them."""
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 4:
        raise InputError(f'{numbers}: expected four numbers')
    return numbers


@dataclass(frozen=True)
class Workspace:
    """The bin as the camera sees it.

    floor: the plane n.p + d = 0 as (n_x, n_y, n_z, d) in the optical frame, n a unit vector towards
    the camera and d in m, so that n.p + d is the height of the point p in m. bounds: (x_min, y_min,
    x_max, y_max) in m along the optical frame's x and y; what lies outside is ignored. With None
    the whole image is used. Raises InputError for a floor or bounds that cannot be.

    A bin of 20 x 30 cm, seen from half a metre straight above:

    >>> workspace = Workspace((0.0, 0.0, -1.0, 0.5), bounds=(-0.1, -0.15, 0.1, 0.15))
    >>> workspace.floor_distance_m
    0.5
    >>> round(float(workspace.height_of(np.array([0.02, 0.03, 0.4]))), 3)
    0.1
    """

    floor: tuple[float, float, float, float]
    bounds: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.floor) != 4 or len(self.bounds or range(4)) != 4:
            raise InputError(
                f'floor {self.floor} and bounds {self.bounds}: expected four numbers each'
            )
        if (
            not np.isclose(np.linalg.norm(self.floor[:3]), 1.0, atol=1e-3)
            or self.floor[3] <= 0
            or self.floor[2] >= 0
        ):
            raise InputError(
                f'floor {self.floor} is no plane before the camera: expected a unit normal towards'
                ' the camera and a positive distance'
            )
        if self.bounds is not None and not (
            self.bounds[0] < self.bounds[2] and self.bounds[1] < self.bounds[3]
        ):
            raise InputError(
                f'bounds {self.bounds} are empty: expected (x_min, y_min, x_max, y_max) in metres'
            )

    @property
    def floor_distance_m(self) -> float:
        """Depth of the floor on the optical axis, in m."""
        return self.floor[3] / max(-self.floor[2], 1e-6)

    def require_bounds(self) -> tuple[float, float, float, float]:
        """The bounds. Raises InputError where there are none."""
        if self.bounds is None:
            raise InputError(
                'the workspace has no bounds: expected (x_min, y_min, x_max, y_max) in metres, as'
                ' `insegan calibrate` finds them'
            )
        return self.bounds

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points (..., 3) in m lie within the bounds, (...) bool; NaN lies outside."""
        if self.bounds is None:
            return np.isfinite(points[..., 2])
        x, y = points[..., 0], points[..., 1]
        x_min, y_min, x_max, y_max = self.bounds
        return (x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max)

    def height_of(self, points: np.ndarray) -> np.ndarray:
        """Metres above the floor (...) of points (..., 3) in m, in their own precision; NaN stays
        NaN."""
        return points @ np.asarray(self.floor[:3], points.dtype) + points.dtype.type(self.floor[3])

    def height_map(
        self,
        frame: Frame,
        min_height_m: float = 0.0,
        window: tuple[int, int, int, int] | None = None,
    ) -> np.ndarray:
        """(H, W) float32 metres above the floor; 0 where lower than min_height_m, out of bounds or
        not read.

        Gaps between readings of a row are closed first, see `fill_shadows`.

        window: (left, top, right, bottom) px, to compute that part of the image alone.
        """
        left, top, right, bottom = window or (0, 0, frame.intrinsics.width, frame.intrinsics.height)
        depth = fill_shadows(frame.depth_m[top:bottom, left:right])
        points = frame.intrinsics.rays()[top:bottom, left:right] * depth[..., None]
        height = self.height_of(points)
        keep = self.contains(points) & (height > min_height_m)
        return np.where(keep, height, 0).astype(np.float32)

    def floor_depth(self, intrinsics: Intrinsics) -> np.ndarray:
        """(H, W) float32 depth in m that a camera would see of the floor alone; NaN where a ray
        never meets it."""
        slope = intrinsics.rays() @ np.asarray(self.floor[:3], np.float32)
        return np.where(slope < -1e-6, -self.floor[3] / np.minimum(slope, -1e-6), np.nan).astype(
            np.float32
        )

    def floor_corners(self) -> np.ndarray:
        """(4, 3) corners of the bounds on the floor in m, in order around it. Raises InputError
        without bounds."""
        x_min, y_min, x_max, y_max = self.require_bounds()
        corners = np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)])
        depth = -(corners @ np.asarray(self.floor[:2]) + self.floor[3]) / self.floor[2]
        return np.column_stack([corners, depth])

    def window(
        self, intrinsics: Intrinsics, margin: float = VIEW_MARGIN
    ) -> tuple[int, int, int, int]:
        """The pixels (left, top, right, bottom) in which the bounds lie, with room for what stands
        high at the rim: `margin` is by how much the window is wider than the bounds, as a share.
        Without bounds the whole image. Raises InputError where the bin lies outside of the
        image."""
        if self.bounds is None:
            return 0, 0, intrinsics.width, intrinsics.height
        x_min, y_min, x_max, y_max = self.bounds
        pad_x, pad_y = (x_max - x_min) * margin / 2, (y_max - y_min) * margin / 2
        depth = self.floor_distance_m
        left = int(round((x_min - pad_x) / depth * intrinsics.fx + intrinsics.cx))
        right = int(round((x_max + pad_x) / depth * intrinsics.fx + intrinsics.cx))
        top = int(round((y_min - pad_y) / depth * intrinsics.fy + intrinsics.cy))
        bottom = int(round((y_max + pad_y) / depth * intrinsics.fy + intrinsics.cy))
        box = (
            max(left, 0),
            max(top, 0),
            min(right + 1, intrinsics.width),
            min(bottom + 1, intrinsics.height),
        )
        if box[0] >= box[2] or box[1] >= box[3]:
            raise InputError(
                f"the bin's bounds {self.bounds} m lie outside the"
                f' {intrinsics.width}x{intrinsics.height} image: expected to see the bin'
            )
        return box


def write_workspace(workspace: Workspace, path: Path, comment: str = '') -> None:
    """Write the workspace as a YAML file of parameters that the segmenter's node loads, with a
    comment on its first line."""
    values = {'floor': [round(float(v), 6) for v in workspace.floor]}
    if workspace.bounds:
        values['bounds'] = [round(float(v), 4) for v in workspace.bounds]
    head = f'# {comment}\n' if comment else ''
    path.write_text(
        head
        + yaml.safe_dump(
            {'/**': {'ros__parameters': values}}, default_flow_style=None, sort_keys=False
        )
    )


def read_workspace(path: Path) -> Workspace:
    """The workspace in a parameter file, as `insegan calibrate` writes it. Raises InputError where
    it cannot be read.

    >>> write_workspace(Workspace((0.0, 0.0, -1.0, 0.5)), Path('bin.yaml'))
    >>> read_workspace(Path('bin.yaml'))
    Workspace(floor=(0.0, 0.0, -1.0, 0.5), bounds=None)
    """
    try:
        content = yaml.safe_load(path.read_text())
        values = next(iter(content.values()))['ros__parameters']
        floor, bounds = values['floor'], values.get('bounds')
        return Workspace(four(floor), four(bounds) if bounds else None)
    except OSError as error:
        raise InputError(
            f'{path} cannot be read ({error.strerror}): expected a YAML file of `insegan calibrate`'
        ) from error
    except (
        yaml.YAMLError,
        AttributeError,
        StopIteration,
        KeyError,
        TypeError,
        ValueError,
        UnicodeDecodeError,
    ) as error:
        raise InputError(
            f'{path} holds no floor and bounds that can be read: expected a YAML file of `insegan'
            ' calibrate`'
        ) from error


def fill_shadows(depth_m: np.ndarray) -> np.ndarray:
    """Depth (H, W) in m with NaN, the gaps between two readings of a row filled with the farther of
    the two.

    A stereo camera has no reading beside a part's edge, where one of its eyes sees past it: what
    lies there belongs to what is behind. A gap within a part has the part on both sides. What has a
    reading on one side alone stays NaN.
    """
    missing = np.isnan(depth_m)
    rows = missing.any(1)
    if not rows.any():
        return depth_m
    some, gap = depth_m[rows], missing[rows]
    columns = np.arange(depth_m.shape[1])
    before = np.maximum.accumulate(np.where(gap, -1, columns), 1)
    after = np.minimum.accumulate(np.where(gap, len(columns), columns)[:, ::-1], 1)[:, ::-1]
    inside = gap & (before >= 0) & (after < len(columns))
    row, _ = np.nonzero(inside)
    out = depth_m.copy()
    some[inside] = np.maximum(some[row, before[inside]], some[row, after[inside]])
    out[rows] = some
    return out


def fit_floor(
    frame: Frame, seed: int = 0, tolerance_m: float = 0.004
) -> tuple[float, float, float, float]:
    """The floor's plane as Workspace has it, fitted to the scene itself: the farthest plane that
    many pixels share, to within tolerance_m.

    In inverse depth a plane is linear in the pixel: 1/z = a x + b y + c with x, y of the ray;
    robust to parts in the bin (RANSAC). Raises InputError where too few pixels have a reading.
    """
    valid = np.isfinite(frame.depth_m) & (frame.depth_m > 0)
    if valid.sum() < 100:
        raise InputError(
            f'{int(valid.sum())} pixels have a depth reading: expected at least 100 to fit the'
            " bin's floor (is the lens covered?)"
        )
    points = (frame.intrinsics.rays() * frame.depth_m[..., None])[valid]
    rng = np.random.default_rng(seed)
    points = points[rng.choice(len(points), min(len(points), 5000), replace=False)].astype(float)
    planes = _planes_through(points[rng.integers(len(points), size=(200, 3))])
    if not len(planes):
        raise InputError(
            "no plane was found in the depth image: expected to see the bin's floor; give floor as"
            ' a parameter'
        )
    distance = points[:2000] @ planes[:, :3].T + planes[:, 3]
    # Parts stand above the floor, nothing lies below it: what lies below counts against a plane.
    best = planes[
        (
            (np.abs(distance) < tolerance_m).sum(0) - 2 * (distance < -3 * tolerance_m).sum(0)
        ).argmax()
    ]
    inliers = points[np.abs(points @ best[:3] + best[3]) < tolerance_m]
    centre = inliers.mean(0)
    normal = np.linalg.svd(inliers - centre, full_matrices=False)[2][2]
    normal = normal if normal[2] < 0 else -normal
    return four((*normal, -normal @ centre))


def _planes_through(samples: np.ndarray) -> np.ndarray:
    """Planes (M, 4) through triples of points (N, 3, 3), normals towards the camera; those that are
    none are left out."""
    normals = np.cross(samples[:, 1] - samples[:, 0], samples[:, 2] - samples[:, 0])
    length = np.linalg.norm(normals, axis=1)
    # A wall seen at a grazing angle is no floor.
    usable = (length > 1e-12) & (np.abs(normals[:, 2]) > 0.5 * length)
    normals = normals[usable] / (length[usable] * -np.sign(normals[usable, 2]))[:, None]
    return np.column_stack([normals, -(normals * samples[usable, 0]).sum(1)])


def resolve_workspace(workspace: Workspace | None, frame: Frame) -> Workspace:
    """The given workspace, or one whose floor is fitted to this frame and that looks at all of
    it."""
    return workspace if workspace is not None else Workspace(fit_floor(frame))


def window_of(
    workspace: Workspace | None, intrinsics: Intrinsics, margin: float = VIEW_MARGIN
) -> tuple[int, int, int, int]:
    """The workspace's window (left, top, right, bottom) in px; without a workspace all of the
    image."""
    if workspace is None:
        return 0, 0, intrinsics.width, intrinsics.height
    return workspace.window(intrinsics, margin)
