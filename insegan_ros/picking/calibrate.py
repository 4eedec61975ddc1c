"""`insegan calibrate`: where the bin is, from pictures of it while it is empty: floor, inside,
height of the walls."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from insegan_ros.drawing.overlay import depth_picture
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.floors import fit_floor
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace, four, write_workspace

FRAMES = 30
# What stands higher above the floor is no floor: four times what a D435 is noisy at half a metre.
FLAT_M = 0.006
# A bin is empty if no more than this share of its inside stands higher than a part would.
PART_M, MAX_OCCUPIED = 0.008, 0.01
# Its inside is the largest rectangle of the floor, less this much beside the walls.
INSET_M = 0.003
# Smaller bins are gaps between parts.
SMALLEST_M = 0.06
# How far outside of the floor walls' tops are looked for; they begin within two fifths of it.
RIM_M = 0.03
# What is so much lower is no bin's floor, but what the bin stands on.
DEEPEST_M = 0.15
# Walls stand along a whole side, but for this share of it.
MIXED = 0.15


@dataclass(frozen=True)
class Calibration:
    """The bin: floor and inside as the segmenter takes them, the walls' height above the floor in m
    (0 without walls), the floor's noise (standard deviation, m), pictures used."""

    workspace: Workspace
    wall_m: float
    noise_m: float
    frames: int

    def text(self) -> str:
        """What was found, in a sentence. Raises InputError for a workspace without bounds."""
        x_min, y_min, x_max, y_max = self.workspace.require_bounds()
        tilt = np.degrees(np.arccos(np.clip(-self.workspace.floor[2], -1, 1)))
        walls = f'walls of {1000 * self.wall_m:.0f} mm' if self.wall_m else 'no walls were seen'
        return (
            f'{self.frames} pictures: floor at {self.workspace.floor_distance_m:.3f} m, tilted'
            f' {tilt:.1f} degrees, noise {1000 * self.noise_m:.1f} mm; inside'
            f' {1000 * (x_max - x_min):.0f} x {1000 * (y_max - y_min):.0f} mm; {walls}'
        )


def calibrate(frames: Iterable[Frame]) -> tuple[Calibration, Frame]:
    """The bin under the middle of the image, from pictures of it while it is empty, the first
    FRAMES; and their median as one picture.

    Raises InputError where there is no picture, too few readings, no floor in the middle, or
    something in the bin.
    """
    first = list(islice(frames, FRAMES))
    if not first:
        raise InputError('no picture: expected at least one of the empty bin')
    camera = first[0].intrinsics
    if any(frame.intrinsics != camera for frame in first):
        raise InputError(
            'the pictures are of different sizes or cameras: expected one camera that stands still'
        )
    median = _median(np.stack([frame.depth_m for frame in first]))
    if np.isfinite(median).mean() < 0.3:
        raise InputError(
            f'{100 * np.isfinite(median).mean():.0f} % of the image has a reading: expected the bin'
            " within the camera's range"
        )
    picture = Frame(median, camera, stamp_ns=first[0].stamp_ns, frame_id=first[0].frame_id)
    floor, on_floor = _floor_under_the_middle(picture)
    heights = _heights(picture, floor)
    rows, columns = _largest_rectangle(on_floor)
    # Points of the rectangle's corners lie on the floor's plane, not on what a camera reads there.
    points = _on_plane(picture, floor, rows, columns)
    (x_min, y_min), (x_max, y_max) = points[:, :2].min(0) + INSET_M, points[:, :2].max(0) - INSET_M
    if min(x_max - x_min, y_max - y_min) < SMALLEST_M:
        raise InputError(
            f'the flat ground in the middle of the image is {1000 * (x_max - x_min):.0f} x'
            f' {1000 * (y_max - y_min):.0f} mm: expected the floor of an empty bin there,'
            f' at least {1000 * SMALLEST_M:.0f} mm wide (does something lie in it?)'
        )
    inside = np.s_[rows[0] : rows[1], columns[0] : columns[1]]
    _check_empty(heights[inside])
    _check_lowest(heights, rows, columns, RIM_M * camera.fx / Workspace(floor).floor_distance_m)
    flat = heights[inside][np.abs(heights[inside]) < FLAT_M]
    metre_px = camera.fx / Workspace(floor).floor_distance_m
    found = Calibration(
        Workspace(floor, four((x_min, y_min, x_max, y_max))),
        _wall_height(heights, rows, columns, RIM_M * metre_px),
        float(flat.std()),
        len(first),
    )
    return found, picture


