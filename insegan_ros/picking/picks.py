"""Which instance a robot should take first, where, and how: uncovered, high, free around it, flat
where it is held.

Everything is read from the depth itself and the instances' visible masks, so it works for any
segmenter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import find_objects, maximum

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.principal_axes import principal_axes
from insegan_ros.workspace import Workspace

# Steps in height below this are the camera's noise and the surface's own slope.
STEP_M = 0.003
# How far around a part other things are looked at, if the tool reaches no farther.
FARTHEST_M = 0.03
# What lies beyond the image may be as high as this.
BEYOND_M = 0.1
# So many points tell an instance's shape.
MAX_POINTS = 1000
# Places tried an instance, and turns of a parallel gripper.
PLACES, TURNS = 8, 12
# Instances tried a frame, so that clutter cannot hold a node up.
MAX_TRIED = 100
# A bin in which this share of the pixels has no reading says nothing.
MIN_READ = 0.3


class BinState(StrEnum):
    """The bin in words that a cell needs."""

    NO_READING = 'no_reading'
    EMPTY = 'empty'
    PICKABLE = 'pickable'
    OCCUPIED_NOT_PICKABLE = 'occupied_not_pickable'
    OVERFILLED = 'overfilled'


@dataclass(frozen=True)
class PickConfig:
    """The gripper, and what is good enough."""

    gripper: Literal['suction', 'parallel'] = 'suction'
    """How parts are held: by a suction cup on a flat place, or between two fingers."""
    cup_radius_m: float = 0.006
    """Suction: radius of the cup."""
    tool_radius_m: float = 0.015
    """Suction: radius of what stands above the cup; nothing higher than the part may be within
    it."""
    opening_m: float = 0.085
    """Parallel: the widest that the fingers open."""
    finger_m: float = 0.012
    """Parallel: side of a finger's square footprint."""
    reach_m: float = 0.01
    """Parallel: how far below the part's top the fingertips go."""
    max_roughness_m: float = 0.0015
    """Suction: the largest deviation from a plane (root mean square) under the cup."""
    min_uncovered: float = 0.9
    """The least share of a part's border on which nothing lies."""
    wall_m: float = 0.005
    """The least distance of the tool to the bin's walls."""
    full_height_m: float = 0.0
    """The bin counts as overfilled where anything is higher above the floor; 0: never."""

    def __post_init__(self) -> None:
        lengths = (
            'cup_radius_m',
            'tool_radius_m',
            'opening_m',
            'finger_m',
            'reach_m',
            'max_roughness_m',
        )
        bad = [name for name in lengths if not 0 < getattr(self, name) < 1]
        if (
            bad
            or self.gripper not in ('suction', 'parallel')
            or not 0 <= self.min_uncovered <= 1
            # Also where it is no number.
            or not 0 <= self.wall_m < np.inf
            or not 0 <= self.full_height_m < np.inf
        ):
            raise ConfigError(
                f'picks: {", ".join(f"{name} {getattr(self, name):g}" for name in bad) or self}:'
                ' expected lengths in metres between 0 and 1, a gripper suction or parallel,'
                ' min_uncovered between 0 and 1, wall_m and full_height_m of 0 or more'
            )


@dataclass(frozen=True)
class Pick:
    """One way to take one instance.

    label: the instance's number in the labels. pose (4, 4) camera-from-grasp in metres: the origin
    is the contact, z points into the part, x lies along the part, the fingers close along y.
    uncovered: share of the border on which nothing lies, or of the whole that is seen where hidden
    parts are known and that is less. height_m of the contact above the floor. clearance_m: suction,
    distance to the next higher thing or wall, as far as it was looked (0.03, or the tool's radius);
    parallel, how far the fingertips stay above what lies beside the part. double: two parts may be
    one mask. possible: all limits are kept.
    """

    label: int
    score: float
    pose: np.ndarray
    uncovered: float
    height_m: float
    clearance_m: float
    roughness_m: float
    double: bool
    possible: bool


class Surface:
    """What the camera sees of the bin, prepared once a frame for all that asks for it.

    All of the bin's window of the image alone, (h, w): height in m above the floor, 0 where there
    is nothing; depth in m; read, where there is a reading; rays (h, w, 3). inside: the window as
    slices of the image. Raises InputError where the bin lies outside of the image.
    """

    def __init__(self, frame: Frame, workspace: Workspace) -> None:
        left, top, right, bottom = window = workspace.window(frame.intrinsics)
        self.workspace = workspace
        self.inside = np.s_[top:bottom, left:right]
        self.fx = frame.intrinsics.fx
        self.height = workspace.height_map(frame, window=window)
        self.depth, self.rays = frame.depth_m[self.inside], frame.intrinsics.rays()[self.inside]
        self.read = np.isfinite(self.depth)
        # The bin's floor within the window, without the room for what stands high at its rim.
        floor = workspace.window(frame.intrinsics, 0.0)
        self.floor = np.s_[floor[1] - top : floor[3] - top, floor[0] - left : floor[2] - left]


