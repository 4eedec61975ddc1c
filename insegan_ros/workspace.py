"""From depth to height above the bin's floor: what every network sees, in training and on the robot
alike."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from insegan_ros.errors import MALFORMED, InputError, InseganWarning
from insegan_ros.files import write_whole
from insegan_ros.floors import fit_floor
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.texts import read_mapping
from insegan_ros.walls import inside_of_walls, wall_readings

# How much wider than the bin's floor a picture of it is: what stands high at the rim is seen beyond
# the floor's edge, the more the nearer the camera. Training pictures are tight, so that parts are
# large in them.
VIEW_MARGIN, TRAINING_MARGIN = 0.3, 0.12
# What stands so high that the margin would have to be larger stands at the camera.
MOST_MARGIN = 2.0
# No camera sees a bin nearer or farther; what is in millimetres is farther.
NEAREST_M, FARTHEST_M = 1e-3, 100.0
# Heights are looked at in one reading of so many either way, up to this share of them.
COARSE_PX, HIGHEST = 8, 0.998


def four(values: Iterable[float]) -> tuple[float, float, float, float]:
    """A floor or bounds from any sequence of numbers, such as a list of a YAML file. Raises
    InputError where there are not four of them."""
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 4:
        raise InputError(f'{numbers}: expected four numbers')
    return numbers


# What a workspace holds besides floor and bounds: written where it is not 0.
SCALARS = ('bounds_turn_deg', 'wall_noise_m', 'corner_radius_m', 'foot_radius_m', 'wall_slope_deg')


@dataclass(frozen=True)
class Workspace:
    """The bin as the camera sees it.

    floor: the plane n.p + d = 0 as (n_x, n_y, n_z, d) in the optical frame, n a unit vector towards
    the camera and d in m, so that n.p + d is the height of the point p in m. bounds: (x_min, y_min,
    x_max, y_max) in m on the floor, of a prism that stands on it: a point lies inside where its
    foot on the floor does, however the camera is tilted; what lies outside is ignored. With None
    the whole image is used. bounds_turn_deg: how far the bounds are turned on the floor, from x
    towards y, for a bin whose walls do not run along the image. wall_noise_m: standard deviation of
    a depth reading at the floor's distance, where walls stand at the bounds: what may be a reading
    of a wall is then no part, see `insegan_ros.walls`; 0 where there are none. Moulded bins, of
    which the bounds are where the walls' faces would meet the floor: corner_radius_m, by which the
    corners of the bounds are rounded; foot_radius_m, by which the floor rises into the walls;
    wall_slope_deg, by which the walls lean outwards. Raises InputError for values that cannot be.

    The floor's frame: its origin is where the optical axis meets the floor, its x and y are the
    image's (x to the right, y down), turned about the one axis and by the angle that the floor is
    tilted by. Under a camera that looks straight down they are the optical frame's x and y.

    A bin of 20 x 30 cm, seen from half a metre straight above:

    >>> workspace = Workspace((0.0, 0.0, -1.0, 0.5), bounds=(-0.1, -0.15, 0.1, 0.15))
    >>> workspace.floor_distance_m
    0.5
    >>> round(float(workspace.height_of(np.array([0.02, 0.03, 0.4]))), 3)
    0.1
    >>> workspace.on_floor(np.array([0.02, 0.03, 0.4])).tolist()
    [0.02, 0.03]
    """

    floor: tuple[float, float, float, float]
    bounds: tuple[float, float, float, float] | None = None
    bounds_turn_deg: float = 0.0
    wall_noise_m: float = 0.0
    corner_radius_m: float = 0.0
    foot_radius_m: float = 0.0
    wall_slope_deg: float = 0.0

    def __post_init__(self) -> None:
        if len(self.floor) != 4 or len(self.bounds or range(4)) != 4:
            raise InputError(
                f'floor {self.floor} and bounds {self.bounds}: expected four numbers each'
            )
        if not np.isfinite([*self.floor, *(self.bounds or ())]).all():
            raise InputError(
                f'floor {self.floor}, bounds {self.bounds}: expected finite numbers in each'
            )
        if (
            max(map(abs, self.floor[:3])) > 2
            or not np.isclose(np.linalg.norm(self.floor[:3]), 1.0, atol=1e-3)
            or self.floor[3] <= 0
            or self.floor[2] >= 0
        ):
            raise InputError(
                f'floor {self.floor} is not a plane in front of the camera: expected a unit normal'
                ' that points towards the camera, and a positive distance'
            )
        if not NEAREST_M <= self.floor[3] <= FARTHEST_M or any(
            abs(value) > FARTHEST_M for value in self.bounds or ()
        ):
            raise InputError(
                f'floor {self.floor}, bounds {self.bounds}: expected a floor {NEAREST_M:g} to'
                f' {FARTHEST_M:g} m away and bounds no farther out than that, in metres'
            )
        if self.bounds is not None and not (
            self.bounds[0] + NEAREST_M <= self.bounds[2]
            and self.bounds[1] + NEAREST_M <= self.bounds[3]
        ):
            raise InputError(
                f'bounds {self.bounds} are empty: expected (x_min, y_min, x_max, y_max) in metres'
            )
        if not -180 <= self.bounds_turn_deg <= 180 or not 0 <= self.wall_noise_m < 0.1:
            raise InputError(
                f'bounds_turn_deg is {self.bounds_turn_deg:g}, wall_noise_m {self.wall_noise_m:g}:'
                ' expected -180 to 180 degrees and 0 to 0.1 m'
            )
        x_min, y_min, x_max, y_max = self.bounds or (-np.inf, -np.inf, np.inf, np.inf)
        largest = min(x_max - x_min, y_max - y_min) / 2
        if (
            not 0 <= self.corner_radius_m <= largest
            or not 0 <= self.foot_radius_m <= largest
            or not 0 <= self.wall_slope_deg <= 45
        ):
            raise InputError(
                f'corner_radius_m is {self.corner_radius_m:g}, foot_radius_m'
                f' {self.foot_radius_m:g}, wall_slope_deg {self.wall_slope_deg:g}: expected radii'
                f' from 0 to half the width of the bounds, {largest:g} m, and 0 to 45 degrees'
            )

    @property
    def floor_distance_m(self) -> float:
        """Depth of the floor on the optical axis, in m."""
        return self.floor[3] / max(-self.floor[2], 1e-6)

    @property
    def moulded(self) -> bool:
        """Whether its walls are more than upright planes."""
        return bool(self.corner_radius_m or self.foot_radius_m or self.wall_slope_deg)

    @property
    def axes(self) -> np.ndarray:
        """(2, 3) the floor frame's x and y, unit vectors in the optical frame."""
        a, b, c = (-value for value in self.floor[:3])
        across = np.array([1 - a * a / (1 + c), -a * b / (1 + c), -a])
        down = np.array([-a * b / (1 + c), 1 - b * b / (1 + c), -b])
        turn = np.radians(self.bounds_turn_deg)
        cosine, sine = np.cos(turn), np.sin(turn)
        return np.stack([cosine * across + sine * down, cosine * down - sine * across])

    def on_floor(self, points: np.ndarray) -> np.ndarray:
        """The feet (..., 2) on the floor of points (..., 3) in m, in the floor's frame, in the
        points' precision; NaN stays NaN."""
        axes = self.axes
        if np.array_equal(axes, np.eye(2, 3)):
            # The usual camera looks straight down, and this is done for every frame.
            return points[..., :2]
        return points @ axes.T.astype(points.dtype) - (axes[:, 2] * self.floor_distance_m).astype(
            points.dtype
        )

    def from_floor(self, places: np.ndarray) -> np.ndarray:
        """The points (..., 3) in m in the optical frame of places (..., 2) on the floor."""
        return places @ self.axes + np.array([0.0, 0.0, self.floor_distance_m])

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
        if self.moulded:
            return self.wall_distance(points) >= 0
        feet = self.on_floor(points)
        x, y = feet[..., 0], feet[..., 1]
        x_min, y_min, x_max, y_max = self.bounds
        return (x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max)

    def wall_distances(self, points: np.ndarray) -> np.ndarray:
        """Metres (..., 4) from points (..., 3) to the sides of the bounds, negative beyond them:
        x_min, y_min, x_max, y_max. Raises InputError without bounds."""
        x_min, y_min, x_max, y_max = self.require_bounds()
        feet = self.on_floor(points)
        x, y = feet[..., 0], feet[..., 1]
        return np.stack([x - x_min, y - y_min, x_max - x, y_max - y], -1)

    def wall_distance(self, points: np.ndarray) -> np.ndarray:
        """Metres (...) along the floor from points (..., 3) to the nearest wall, its round corners,
        foot and slope included, negative beyond it. Raises InputError without bounds."""
        sides = self.wall_distances(points)
        if not self.moulded:
            return sides.min(-1)
        return inside_of_walls(self, sides, self.height_of(points))

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
        rays = frame.intrinsics.rays()[top:bottom, left:right]
        points = np.empty_like(rays)
        # Axis by axis: three values at a time take NumPy four times as long.
        for axis in range(3):
            np.multiply(rays[..., axis], depth, out=points[..., axis])
        height = self.height_of(points)
        keep = self.contains(points) & (height > min_height_m)
        if self.wall_noise_m and self.bounds is not None:
            keep &= ~wall_readings(self, points, height)
        return np.where(keep, height, 0).astype(np.float32)

    def floor_depth(self, intrinsics: Intrinsics) -> np.ndarray:
        """(H, W) float32 depth in m that a camera would see of the floor alone; NaN where a ray
        never meets it."""
        slope = intrinsics.rays() @ np.asarray(self.floor[:3], np.float32)
        return np.where(slope < -1e-6, -self.floor[3] / np.minimum(slope, -1e-6), np.nan).astype(
            np.float32
        )

    def floor_corners(self, pad: tuple[float, float, float, float] = (0.0,) * 4) -> np.ndarray:
        """(4, 3) corners of the bounds on the floor in m, in order around it; pad: metres that they
        are widened by, at x_min, y_min, x_max, y_max. Raises InputError without bounds."""
        x_min, y_min, x_max, y_max = self.require_bounds()
        x_min, y_min, x_max, y_max = x_min - pad[0], y_min - pad[1], x_max + pad[2], y_max + pad[3]
        corners = np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)])
        return self.from_floor(corners)

    def window(
        self, intrinsics: Intrinsics, margin: float = VIEW_MARGIN
    ) -> tuple[int, int, int, int]:
        """The pixels (left, top, right, bottom) in which the bounds lie, with room for what stands
        high at the rim: `margin` is by how much the window is wider than the bounds, as a share.
        Without bounds the whole image. Raises InputError where the bin lies outside of the
        image."""
        if self.bounds is None:
            return 0, 0, intrinsics.width, intrinsics.height
        x, y, z = self.floor_corners(self._view_pad(margin)).T
        if (z <= 0).any():
            # A floor that runs under the camera: some of it is seen nowhere, the rest anywhere.
            return 0, 0, intrinsics.width, intrinsics.height
        columns = np.rint(x / z * intrinsics.fx + intrinsics.cx).astype(int)
        rows = np.rint(y / z * intrinsics.fy + intrinsics.cy).astype(int)
        box = (
            max(int(columns.min()), 0),
            max(int(rows.min()), 0),
            min(int(columns.max()) + 1, intrinsics.width),
            min(int(rows.max()) + 1, intrinsics.height),
        )
        if box[0] >= box[2] or box[1] >= box[3]:
            raise InputError(
                f"the bin's bounds {self.bounds} m lie outside the"
                f' {intrinsics.width}x{intrinsics.height} image: expected the camera to see the'
                ' bin'
            )
        return box

    def view(self, frame: Frame) -> tuple[int, int, int, int]:
        """As `window`, with room for the highest thing that stands within the bounds in a frame:
        seen from above, what stands a third as high as the camera appears half as far out again."""
        if self.bounds is None:
            return self.window(frame.intrinsics)
        coarse = np.s_[::COARSE_PX, ::COARSE_PX]
        points = frame.intrinsics.rays()[coarse] * frame.depth_m[coarse][..., None]
        heights = self.height_of(points)[self.contains(points)]
        top_m = float(np.quantile(heights, HIGHEST)) if heights.size else 0.0
        room_m = max(self.floor_distance_m - top_m, 1e-3)
        return self.window(frame.intrinsics, min(max(VIEW_MARGIN, top_m / room_m), MOST_MARGIN))

    def _view_pad(self, margin: float) -> tuple[float, float, float, float]:
        """Metres that a view is wider than the bounds, at their four sides.

        What stands high appears farther from the point of the floor below the camera, by a share of
        its distance: by `margin` at most. That point is the bin's middle under a camera that looks
        straight down; the more it is tilted, the farther it lies behind the origin.
        """
        x_min, y_min, x_max, y_max = self.require_bounds()
        pad_x, pad_y = (x_max - x_min) * margin / 2, (y_max - y_min) * margin / 2
        far_x, far_y = margin * self.floor_distance_m * self.axes[:, 2]
        return (
            pad_x + max(-far_x, 0.0),
            pad_y + max(-far_y, 0.0),
            pad_x + max(far_x, 0.0),
            pad_y + max(far_y, 0.0),
        )


