"""The load carrier in a frame: where it stands, against where it was configured, and how full it
is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from insegan_ros.frame import Frame
from insegan_ros.picking.rim import LEVEL_NOISES, Rim, find_rim, half_sizes, places_of, thinning
from insegan_ros.workspace import Workspace

# The volume is summed over so many cells along the longer side, of which so large a share must have
# a reading.
CELLS, MIN_READ = 48, 0.3
# Overfilled: so much above the rim, or so many times a reading's noise, on so large an area.
ABOVE_M, ABOVE_M2 = 0.005, 2e-4


class Place(StrEnum):
    """Whether the bin stands where it was configured."""

    IN_PLACE = 'in_place'
    MOVED = 'moved'
    NOT_SEEN = 'not_seen'


@dataclass(frozen=True)
class LoadCarrier:
    """The bin in a frame.

    pose (4, 4) camera-from-carrier in m: the origin is the middle of its floor, x and y its sides,
    z up; as it was configured, and where it has moved as it is found. rim: as it is seen, None
    where it is not. fill: the volume of what lies in it as a share of its volume up to the rim, NaN
    where one of them is not known. overfilled: whether something stands above the rim.
    """

    pose: np.ndarray
    rim: Rim | None
    fill: float
    overfilled: bool

    @property
    def place(self) -> Place:
        """Whether it has moved; it is in its place only where that is seen along both axes."""
        if self.rim is not None and self.rim.moved:
            return Place.MOVED
        return Place.IN_PLACE if self.rim is not None and self.rim.complete else Place.NOT_SEEN

    @property
    def said(self) -> str:
        """Where it stands, in words."""
        if self.rim is None:
            return 'too little of the rim is seen'
        shift_mm, rim = 1000 * np.linalg.norm(self.rim.shift_m), self.rim
        where = {Place.MOVED: 'moved', Place.IN_PLACE: 'in place'}.get(
            self.place, f'along {"y" if rim.seen[0] else "x"} not seen'
        )
        return (
            f'{where}: {shift_mm:.1f} mm, {rim.turn_deg:.1f} degrees'
            f' (noise: up to {1000 * rim.limit_m:.1f} mm at a corner)'
        )


def find_carrier(frame: Frame, workspace: Workspace, wall_height_m: float = 0.0) -> LoadCarrier:
    """The bin in a frame. wall_height_m: of its walls above the floor; 0: as the rim is seen.
    Raises InputError without bounds."""
    camera = frame.intrinsics
    places = places_of(frame.depth_m, workspace, camera)
    rim = find_rim(places, workspace, camera)
    wall_m = wall_height_m or (rim.height_m if rim and rim.complete else np.nan)
    half = half_sizes(workspace)
    if rim is not None and rim.moved:
        places = _moved_back(places, rim)
    inside = (np.abs(places[0]) <= half[0]) & (np.abs(places[1]) <= half[1])
    inside_m = np.compress(inside, places, axis=1)
    limit_m = wall_m + max(ABOVE_M, LEVEL_NOISES * workspace.wall_noise_m)
    # What stands as high as the rim is nearer, and a pixel covers less of it.
    pixel_m2 = (
        thinning(camera) * (workspace.floor_distance_m - wall_m) ** 2 / (camera.fx * camera.fy)
    )
    return LoadCarrier(
        _pose(workspace, rim),
        rim,
        _mean_height(inside_m, half) / wall_m,
        bool((inside_m[2] > limit_m).sum() * pixel_m2 > ABOVE_M2),
    )


def _moved_back(places: np.ndarray, rim: Rim) -> np.ndarray:
    """Places (3, N) from the middle of the bounds as seen from that of the bin, its turn undone."""
    cosine, sine = np.cos(np.radians(rim.turn_deg)), np.sin(np.radians(rim.turn_deg))
    turn = np.array([[cosine, sine], [-sine, cosine]], np.float32)
    own = turn @ (places[:2] - rim.shift_m[:, None].astype(np.float32))
    return np.vstack([own, places[2]])


def _pose(workspace: Workspace, rim: Rim | None) -> np.ndarray:
    x_min, y_min, x_max, y_max = workspace.require_bounds()
    middle, turn = np.array([x_min + x_max, y_min + y_max]) / 2, 0.0
    if rim is not None and rim.moved:
        middle, turn = middle + rim.shift_m, float(np.radians(rim.turn_deg))
    across, along = workspace.axes
    pose = np.eye(4)
    pose[:3, 0] = np.cos(turn) * across + np.sin(turn) * along
    pose[:3, 2] = workspace.floor[:3]
    pose[:3, 1] = np.cross(pose[:3, 2], pose[:3, 0])
    pose[:3, 3] = workspace.from_floor(middle)
    return pose


def _mean_height(inside: np.ndarray, half: np.ndarray) -> float:
    """The mean height in m over the floor of places (3, N) in bounds that are half as wide as
    `half` (2,): every cell of the floor counts once, whatever the camera sees of it. A cell without
    a reading is as high as those around it. NaN where most of them have none."""
    across, along = np.maximum(np.rint(CELLS * half / half.max()), 1).astype(int)
    column = ((inside[0] / half[0] + 1) / 2 * across).astype(int).clip(0, across - 1)
    row = ((inside[1] / half[1] + 1) / 2 * along).astype(int).clip(0, along - 1)
    cell = row * across + column
    count = np.bincount(cell, minlength=along * across).reshape(along, across)
    total = np.bincount(cell, inside[2], along * across).reshape(along, across)
    read = count > 0
    if read.mean() < MIN_READ:
        return float('nan')
    heights = np.where(read, total / np.maximum(count, 1), 0.0)
    if not read.all():
        blurred, weight = (cv2.GaussianBlur(one, (0, 0), 2.0) for one in (heights, 1.0 * read))
        mean = heights[read].mean()
        around = np.where(weight > 1e-3, blurred / np.maximum(weight, 1e-3), mean)
        heights = np.where(read, heights, around)
    # The floor's noise is above it as often as below.
    return max(float(heights.mean()), 0.0)
