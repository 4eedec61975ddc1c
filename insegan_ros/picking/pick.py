"""A pick: what it says, the gripper that it is for, and the surface that it is found on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, get_args

import numpy as np

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.files import user_path
from insegan_ros.frame import Frame
from insegan_ros.picking.tool import Tooling, read_body, read_grasps
from insegan_ros.workspace import Workspace

Gripper = Literal['suction', 'parallel']
Order = Literal['score', 'highest', 'middle']
Doubles = Literal['last', 'never', 'any']
CHOICES = {'gripper': get_args(Gripper), 'order': get_args(Order), 'doubles': get_args(Doubles)}
# Least and greatest value, and the unit.
LENGTH, HEIGHT = (1e-5, 1.0, ' m'), (0.0, 100.0, ' m')
LIMITS: dict[str, tuple[float, float, str]] = {
    'cup_radius_m': LENGTH,
    'tool_radius_m': LENGTH,
    'opening_m': LENGTH,
    'finger_m': LENGTH,
    'reach_m': LENGTH,
    'max_roughness_m': LENGTH,
    'min_uncovered': (0.0, 1.0, ''),
    'wall_m': HEIGHT,
    'full_height_m': HEIGHT,
    'wall_height_m': HEIGHT,
    'approach_m': (0.0, 1.0, ' m'),
    'gripper_file_scale': (1e-6, 1e3, ''),
    'max_tilt_deg': (0.1, 90.0, ' degrees'),
}


@dataclass(frozen=True)
class PickConfig:
    """The gripper, and what is good enough."""

    gripper: Gripper = 'suction'
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
    """The least distance of the tool from the bin's walls."""
    full_height_m: float = 0.0
    """The bin counts as overfilled where anything is higher above the floor; 0: where something
    stands above the walls, if wall_height_m is given."""
    order: Order = 'score'
    """Which pick is the best: by score (free, held well, high), the highest contact, or the one
    nearest to the bin's middle."""
    doubles: Doubles = 'last'
    """Picks that may take two parts: ranked behind, impossible, or as good as others."""
    approach_m: float = 0.1
    """How far the tool comes straight along the pick's z before the contact."""
    gripper_file: str = ''
    """The gripper's body in the frame of a pick, fingers open: a YAML file of boxes, or an STL, OBJ
    or PLY; empty: only what is said above is checked."""
    gripper_file_scale: float = 1.0
    """Metres per unit of the gripper's mesh: 0.001 for a file in millimetres."""
    wall_height_m: float = 0.0
    """Height of the bin's walls, for the gripper's body; 0: as high as the body reaches."""
    grasps_file: str = ''
    """YAML file of grasps that were taught on the mesh, instead of those found in depth; needs
    mesh."""
    max_tilt_deg: float = 45.0
    """Taught grasps: the largest angle between the way in and the floor's normal."""

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise ConfigError(f'picks.{name} is "{value}": expected {" or ".join(choices)}')
        for name, (low, high, unit) in LIMITS.items():
            # Not so where it is no number either.
            if not low <= (value := getattr(self, name)) <= high:
                raise ConfigError(f'picks.{name} is {value:g}: expected {low:g} to {high:g}{unit}')


def load_tooling(config: PickConfig) -> Tooling:
    """What the configuration's files say. Raises InputError where one cannot be read, or teaches
    grasps for wider fingers."""
    body, grasps = config.gripper_file, config.grasps_file
    tooling = Tooling(
        read_body(user_path(body, InputError), config.gripper_file_scale) if body else None,
        read_grasps(user_path(grasps, InputError)) if grasps else (),
    )
    for grasp in tooling.grasps:
        if config.gripper == 'parallel' and grasp.opening_m > config.opening_m:
            raise InputError(
                f'{grasps}: {grasp.name} needs the fingers {grasp.opening_m:g} m open, but'
                f' picks.opening_m is {config.opening_m:g}: expected no more than that'
            )
    return tooling


class Blocked(StrEnum):
    """Why a pick is impossible; empty where it is not."""

    NO = ''
    COVERED = 'covered'
    TWO_PARTS = 'two parts'
    NO_ROOM = 'no flat place, or no room for the tool'
    COLLISION = 'the gripper would touch something'
    NO_GRASP = 'no taught grasp is free'


@dataclass(frozen=True)
class Pick:
    """One way to take one instance.

    label: the instance's number in the labels. pose (4, 4) camera-from-grasp in metres: the origin
    is the contact, z points into the part, x lies along the part, the fingers close along y.
    uncovered: share of the border on which nothing lies, or of the whole that is seen where hidden
    parts are known and that is less. height_m of the contact above the floor. clearance_m: suction,
    distance to the next higher thing or wall, as far as it was looked (0.03, or the tool's radius);
    parallel, how far the fingertips stay above what lies beside the part. double: two parts may be
    one mask, or another part lies between the fingers too. possible: all limits are kept; blocked:
    which is not. opening_m: parallel, how wide the fingers must be open. grasp: the taught grasp's
    name.
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
    blocked: Blocked = Blocked.NO
    opening_m: float = 0.0
    grasp: str = ''


class Surface:
    """What the camera sees of the bin, prepared once a frame for all that asks for it.

    All of the bin's window of the image alone, (h, w): height in m above the floor, 0 where there
    is nothing; depth in m; read, where there is a reading; rays (h, w, 3). inside: the window as
    slices of the image. Raises InputError where the bin lies outside of the image.
    """

    def __init__(self, frame: Frame, workspace: Workspace) -> None:
        left, top, right, bottom = window = workspace.view(frame)
        self.workspace = workspace
        self.inside = np.s_[top:bottom, left:right]
        self.fx, self.fy = frame.intrinsics.fx, frame.intrinsics.fy
        self.height = workspace.height_map(frame, window=window)
        self.depth, self.rays = frame.depth_m[self.inside], frame.intrinsics.rays()[self.inside]
        self.read = np.isfinite(self.depth)
        # The bin's floor within the window, without the room for what stands high at its rim.
        floor = workspace.window(frame.intrinsics, 0.0)
        self.floor = np.s_[floor[1] - top : floor[3] - top, floor[0] - left : floor[2] - left]