def workspace_values(workspace: Workspace) -> dict[str, Any]:
    """What a file says of a workspace: floor, bounds where there are some, SCALARS other than 0."""
    bounds = {'bounds': list(workspace.bounds)} if workspace.bounds else {}
    scalars = {name: getattr(workspace, name) for name in SCALARS if getattr(workspace, name)}
    return {'floor': list(workspace.floor), **bounds, **scalars}


def workspace_of(values: Mapping[str, Any]) -> Workspace:
    """The inverse of workspace_values. Raises KeyError, TypeError, ValueError or InputError for
    what is none."""
    bounds = values.get('bounds')
    scalars = {name: float(values.get(name, 0.0)) for name in SCALARS}
    return Workspace(four(values['floor']), four(bounds) if bounds else None, **scalars)


def write_workspace(workspace: Workspace, path: Path, comment: str = '') -> None:
    """Write the workspace as a YAML file of parameters that the segmenter's node loads, with a
    comment on its first line. Raises DatasetError where it cannot be written."""
    digits = {'floor': 6, 'bounds': 4, 'bounds_turn_deg': 2, 'wall_slope_deg': 2}
    values = {
        name: np.round(value, digits.get(name, 5)).tolist()
        for name, value in workspace_values(workspace).items()
    }
    head = f'# {comment}\n' if comment else ''
    content = {'/**': {'ros__parameters': values}}
    text = head + yaml.safe_dump(content, default_flow_style=None, sort_keys=False)
    write_whole(path, text.encode())