def _median(depth_m: np.ndarray) -> np.ndarray:
    """Median over pictures (N, H, W) of the readings there are; NaN where fewer than half have
    one."""
    count = np.isfinite(depth_m).sum(0)
    ordered = np.sort(depth_m, axis=0)
    place = (count // 2)[None].clip(max=len(depth_m) - 1)
    middle = np.take_along_axis(ordered, place, 0)[0]
    return np.where(2 * count >= len(depth_m), middle, np.nan).astype(np.float32)


def _heights(picture: Frame, floor: tuple[float, float, float, float]) -> np.ndarray:
    """(H, W) metres above the floor, NaN without a reading."""
    points = picture.intrinsics.rays() * picture.depth_m[..., None]
    return Workspace(floor).height_of(points)


def _floor_under_the_middle(picture: Frame) -> tuple[tuple[float, float, float, float], np.ndarray]:
    """The plane under the middle half of the image, and the piece of it (H, W) that holds most of
    the middle."""
    height, width = picture.depth_m.shape
    middle = np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4]
    masked = np.full_like(picture.depth_m, np.nan)
    masked[middle] = picture.depth_m[middle]
    floor = fit_floor(Frame(masked, picture.intrinsics))
    heights = _heights(picture, floor)
    # Single pixels without a reading do not cut the floor to pieces.
    flat = cv2.morphologyEx(
        (np.abs(np.nan_to_num(heights, nan=1.0)) < FLAT_M).astype(np.uint8),
        cv2.MORPH_CLOSE,
        np.ones((5, 5), np.uint8),
    )
    _, pieces = cv2.connectedComponents(flat, connectivity=4)
    in_middle = pieces[middle]
    if not in_middle.any():
        raise InputError(
            'no flat ground in the middle of the image: expected the camera to look into the'
            ' empty bin'
        )
    own = int(np.bincount(in_middle[in_middle > 0]).argmax())
    return floor, pieces == own


def _largest_rectangle(mask: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns (first, last + 1) of the largest upright rectangle of a mask (H, W), holes
    of things in it closed first."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    best, found = 0, ((0, 0), (0, 0))
    run = np.zeros(mask.shape[1] + 1, int)
    for row, line in enumerate(filled):
        run[:-1] = np.where(line, run[:-1] + 1, 0)
        # The largest rectangle under a histogram, with a stack of rising columns.
        stack: list[tuple[int, int]] = []
        for column, tall in enumerate(run):
            start = column
            while stack and stack[-1][1] >= tall:
                start, high = stack.pop()
                if high * (column - start) > best:
                    best = high * (column - start)
                    found = ((row - high + 1, row + 1), (start, column))
            stack.append((start, int(tall)))
    return found


def _on_plane(
    picture: Frame,
    floor: tuple[float, float, float, float],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> np.ndarray:
    """Where the rays of the rectangle's corners meet the floor, (4, 3) in m."""
    corner_px = np.ix_([rows[0], rows[1] - 1], [columns[0], columns[1] - 1])
    corners = picture.intrinsics.rays()[corner_px].reshape(-1, 3).astype(float)
    return corners * (-floor[3] / (corners @ np.asarray(floor[:3])))[:, None]


def _check_empty(heights: np.ndarray) -> None:
    """Raise InputError where something lies on the floor, by the heights of the bin's inside."""
    high = heights[np.isfinite(heights)]
    occupied = float((high > PART_M).mean()) if high.size else 1.0
    if occupied > MAX_OCCUPIED:
        raise InputError(
            f'the bin is not empty: {100 * occupied:.1f} % of its inside stands more than'
            f' {1000 * PART_M:.0f} mm above the floor, up to'
            f' {1000 * float(np.quantile(high, 0.999)):.0f} mm: expected an empty bin'
        )


def _sides(
    heights: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], rim: int
) -> dict[str, np.ndarray]:
    """What lies up to `rim` px beside each side of a rectangle, rows along the side."""
    return {
        'top': heights[max(rows[0] - rim, 0) : rows[0], slice(*columns)],
        'bottom': heights[rows[1] : rows[1] + rim, slice(*columns)],
        'left': heights[slice(*rows), max(columns[0] - rim, 0) : columns[0]].T,
        'right': heights[slice(*rows), columns[1] : columns[1] + rim].T,
    }


def _check_lowest(
    heights: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], rim_px: float
) -> None:
    """Raise InputError where the ground beside the rectangle lies lower by as much as a thing in
    the bin would be high: then it is no floor but something flat that lies on it. A table's edge
    falls deeper."""
    sides = list(_sides(heights, rows, columns, max(int(rim_px), 3)).values())
    lower = [
        ((side < -PART_M) & (side > -DEEPEST_M)).sum() / max(np.isfinite(side).sum(), 1)
        for side in sides
    ]
    if sorted(lower)[-2] > 0.3:
        around = np.concatenate([side.ravel() for side in sides])
        depth_m = float(np.median(around[(around < -PART_M) & (around > -DEEPEST_M)]))
        raise InputError(
            f'the flat ground in the middle of the image lies {-1000 * depth_m:.0f} mm above what'
            ' is around it: expected the floor of an empty bin (does something flat lie in it?)'
        )