def rank_picks(
    surface: Surface,
    instances: Instances,
    config: PickConfig = PickConfig(),
    part_area_m2: float = 0.0,
) -> list[Pick]:
    """All instances' best picks, the best first; impossible ones last. Of more than MAX_TRIED
    instances those that stand highest.

    part_area_m2: what one whole part covers; a mask that is much larger is suspected of two. 0
    compares with the median of the masks.
    """
    holds = _Holds(surface, instances.labels[surface.inside], config)
    areas = holds.areas(len(instances))
    usual = part_area_m2 or float(np.median(areas[areas > 0])) if (areas > 0).any() else 0.0
    highest = max(float(surface.height[holds.labels > 0].max(initial=0)), 1e-6)
    picks = []
    boxes = find_objects(holds.labels, len(instances))
    for label in _tried(holds, len(instances)):
        box = boxes[label - 1]
        found = holds.hold(label, box, _seen_share(instances, label)) if box else None
        if found is None:
            continue
        pick = replace(found, double=bool(usual and areas[label - 1] > 1.6 * usual))
        # That nothing lies on it comes first, then that it is held well, then height: what lies
        # high hides the rest.
        score = pick.uncovered**4 * (1.0 if pick.possible else 0.1) * (0.5 if pick.double else 1.0)
        score *= (
            (0.6 + 0.4 * pick.height_m / highest)
            * (0.7 + 0.3 * min(max(pick.clearance_m, 0) / 0.02, 1))
            * (0.8 + 0.2 * float(instances.scores[label - 1]))
        )
        picks.append(replace(pick, score=float(score)))
    return sorted(picks, key=lambda pick: (not pick.possible, -pick.score))


def _tried(holds: _Holds, count: int) -> list[int]:
    """The labels of those of `count` instances that are looked at, in order."""
    labels = np.arange(1, count + 1)
    if count > MAX_TRIED:
        tops = maximum(holds.height, holds.labels, labels)
        labels = np.sort(labels[np.argsort(-tops, kind='stable')[:MAX_TRIED]])
    return labels.tolist()


def bin_state(
    surface: Surface,
    picks: list[Pick],
    config: PickConfig = PickConfig(),
    min_height_m: float = 0.005,
) -> BinState:
    """The bin in one word. Empty is a bin in which next to nothing stands min_height_m above the
    floor."""
    if surface.read[surface.floor].mean() < MIN_READ:
        return BinState.NO_READING
    if (
        config.full_height_m
        and np.quantile(surface.height[surface.floor], 0.999) > config.full_height_m
    ):
        return BinState.OVERFILLED
    if any(pick.possible for pick in picks):
        return BinState.PICKABLE
    pixel = surface.workspace.floor_distance_m / surface.fx
    # Two square centimetres: less is dust, or the camera's noise.
    occupied = (
        cv2.erode(surface.height, np.ones((3, 3), np.uint8)) > min_height_m
    ).sum() * pixel**2 > 2e-4
    return BinState.OCCUPIED_NOT_PICKABLE if occupied or picks else BinState.EMPTY


