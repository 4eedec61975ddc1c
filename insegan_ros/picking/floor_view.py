"""A picture of a bin laid out on its floor: where the floor is free, and where walls stand around
it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace

Span = tuple[int, int]
# The largest side of a floor's picture in px: a slanting floor may run to the horizon.
LARGEST_PX = 2000
# A wall begins so high, is looked for so far beyond the free floor's side, and stands along so much
# of it.
WALL_FROM_M, REACH_M, WALL_SHARE = 0.008, 0.06, 0.5
# A wall's foot is as flat as the floor, and what seems to be floor may be hidden below its edge: a
# wall may stand so far within the free floor's side.
SLACK_M = 0.015
# What stands higher is no wall but what hangs over the bin.
WALL_TO_M = 0.4
SIDES = ('left', 'top', 'right', 'bottom')


@dataclass(frozen=True)
class FloorView:
    """heights (H, W) float32 in m above the floor, NaN without a reading, as if all that is seen
    lay on the floor; pixel_m, what a pixel covers; corner (2,), where the middle of the first pixel
    lies in the floor's frame; workspace, floor and turn."""

    heights: np.ndarray
    pixel_m: float
    corner: np.ndarray
    workspace: Workspace

    def places(self, pixels: np.ndarray) -> np.ndarray:
        """Where pixels (..., 2) as (column, row) lie on the floor, in m."""
        return self.corner + pixels * self.pixel_m


def heights_of(picture: Frame, workspace: Workspace) -> np.ndarray:
    """(H, W) metres above the floor, NaN without a reading."""
    return workspace.height_of(picture.points())


def lay_out(
    picture: Frame, workspace: Workspace, piece: np.ndarray
) -> tuple[FloorView, np.ndarray]:
    """The floor's picture around a piece of it (H, W) bool, and that piece in it.

    Its pixels are as large as the camera's on the optical axis: under a camera that looks straight
    down it is the camera's picture.
    """
    k = picture.intrinsics
    feet = workspace.on_floor(_on_floor(picture, workspace)[piece])
    pixel_m = workspace.floor_distance_m / k.fx
    low, high = feet.min(0) - REACH_M, feet.max(0) + REACH_M
    pixel_m = max(pixel_m, float((high - low).max()) / LARGEST_PX)
    columns, rows = (int(side) for side in np.ceil((high - low) / pixel_m))
    # On the camera's own pixels, so that a straight view is only shifted.
    middle = np.array([k.cx, k.cy])
    corner = (np.floor(low / pixel_m + middle) - middle) * pixel_m
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    points = workspace.from_floor(corner + np.stack([x, y], -1) * pixel_m)
    seen = points[..., 2] > 0
    depth = np.where(seen, points[..., 2], 1)
    u = np.where(seen, points[..., 0] / depth * k.fx + k.cx, -1).astype(np.float32)
    v = np.where(seen, points[..., 1] / depth * k.fy + k.cy, -1).astype(np.float32)

    def sampled(image: np.ndarray, outside: float) -> np.ndarray:
        return cv2.remap(image, u, v, cv2.INTER_NEAREST, None, cv2.BORDER_CONSTANT, outside)

    view = FloorView(
        sampled(heights_of(picture, workspace).astype(np.float32), np.nan),
        pixel_m,
        corner,
        workspace,
    )
    return view, sampled(piece.astype(np.uint8), 0) > 0


def _on_floor(picture: Frame, workspace: Workspace) -> np.ndarray:
    """Where the pixels' rays meet the floor, (H, W, 3) in m; NaN where they never do."""
    depth = workspace.floor_depth(picture.intrinsics)
    return picture.intrinsics.points(depth).astype(float)


def turn_of(piece: np.ndarray) -> float:
    """How far a piece of floor (H, W) bool is turned in its picture, in degrees from -45 to 45: by
    the smallest rectangle around it where that is nearly full, else 0."""
    contours, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return 0.0
    hull = cv2.convexHull(np.concatenate(contours))
    _, size, angle = cv2.minAreaRect(hull)
    full = cv2.contourArea(hull) > 0.93 * max(size[0] * size[1], 1.0)
    # A degree on a side of a hundred pixels is two pixels: less is not seen.
    turn = (float(angle) + 45) % 90 - 45
    return turn if full and abs(turn) > 0.5 else 0.0


def largest_rectangle(mask: np.ndarray) -> tuple[Span, Span]:
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


@dataclass(frozen=True)
class Wall:
    """Where a wall stands: metres beyond the free floor's side; how far its points are from that
    plane (median, m); how high it is seen to rise, in m."""

    beyond_m: float
    residual_m: float
    top_m: float


def find_wall(picture: Frame, workspace: Workspace, side: int) -> Wall | None:
    """The wall beside a side of the bounds, which are the free floor: x_min, y_min, x_max, y_max by
    number. None where nothing stands along most of it.

    Where a wall is looked at from its outside, the floor before it is hidden; its edge is seen all
    the same, so points count where they are, not where they seem to lie on the floor.
    """
    points = picture.points().reshape(-1, 3)
    height = workspace.height_of(points)
    points = points[(height > WALL_FROM_M) & (height < WALL_TO_M)]
    high = workspace.height_of(points)
    beyond = -workspace.wall_distances(points)[:, side]
    x_min, y_min, x_max, y_max = workspace.require_bounds()
    low, top = ((y_min, y_max), (x_min, x_max))[side % 2]
    along = (workspace.on_floor(points)[:, 1 - side % 2] - low) / (top - low)
    near = (along > 0.05) & (along < 0.95) & (beyond > -SLACK_M) & (beyond < REACH_M)
    slots = ((along[near] - 0.05) / 0.9 * 40).astype(int)
    order = np.lexsort((beyond[near], slots))
    slots, beyond, high = slots[order], beyond[near][order], high[near][order]
    starts = np.flatnonzero(np.r_[True, np.diff(slots) > 0]) if len(slots) else np.zeros(0, int)
    counts = np.diff(np.r_[starts, len(slots)])
    firm = counts >= 3
    if firm.sum() < WALL_SHARE * 40:
        return None
    # A tenth of a slot's points may be strays before the wall.
    first = beyond[starts[firm] + counts[firm] // 10]
    tops = np.array([high[a : a + n].max() for a, n in zip(starts[firm], counts[firm])])
    # A wall's foot is round, and a wall is not straight: most of what stands is beyond its plane.
    place = float(np.quantile(first, 0.25))
    return Wall(place, float(np.median(np.abs(first - place))), float(np.median(tops)))


def with_bounds(view: FloorView, rows: Span, columns: Span) -> Workspace:
    """The view's workspace with a rectangle as its bounds, from the first pixel's middle to the
    last one's."""
    x_min, y_min = view.places(np.array([columns[0], rows[0]]))
    x_max, y_max = view.places(np.array([columns[1] - 1, rows[1] - 1]))
    return replace(view.workspace, bounds=(float(x_min), float(y_min), float(x_max), float(y_max)))


def beside(heights: np.ndarray, rows: Span, columns: Span, rim: int) -> dict[str, np.ndarray]:
    """What lies up to `rim` px beside each side of a rectangle, rows along the side, the nearest
    first."""
    return {
        'left': heights[slice(*rows), max(columns[0] - rim, 0) : columns[0]].T[::-1],
        'top': heights[max(rows[0] - rim, 0) : rows[0], slice(*columns)][::-1],
        'right': heights[slice(*rows), columns[1] : columns[1] + rim].T,
        'bottom': heights[rows[1] : rows[1] + rim, slice(*columns)],
    }
