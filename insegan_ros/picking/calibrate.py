"""`insegan calibrate`: where the bin is, from pictures of it while it is empty, or in use: floor,
inside, walls."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from insegan_ros.drawing.overlay import depth_picture
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.files import write_png
from insegan_ros.frame import Frame
from insegan_ros.heights import LEAST_M, NOISES
from insegan_ros.picking.bin_floor import SMALLEST_M, floor_under_the_middle
from insegan_ros.picking.emptiness import FLAT_M, IN_USE, check_empty, check_lowest, wall_height
from insegan_ros.picking.floor_view import (
    Wall,
    find_wall,
    heights_of,
    largest_rectangle,
    lay_out,
    turn_of,
    with_bounds,
)
from insegan_ros.picking.moulded import fit_moulding, rounded_rectangle, without_corners
from insegan_ros.workspace import Workspace, four, write_workspace

FRAMES = 30
# Of a bin in use so many pictures are looked at, spread over the recording; the floor is what is
# seen farthest, where it was free in a tenth of them.
FRAMES_IN_USE, FREE_SHARE = 60, 0.1
# Its inside is the largest rectangle of the floor, less this much beside what is not known to be a
# wall; or up to the walls, less what a pixel blurs.
INSET_M, WALL_INSET_M = 0.003, 0.0015
# How far outside of the floor walls' tops are looked for; they begin within two fifths of it.
RIM_M = 0.03
# A smaller share of the image with readings shows no bin.
MIN_READ = 0.02
# Parts that cover fewer pixels across are told apart less well: docs/robot.md has figures.
SMALLEST_PX = 20


@dataclass(frozen=True)
class Calibration:
    """The bin: floor and inside as the segmenter takes them; the walls' height above the floor in m
    (0 without walls); the noise of one picture of the floor (standard deviation, m); pictures used;
    and how good the planes are: root mean square of the readings' distance to the floor, the
    walls' median distance to theirs (m; one number a wall that was found), and the share of the
    inside that shows the floor; and what a pixel covers of the floor, m."""

    workspace: Workspace
    wall_m: float
    noise_m: float
    frames: int
    residual_m: float = 0.0
    wall_residuals_m: tuple[float, ...] = ()
    free: float = 1.0
    pixel_m: float = 0.0

    @property
    def smallest_m(self) -> tuple[float, float]:
        """How wide and how high a part has to be to be told from others and from the floor, in m:
        so many pixels, and above the floor's noise."""
        return SMALLEST_PX * self.pixel_m, max(NOISES * self.noise_m, LEAST_M)

    def text(self) -> str:
        """What was found, in a sentence. Raises InputError for a workspace without bounds."""
        x_min, y_min, x_max, y_max = self.workspace.require_bounds()
        wide, high = self.smallest_m
        tilt = np.degrees(np.arccos(np.clip(-self.workspace.floor[2], -1, 1)))
        turn = self.workspace.bounds_turn_deg
        walls = [f'walls of {1000 * self.wall_m:.0f} mm'] if self.wall_m else []
        if residuals := self.wall_residuals_m:
            off = 1000 * max(residuals)
            walls.append(f'{len(residuals)} of four sides are walls, {off:.1f} mm off at most')
        if self.workspace.moulded:
            corner, foot = (
                1000 * self.workspace.corner_radius_m,
                1000 * self.workspace.foot_radius_m,
            )
            walls.append(
                f'round by {corner:.0f} mm at the corners and {foot:.0f} mm at the foot, and lean'
                f' outwards by {self.workspace.wall_slope_deg:.1f} degrees'
            )
        doubt = (
            '; nothing within the bounds is seen at the height of the floor: where parts do not'
            ' hide it, --floor or --bounds is wrong'
        )
        return (
            f'{self.frames} pictures: floor at {self.workspace.floor_distance_m:.3f} m, tilted'
            f' {tilt:.1f} degrees, noise {1000 * self.noise_m:.1f} mm, residual'
            f' {1000 * self.residual_m:.1f} mm; inside {1000 * (x_max - x_min):.0f} x'
            f' {1000 * (y_max - y_min):.0f} mm{f", turned {turn:.1f} degrees" if turn else ""},'
            f' {100 * self.free:.0f} % of it free; {", ".join(walls) or "no walls were seen"};'
            f' a pixel is {1000 * self.pixel_m:.2f} mm there: parts should be'
            f' {1000 * wide:.0f} mm wide ({SMALLEST_PX} px) and {1000 * high:.1f} mm high or more'
            f'{"" if self.free else doubt}'
        )


@dataclass(frozen=True)
class _Found:
    """Bounds before they are drawn in, and the walls around them."""

    workspace: Workspace
    wall_m: float
    walls: tuple[Wall | None, ...]