class _Holds:
    """How one gripper can hold the instances of one frame; labels (h, w) of the surface's
    window."""

    def __init__(self, surface: Surface, labels: np.ndarray, config: PickConfig) -> None:
        self.workspace, self.labels, self.config = surface.workspace, labels, config
        self.height = surface.height
        self.depth = surface.depth
        self.rays = surface.rays
        self.read = surface.read
        self.fx = surface.fx
        self.up = np.asarray(surface.workspace.floor[:3], float)
        self.around_m = max(
            FARTHEST_M, config.tool_radius_m if config.gripper == 'suction' else 2 * config.finger_m
        )

    def areas(self, count: int) -> np.ndarray:
        """Square metres that every instance covers (count,)."""
        pixels = np.flatnonzero((self.labels > 0) & self.read)
        return np.bincount(
            self.labels.ravel()[pixels],
            weights=(self.depth.ravel()[pixels] / self.fx) ** 2,
            minlength=count + 1,
        )[1:]

    def hold(self, label: int, box: tuple[slice, slice], seen: float) -> Pick | None:
        """The best way to hold the instance that lies in a box of the window and of which a share
        is seen, None where it has no reading."""
        readings = self.depth[box][(self.labels[box] == label) & self.read[box]]
        if len(readings) < 8:
            return None
        distance = float(np.median(readings))
        around = int(np.ceil(self.around_m / distance * self.fx))
        rows, columns = (slice(max(side.start - around, 0), side.stop + around) for side in box)
        mask, height = self.labels[rows, columns] == label, self.height[rows, columns]
        corner = np.array([rows.start, columns.start])
        uncovered = min(uncovered_share(mask, height), seen)
        holding = self._suction if self.config.gripper == 'suction' else self._parallel
        pose, clearance, roughness, good = holding(mask, height, corner, distance)
        contact = float(self.workspace.height_of(pose[:3, 3]))
        return Pick(
            label,
            0.0,
            pose.astype(np.float32),
            uncovered,
            contact,
            clearance,
            roughness,
            False,
            bool(good and uncovered >= self.config.min_uncovered),
        )

    def _points(
        self, mask: np.ndarray, corner: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns (in the box) and points (M, 3) of a mask's readings, or of as many of them
        as tell its shape."""
        box = tuple(slice(start, start + side) for start, side in zip(corner, mask.shape))
        rows, columns = np.nonzero(mask & self.read[box])
        step = max(len(rows) // MAX_POINTS, 1)
        rows, columns = rows[::step], columns[::step]
        depth, rays = self.depth[box][rows, columns], self.rays[box][rows, columns]
        return rows, columns, (rays * depth[:, None]).astype(float)

    def _walls(self, point: np.ndarray) -> float:
        """Distance in m of a point (3,) to the nearest of the bin's walls."""
        if self.workspace.bounds is None:
            return self.around_m
        return float(self.workspace.wall_distance(point))

    def _suction(
        self, mask: np.ndarray, height: np.ndarray, corner: np.ndarray, distance: float
    ) -> tuple[np.ndarray, float, float, bool]:
        config = self.config
        rows, columns, points = self._points(mask, corner)
        # The cup must lie on the part alone: so far from the mask's border.
        room = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1][
            rows, columns
        ]
        cup = config.cup_radius_m / distance * self.fx
        middle = np.median(np.stack([rows, columns], 1), axis=0)
        far = np.hypot(rows - middle[0], columns - middle[1])
        allowed = np.flatnonzero(room >= cup)
        fits = len(allowed) > 0
        if not fits:
            allowed = np.flatnonzero(room >= 0.9 * room.max())
        # From the middle outwards: a part held at its middle turns least.
        tried = allowed[np.argsort(far[allowed], kind='stable')]
        tried = tried[np.unique(np.linspace(0, len(tried) - 1, PLACES).astype(int))]
        best: tuple[float, np.ndarray, np.ndarray, float] | None = None
        place = int(np.argmin(far))
        for index in tried:
            near = (rows - rows[index]) ** 2 + (columns - columns[index]) ** 2 <= max(cup, 2.0) ** 2
            own = points[near]
            if len(own) < 6:
                continue
            centre, values, vectors = principal_axes(own)
            roughness, normal = float(np.sqrt(max(values[0], 0))), vectors[:, 0]
            normal = normal if normal[2] < 0 else -normal
            tilt = 1 - float(normal @ self.up)
            cost = roughness / config.max_roughness_m + tilt + 0.5 * far[index] / (far.max() + 1)
            if best is None or cost < best[0]:
                best, place = (cost, centre, normal, roughness), int(index)
        if best is None:
            centre, normal, roughness, fits = points.mean(0), self.up, FARTHEST_M, False
        else:
            _, centre, normal, roughness = best
        pose = _grasp_frame(centre, normal, points)
        contact = float(self.workspace.height_of(centre))
        others_y, others_x = np.nonzero(~mask & (height > contact + STEP_M))
        clearance = min(self._walls(centre) - config.wall_m, self.around_m)
        if len(others_y):
            row, column = rows[place], columns[place]
            clearance = min(
                float(np.sqrt(((others_y - row) ** 2 + (others_x - column) ** 2).min()))
                * distance
                / self.fx,
                clearance,
            )
        return (
            pose,
            clearance,
            roughness,
            fits and roughness <= config.max_roughness_m and clearance >= config.tool_radius_m,
        )

    def _parallel(
        self, mask: np.ndarray, height: np.ndarray, corner: np.ndarray, distance: float
    ) -> tuple[np.ndarray, float, float, bool]:
        config = self.config
        rows, columns, points = self._points(mask, corner)
        heights = self.workspace.height_of(points)
        top = float(np.quantile(heights, 0.9))
        middle = np.array([rows.mean(), columns.mean()])
        metres = distance / self.fx
        finger, tips = config.finger_m / metres, top - config.reach_m
        # What stands in the fingers' way: everything but the part.
        others = np.where(mask, 0, height)
        best: tuple[float, float, bool] | None = None
        along = _main_direction(rows, columns)
        for turn in np.arange(TURNS) * np.pi / TURNS:
            angle = along + np.pi / 2 + turn
            close = np.array([np.sin(angle), np.cos(angle)])
            beside = np.array([close[1], -close[0]])
            offset = np.stack([rows, columns], 1) - middle
            between = np.abs(offset @ beside) <= finger / 2
            if not between.any():
                continue
            reach = offset[between] @ close
            low, high = reach.min(), reach.max()
            wide = (high - low) * metres + 2 * STEP_M
            free = min(
                _room(
                    others, middle + close * (end + sign * finger / 2), close, beside, finger, tips
                )
                for end, sign in ((low, -1), (high, 1))
            )
            ends = [
                self._at(middle + close * (end + sign * finger), corner, distance)
                for end, sign in ((low, -1), (high, 1))
            ]
            good = (
                wide <= config.opening_m
                and free >= 0
                and min(self._walls(end) for end in ends) >= config.wall_m
                and tips > 0
            )
            # Across the part's length comes first, then room.
            cost = (not good) * 10 - min(free, 0.02) / 0.02 + np.sin(turn) * 0.5
            if best is None or cost < best[0]:
                best = float(cost), float(angle), bool(good)
                clearance = float(free)
        if best is None:
            return _grasp_frame(points.mean(0), self.up, points), 0.0, 0.0, False
        close = np.array([np.cos(best[1]), np.sin(best[1]), 0.0])
        z = -self.up
        y = close - (close @ z) * z
        y /= np.linalg.norm(y)
        pose = np.eye(4)
        centre = points.mean(0)
        # Fingertips meet below the top.
        centre = centre + self.up * (tips - float(self.workspace.height_of(centre)))
        pose[:3, :3], pose[:3, 3] = np.stack([np.cross(y, z), y, z], 1), centre
        return pose, clearance, float(np.std(heights)), best[2]

    def _at(self, place: np.ndarray, corner: np.ndarray, distance: float) -> np.ndarray:
        """The point (3,) at a distance through a place (row, column) of the box, which may lie
        beyond the image."""
        row, column = place + corner
        first = self.rays[0, 0]
        return np.array([first[0] + column / self.fx, first[1] + row / self.fx, 1.0]) * distance


