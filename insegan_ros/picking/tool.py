"""The gripper as a solid body, against what the camera sees and against the bin's walls; and ways
to hold a part that were taught on its mesh.

Both are in the frame of a pick: its origin is the contact, z points into the part, fingers close
along y; lengths are in metres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import trimesh
from scipy.spatial import QhullError
from scipy.spatial.transform import Rotation

from insegan_ros.errors import MALFORMED, InputError
from insegan_ros.geometry.meshes import SUFFIXES, read_mesh
from insegan_ros.picking.poses import numbers, pose_of
from insegan_ros.texts import read_mapping
from insegan_ros.workspace import Workspace

# A mesh is moved in such steps on its way in; points of the outline lie no farther apart than that,
# or than such a share of the body's size.
STEP_M, OUTLINE = 0.01, 20
# So many readings within the body are no noise.
TOUCHING = 3
# A cup is so high, and what no file describes reaches so far back.
CUP_M, TOOL_M = 0.01, 0.06
# So far below the floor is the camera's noise.
BELOW_M = 0.003
# A gripper is no larger.
LARGEST_M = 1.0
MOST_BOXES, MOST_GRASPS = 50, 500


class Body(Protocol):
    """A solid; outline (M, 3): points on its surface, close together."""

    outline: np.ndarray

    def contains(self, points: np.ndarray, way_m: float) -> np.ndarray:
        """Which points (N, 3) lie within it (N,) bool, or did while it came along z by way_m."""
        ...


class BoxBody:
    """A body of boxes along the axes: lows and highs (N, 3)."""

    def __init__(self, lows: np.ndarray, highs: np.ndarray) -> None:
        self.lows, self.highs = lows, highs
        boxes = [trimesh.creation.box(bounds=pair) for pair in zip(lows, highs)]
        self.outline = np.concatenate([_outline(box) for box in boxes])

    def contains(self, points: np.ndarray, way_m: float) -> np.ndarray:
        """See Body."""
        lows = self.lows - [0.0, 0.0, way_m]
        beside = points[:, None]
        inside = np.logical_and.reduce((beside >= lows) & (beside <= self.highs), axis=-1)
        return np.logical_or.reduce(inside, axis=-1)


class MeshBody:
    """A closed mesh as a body. Raises InputError for one that is open."""

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        if not mesh.is_watertight:
            raise InputError(
                "the gripper's mesh is open: expected a closed surface; export it as a solid, or"
                ' give boxes'
            )
        # Large libraries, which few need: not before a gripper is a mesh.
        from insegan_ros.geometry.rays import ray_scene

        try:
            self.outline = _outline(mesh.convex_hull)
        except QhullError as error:
            raise InputError(
                "the gripper's mesh is flat: expected a solid with a volume"
            ) from error
        self.scene = ray_scene(mesh)

    def contains(self, points: np.ndarray, way_m: float) -> np.ndarray:
        """See Body."""
        from open3d.core import Tensor

        steps = np.linspace(0.0, way_m, int(np.ceil(way_m / STEP_M)) + 1)
        moved = points[None] + steps[:, None, None] * [0.0, 0.0, 1.0]
        inside = self.scene.compute_occupancy(Tensor.from_numpy(moved.astype(np.float32)))
        found: np.ndarray = inside.numpy().astype(bool)
        return np.logical_or.reduce(found)


def _outline(mesh: trimesh.Trimesh) -> np.ndarray:
    # A large body needs no finer outline than a small one.
    longest = max(STEP_M, float(mesh.extents.max()) / OUTLINE)
    return np.asarray(
        trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, longest, max_iter=12)[0]
    )


class Grasp(NamedTuple):
    """A way to hold the part, taught on its mesh: pose (4, 4) object-from-pick in m, how wide the
    fingers open, and its rank: of those that are free, the highest priority is taken."""

    name: str
    pose: np.ndarray
    opening_m: float
    priority: int


@dataclass(frozen=True)
class Tooling:
    """What files say of the gripper: its body, None where no file says it, and the grasps that
    were taught; empty: they are found in the depth."""

    body: Body | None = None
    grasps: tuple[Grasp, ...] = ()


NO_TOOLING = Tooling()


def read_body(path: Path, scale: float = 1.0) -> Body:
    """A gripper's body from a YAML file of boxes, or from an STL, OBJ or PLY file with `scale`
    metres in its unit. Raises InputError where it cannot be read."""
    if path.suffix.lower() in SUFFIXES:
        mesh = read_mesh(path, scale)
        _check_reach(path, mesh.bounds)
        return MeshBody(mesh)
    boxes = _list_of(path, 'boxes', MOST_BOXES)
    try:
        sizes = np.array([numbers(box['size'], 3) for box in boxes])
        centres = np.array([numbers(box['center'], 3) for box in boxes])
    except MALFORMED as error:
        raise InputError(
            f'{path} holds a box that cannot be read ({error}): expected size and center, three'
            ' numbers in m each'
        ) from error
    if not (sizes > 0).all():
        raise InputError(f'{path} holds a box without extent: expected sizes above 0')
    lows, highs = centres - sizes / 2, centres + sizes / 2
    _check_reach(path, np.concatenate([lows, highs]))
    return BoxBody(lows, highs)


def _check_reach(path: Path, corners: np.ndarray) -> None:
    # Before its outline is laid out in points: in millimetres it would have millions of them.
    farthest = float(np.abs(corners).max())
    if farthest > LARGEST_M:
        raise InputError(
            f'the gripper in {path} reaches {farthest:.3g} m far: expected metres, at most'
            f' {LARGEST_M:g}; the scale is 0.001 for a file in millimetres'
        )


def read_grasps(path: Path) -> tuple[Grasp, ...]:
    """Grasps that were taught on a mesh, from a YAML file. Raises InputError where it cannot be
    read. Each has a position (m) and `rpy_deg` (turns about x, y, z of the mesh, one after
    another) or a `quaternion` (x, y, z, w); around and times repeat it about an axis through the
    mesh's origin, for parts that look the same then."""
    found: list[Grasp] = []
    for number, one in enumerate(_list_of(path, 'grasps', MOST_GRASPS), start=1):
        try:
            found += _grasps(one, number)
        except MALFORMED as error:
            raise InputError(
                f'{path}: grasp {number} cannot be read ({type(error).__name__}: {error}): expected'
                ' position (m) and rpy_deg (three numbers each) or quaternion (four)'
            ) from error
        if len(found) > MOST_GRASPS:
            raise InputError(
                f'{path} holds more than {MOST_GRASPS} grasps, repeated ones counted: expected'
                ' fewer'
            )
    return tuple(found)