def calibrate(
    frames: Iterable[Frame],
    floor: tuple[float, float, float, float] | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    in_use: bool = False,
) -> tuple[Calibration, Frame]:
    """The bin under the middle of what is seen, from the first FRAMES pictures of it while it is
    empty; or in use, from pictures in which its floor is free here and there. And those pictures as
    one: their median, or what is seen farthest.

    floor, bounds: given by hand and taken as they are. Raises InputError where there is no picture,
    too few readings, no floor in the middle, or, unless in use, something in the bin.
    """
    some = spread(frames, FRAMES_IN_USE) if in_use else list(islice(frames, FRAMES))
    picture = _as_one(some, in_use)
    if bounds is None:
        found = _find_bin(picture, *floor_under_the_middle(picture, floor, in_use), in_use)
    else:
        # Where both are given, parts may hide all of the floor.
        given = Workspace(floor or floor_under_the_middle(picture, None, in_use)[0], bounds)
        walls = tuple(find_wall(picture, given, side) for side in range(4))
        found = _Found(given, min(wall.top_m if wall else 0.0 for wall in walls), walls)
    workspace = found.workspace if bounds else _drawn_in(found, picture, in_use)
    return _described(replace(found, workspace=workspace), picture, some), picture


def spread(frames: Iterable[Frame], count: int) -> list[Frame]:
    """So many frames at most, spread evenly over all of them."""
    kept: list[Frame] = []
    step = 1
    for index, frame in enumerate(frames):
        if index % step:
            continue
        if len(kept) == 2 * count:
            kept, step = kept[::2], 2 * step
            if index % step:
                continue
        kept.append(frame)
    return kept if len(kept) <= count else kept[:: -(-len(kept) // count)]


def _as_one(frames: list[Frame], in_use: bool) -> Frame:
    if not frames:
        raise InputError('no picture: expected at least one of the empty bin')
    camera = frames[0].intrinsics
    if any(frame.intrinsics != camera for frame in frames):
        raise InputError(
            'the pictures are of different sizes or cameras: expected one camera that stands still'
        )
    depths = np.stack([frame.depth_m for frame in frames])
    depth = _farthest(depths) if in_use else _median(depths)
    read = float(np.isfinite(depth).mean())
    if read < MIN_READ:
        raise InputError(
            f"{100 * read:.0f} % of the image has a reading: expected the bin within the camera's"
            f' range, {100 * MIN_READ:.0f} % of the image or more'
        )
    return Frame(depth, camera, stamp_ns=frames[0].stamp_ns, frame_id=frames[0].frame_id)


def _described(found: _Found, picture: Frame, frames: list[Frame]) -> Calibration:
    """The calibration, walls known by the noise of single pictures."""
    workspace = found.workspace
    points = picture.points()
    heights = workspace.height_of(points)
    inside = workspace.contains(points)
    flat = inside & (np.abs(heights) < FLAT_M)
    noise_m = _noise(frames, workspace, flat)
    residuals = tuple(wall.residual_m for wall in found.walls if wall)
    return Calibration(
        replace(workspace, wall_noise_m=min(noise_m, 0.01) if residuals else 0.0),
        found.wall_m,
        noise_m,
        len(frames),
        float(np.sqrt((heights[flat] ** 2).mean())) if flat.any() else 0.0,
        residuals,
        float(flat.sum() / max(inside.sum(), 1)),
        workspace.floor_distance_m / picture.intrinsics.fx,
    )


def _drawn_in(found: _Found, picture: Frame, in_use: bool) -> Workspace:
    """The bounds drawn in from the walls, of an empty moulded bin with their shape: in a bin in use
    parts hide it."""
    tops = np.array([wall.top_m if wall else 0.0 for wall in found.walls])
    beyond = np.array([wall.beyond_m if wall else 0.0 for wall in found.walls])
    if tops.all() and not in_use:
        moulded = fit_moulding(picture, _widened(found.workspace, beyond), tops)
        if moulded.moulded:
            corner_m = max(moulded.corner_radius_m - WALL_INSET_M, 0.0)
            inset = np.full(4, -WALL_INSET_M)
            return replace(_widened(moulded, inset), corner_radius_m=corner_m)
    return _widened(found.workspace, beyond - np.where(tops > 0, WALL_INSET_M, INSET_M))


def _widened(workspace: Workspace, beyond_m: np.ndarray) -> Workspace:
    """The workspace with its bounds so much (4,) wider, at x_min, y_min, x_max, y_max."""
    outwards = np.array([-1.0, -1.0, 1.0, 1.0])
    bounds = np.array(workspace.require_bounds()) + outwards * beyond_m
    return replace(workspace, bounds=four(bounds))


def _noise(frames: list[Frame], workspace: Workspace, flat: np.ndarray) -> float:
    """Standard deviation in m of single pictures' readings of the floor, where it is flat (H,
    W)."""
    some = np.concatenate([heights_of(frame, workspace)[flat] for frame in frames[:10]])
    near = some[np.abs(some) < 2 * FLAT_M]
    return float(near.std()) if near.size else 0.0


def _median(depth_m: np.ndarray) -> np.ndarray:
    """Median over pictures (N, H, W) of the readings there are; NaN where fewer than half have
    one."""
    count = np.isfinite(depth_m).sum(0)
    ordered = np.sort(depth_m, axis=0)
    place = (count // 2)[None].clip(max=len(depth_m) - 1)
    middle = np.take_along_axis(ordered, place, 0)[0]
    return np.where(2 * count >= len(depth_m), middle, np.nan).astype(np.float32)


def _farthest(depth_m: np.ndarray) -> np.ndarray:
    """What pictures (N, H, W) see farthest: the mean of the readings near the one that FREE_SHARE
    of them lie beyond; NaN where hardly any has one."""
    count = np.isfinite(depth_m).sum(0)
    ordered = np.sort(depth_m, axis=0)
    place = np.ceil((1 - FREE_SHARE) * count).astype(int)[None].clip(1, None) - 1
    far = np.take_along_axis(ordered, place, 0)
    near = np.abs(depth_m - far) < FLAT_M
    mean = np.where(near, depth_m, 0).sum(0) / np.maximum(near.sum(0), 1)
    return np.where(count >= FREE_SHARE * len(depth_m), mean, np.nan).astype(np.float32)


def _find_bin(
    picture: Frame, floor: tuple[float, float, float, float], piece: np.ndarray, in_use: bool
) -> _Found:
    """The free rectangle of the floor and the walls around it. Raises InputError where it is too
    small, and, unless in use, where something lies in it."""
    view, laid = lay_out(picture, Workspace(floor), piece)
    laid = _hull(laid) if in_use else laid
    if turn := turn_of(laid):
        view, laid = lay_out(picture, Workspace(floor, bounds_turn_deg=turn), piece)
        laid = _hull(laid) if in_use else laid
    # What parts leave of a floor in use is of any shape.
    rounded = None if in_use else rounded_rectangle(laid)
    rows, columns = rounded[:2] if rounded else largest_rectangle(laid)
    workspace = with_bounds(view, rows, columns)
    x_min, y_min, x_max, y_max = workspace.require_bounds()
    if min(x_max - x_min, y_max - y_min) - 2 * INSET_M < SMALLEST_M:
        raise InputError(
            f'the flat ground in the middle of the image is {1000 * (x_max - x_min):.0f} x'
            f' {1000 * (y_max - y_min):.0f} mm: expected the floor of an empty bin there, at least'
            f' {1000 * SMALLEST_M:.0f} mm wide (is something lying in it?); {IN_USE}'
        )
    rim = max(int(RIM_M / view.pixel_m), 3)
    if not in_use:
        inside = view.heights[slice(*rows), slice(*columns)]
        check_empty(without_corners(inside, rounded[2]) if rounded else inside)
    check_lowest(view.heights, rows, columns, rim)
    walls = tuple(find_wall(picture, workspace, side) for side in range(4))
    wall_m = wall_height(view.heights, rows, columns, rim, in_use)
    return _Found(workspace, wall_m, walls)


def _hull(mask: np.ndarray) -> np.ndarray:
    """The convex hull of a mask (H, W): parts at the rim of a floor leave dents in it."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    return cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), hull, 1) > 0


def check_calibration_path(path: Path) -> None:
    """Raise DatasetError where the YAML or the picture beside it exists, or cannot be made."""
    if (
        path.suffix not in ('.yaml', '.yml')
        or not path.parent.is_dir()
        or not os.access(path.parent, os.W_OK)
    ):
        raise DatasetError(f'{path}: expected a file ending in .yaml in a writable folder')
    for one in (path, path.with_suffix('.png')):
        if one.exists():
            raise DatasetError(f'{one} already exists: expected a new file')


def write_calibration(found: Calibration, picture: Frame, path: Path) -> Path:
    """Write the segmenter's parameters as YAML, and beside it what was found as a picture (PNG).
    Returns the picture's path.

    Raises DatasetError where either exists.
    """
    check_calibration_path(path)
    drawn = path.with_suffix('.png')
    write_png(drawn, draw_calibration(found, picture))
    write_workspace(found.workspace, path, found.text())
    return drawn


def draw_calibration(found: Calibration, picture: Frame) -> np.ndarray:
    """The bin in grey, its inside tinted, (H, W, 3) uint8 RGB."""
    out = depth_picture(picture.depth_m)
    points = picture.points()
    heights = heights_of(picture, found.workspace)
    inside = found.workspace.contains(points) & (np.abs(np.nan_to_num(heights, nan=1.0)) < FLAT_M)
    out[inside] = (0.6 * out[inside] + 0.4 * np.array([60, 220, 90])).astype(np.uint8)
    return out