def _room(
    others: np.ndarray,
    middle: np.ndarray,
    close: np.ndarray,
    beside: np.ndarray,
    finger: float,
    tips: float,
) -> float:
    """Metres between a fingertip at height `tips` and the highest thing in its footprint, a square
    of `finger` px."""
    side = max(int(np.ceil(finger)), 3)
    # A row of the footprint follows `beside`, a column `close`; OpenCV takes (x, y).
    across, down = beside[::-1] * finger / side, close[::-1] * finger / side
    start = middle[::-1] - (across + down) * (side - 1) / 2
    under = cv2.warpAffine(
        others,
        np.stack([across, down, start], 1),
        (side, side),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=BEYOND_M,
    )
    # A few pixels are noise.
    return tips - float(
        np.partition(under.ravel(), -(side * side // 20) - 1)[-(side * side // 20) - 1]
    )


def _seen_share(instances: Instances, label: int) -> float:
    """The visible mask against the whole one, where the method knows hidden parts; 1 where it does
    not."""
    if instances.amodal is None:
        return 1.0
    return float((instances.labels == label).sum() / max(int(instances.amodal[label - 1].sum()), 1))


def uncovered_share(mask: np.ndarray, height: np.ndarray) -> float:
    """Share of the border of a mask (H, W) on which no neighbour stands higher, by heights (H, W)
    in m: what lies on a part hides it, what lies below does not."""
    kernel = np.ones((5, 5), np.uint8)
    around = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask
    own = cv2.dilate(np.where(mask, height, 0).astype(np.float32), kernel)
    higher = around & (height > own + STEP_M)
    return 1 - float(higher.sum()) / max(int(around.sum()), 1)


def _main_direction(rows: np.ndarray, columns: np.ndarray) -> float:
    """The angle of a mask's longest axis in the image, in radians from +x towards +y."""
    _, _, vectors = principal_axes(np.stack([columns, rows], 1).astype(float))
    return float(np.arctan2(vectors[1, 1], vectors[0, 1]))


def _grasp_frame(origin: np.ndarray, normal: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The frame (4, 4) at a contact: z into the part, x along the part's longest axis across z."""
    z = -normal / np.linalg.norm(normal)
    _, _, vectors = principal_axes(points)
    x = next(axis for axis in (vectors[:, 2], vectors[:, 1]) if abs(axis @ z) < 0.95)
    x = x - (x @ z) * z
    x /= np.linalg.norm(x)
    x = x if x[np.abs(x).argmax()] > 0 else -x
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([x, np.cross(z, x), z], 1), origin
    return pose