def _grasps(one: Mapping[str, Any], number: int) -> list[Grasp]:
    pose = pose_of(one)
    if np.linalg.norm(pose[:3, 3]) > LARGEST_M:
        raise ValueError(f'position lies farther than {LARGEST_M:g} m from the origin of the mesh')
    times, axis = int(one.get('times', 1)), numbers(one.get('around', [0, 0, 1]), 3)
    opening_m, length = float(one.get('opening_m', 0.0)), float(np.linalg.norm(axis))
    if not 1 <= times <= 360 or not length > 0 or not 0 <= opening_m < 1:
        raise ValueError('times is not 1 to 360, around has no length, or opening_m not 0 to 1')
    found = []
    for turn in range(times):
        about = np.eye(4)
        about[:3, :3] = Rotation.from_rotvec(axis / length * 2 * np.pi * turn / times).as_matrix()
        name = str(one.get('name', number))
        found.append(Grasp(name, about @ pose, opening_m, int(one.get('priority', 0))))
    return found


def _list_of(path: Path, name: str, most: int) -> list[Mapping[str, Any]]:
    if not path.is_file():
        raise InputError(f'{path} does not exist: expected a YAML file with {name}')
    values = read_mapping(path, InputError).get(name)
    if not isinstance(values, list) or not 0 < len(values) <= most:
        raise InputError(f'{path} holds no list "{name}" of 1 to {most}: expected one')
    return values


def touches(body: Body, pose: np.ndarray, points: np.ndarray, way_m: float) -> bool:
    """Whether a body at a pose (4, 4), coming along its z by way_m, meets points (N, 3) that the
    camera sees, in the same frame."""
    own = (points - pose[:3, 3]) @ pose[:3, :3]
    return int(body.contains(own, way_m).sum()) >= TOUCHING


def hits_walls(
    body: Body, pose: np.ndarray, workspace: Workspace, way_m: float, height_m: float
) -> bool:
    """Whether a body at a pose (4, 4), or at the beginning of its way in, reaches into the bin's
    walls, which are height_m high (0: as high as it), or below its floor."""
    for back_m in (0.0, way_m):
        outline = (body.outline - [0.0, 0.0, back_m]) @ pose[:3, :3].T + pose[:3, 3]
        heights = workspace.height_of(outline)
        if (heights < -BELOW_M).any():
            return True
        low = outline[heights < height_m] if height_m else outline
        if workspace.bounds is not None and len(low) and (workspace.wall_distance(low) < 0).any():
            return True
    return False


def free_turn(
    body: Body,
    pose: np.ndarray,
    points: np.ndarray,
    workspace: Workspace,
    turns: Sequence[float],
    way_m: float,
    wall_height_m: float,
) -> np.ndarray | None:
    """A pose (4, 4), turned about its z by the first of the turns (rad) at which the body meets
    neither the points (N, 3) nor walls nor floor; None where it always does."""
    for turn in turns:
        turned = pose @ trimesh.transformations.rotation_matrix(turn, [0, 0, 1])
        if not hits_walls(body, turned, workspace, way_m, wall_height_m) and not touches(
            body, turned, points, way_m
        ):
            return turned
    return None


def suction_body(cup_radius_m: float, tool_radius_m: float) -> Body:
    """A cup, and above it what holds it."""
    cup, tool = (np.array([radius, radius, 0.0]) for radius in (cup_radius_m, tool_radius_m))
    lows = np.stack([-cup - [0, 0, 2 * CUP_M], -tool - [0, 0, TOOL_M]])
    highs = np.stack([cup - [0, 0, STEP_M / 5], tool - [0, 0, CUP_M]])
    return BoxBody(lows, highs)


def finger_body(opening_m: float, finger_m: float) -> Body:
    """Two fingers, open."""
    half, out = opening_m / 2, opening_m / 2 + finger_m
    lows = np.array([[-finger_m / 2, half, -TOOL_M], [-finger_m / 2, -out, -TOOL_M]])
    highs = np.array([[finger_m / 2, out, 0.0], [finger_m / 2, -half, 0.0]])
    return BoxBody(lows, highs)