def _wall_height(
    heights: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], rim_px: float
) -> float:
    """Metres that the lowest of the walls around the rectangle rises above the floor; 0 where one
    side has none.

    Raises InputError where beside a side there is floor here and something there: no wall, but a
    thing in the bin.
    """
    rim = max(int(rim_px), 3)
    tops = []
    for name, side in _sides(heights, rows, columns, rim).items():
        if not len(side) or not np.isfinite(side).any():
            tops.append(0.0)
            continue
        # The nearest rows first.
        side = np.where(np.isfinite(side), side, -np.inf)[:: -1 if name in ('top', 'left') else 1]
        beside, highest = (
            near.max(0)[np.isfinite(near.max(0))] for near in (side[: max(rim * 2 // 5, 2)], side)
        )
        if not len(beside):
            tops.append(0.0)
            continue
        free = float((beside < PART_M).mean())
        if MIXED < free < 1 - MIXED:
            raise InputError(
                f'the floor goes on beyond {100 * free:.0f} % of the {name} side of its largest'
                ' free rectangle, and something stands beside the rest: expected an empty bin'
                " whose walls run along the image's sides"
            )
        tops.append(float(np.median(highest)))
    lowest = min(tops)
    return lowest if lowest > 2 * FLAT_M else 0.0


def check_calibration_path(path: Path) -> None:
    """Raise DatasetError where the YAML or the picture beside it exists, or cannot be made."""
    if (
        path.suffix not in ('.yaml', '.yml')
        or not path.parent.is_dir()
        or not os.access(path.parent, os.W_OK)
    ):
        raise DatasetError(
            f'{path}: expected a file ending in .yaml in a folder that can be written'
        )
    for one in (path, path.with_suffix('.png')):
        if one.exists():
            raise DatasetError(f'{one} exists: expected a new file')


def write_calibration(found: Calibration, picture: Frame, path: Path) -> Path:
    """Write the segmenter's parameters as YAML, and beside it what was found as a picture (PNG).
    Returns the picture's path.

    Raises DatasetError where either exists.
    """
    check_calibration_path(path)
    drawn = path.with_suffix('.png')
    cv2.imwrite(str(drawn), cv2.cvtColor(draw_calibration(found, picture), cv2.COLOR_RGB2BGR))
    write_workspace(found.workspace, path, found.text())
    return drawn


def draw_calibration(found: Calibration, picture: Frame) -> np.ndarray:
    """The empty bin in grey, its inside tinted, (H, W, 3) uint8 RGB."""
    out = depth_picture(picture.depth_m)
    points = picture.intrinsics.rays() * picture.depth_m[..., None]
    heights = _heights(picture, found.workspace.floor)
    inside = found.workspace.contains(points) & (np.abs(np.nan_to_num(heights, nan=1.0)) < FLAT_M)
    out[inside] = (0.6 * out[inside] + 0.4 * np.array([60, 220, 90])).astype(np.uint8)
    return out