def read_workspace(path: Path) -> Workspace:
    """The workspace in a parameter file, as `insegan calibrate` writes it. Says so where a name is
    nearly, but not quite, one of its own; the file may hold other parameters of the node. Raises
    InputError where it cannot be read.

    >>> write_workspace(Workspace((0.0, 0.0, -1.0, 0.5)), Path('bin.yaml'))
    >>> read_workspace(Path('bin.yaml'))
    Workspace(floor=(0.0, 0.0, -1.0, 0.5), bounds=None, bounds_turn_deg=0.0, wall_noise_m=0.0,
    corner_radius_m=0.0, foot_radius_m=0.0, wall_slope_deg=0.0)
    """
    content = read_mapping(path, InputError)
    try:
        values = next(iter(content.values()))['ros__parameters']
        workspace = workspace_of(values)
    except (StopIteration, *MALFORMED) as error:
        raise InputError(
            f'{path} holds no readable floor and bounds: expected a YAML file of `insegan'
            ' calibrate`'
        ) from error
    names = ('floor', 'bounds', *SCALARS)
    for name in values:
        if name not in names and (near := get_close_matches(str(name), names, 1, 0.8)):
            warnings.warn(
                f'{path} holds {name}, which is not used: did you mean {near[0]}?',
                InseganWarning,
                stacklevel=2,
            )
    return workspace


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
