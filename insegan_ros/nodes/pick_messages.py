"""Picks and parts as messages for robots: everything that is known of each, in the frame that they
ask for."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import Pose, PoseArray, PoseWithCovariance, Vector3
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2, PointField

from insegan_ros.errors import MALFORMED, InputError
from insegan_ros.nodes.conversions import pose_array_message
from insegan_ros.texts import reason

if TYPE_CHECKING:  # who reads a table needs none of what masks are made with
    from insegan_ros.nodes.result import Result
    from insegan_ros.picking.pick import Pick

# A pick's fields in their order in memory, all of four bytes.
ROW_FIELDS = {
    **dict.fromkeys(('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'score'), '<f4'),
    'label': '<u4',
    **dict.fromkeys(
        ('opening', 'approach', 'clearance', 'height', 'uncovered', 'roughness'), '<f4'
    ),
    'double': '<u4',
}
ROW = np.dtype(list(ROW_FIELDS.items()))


def placed_poses(result: Result, poses: np.ndarray) -> PoseArray:
    """Camera-from-object poses (N, 4, 4) as a PoseArray in the frame that is asked for. Raises
    InputError where it is not known."""
    target, header = result.placed
    return pose_array_message(poses if target is None else target @ poses, header)


def possible_picks(result: Result) -> list[Pick]:
    """The picks that can be taken, the best first."""
    return [pick for pick in result.picks if pick.possible]


def poses_of(picks: list[Pick]) -> np.ndarray:
    """The picks' poses (N, 4, 4)."""
    return np.array([pick.pose for pick in picks]).reshape(-1, 4, 4)


def pick_table_message(result: Result) -> PointCloud2:
    """A row for every pick that can be taken, the best first, with ROW_FIELDS."""
    picks = possible_picks(result)
    target, header = result.placed
    poses = poses_of(picks) if target is None else target @ poses_of(picks)
    rows = np.zeros(len(picks), ROW)
    if picks:
        rows['x'], rows['y'], rows['z'] = poses[:, :3, 3].T
        turned = Rotation.from_matrix(poses[:, :3, :3]).as_quat().T
        rows['qx'], rows['qy'], rows['qz'], rows['qw'] = turned
    for name, field in (
        ('score', 'score'),
        ('label', 'label'),
        ('opening', 'opening_m'),
        ('clearance', 'clearance_m'),
        ('height', 'height_m'),
        ('uncovered', 'uncovered'),
        ('roughness', 'roughness_m'),
        ('double', 'double'),
    ):
        rows[name] = [getattr(pick, field) for pick in picks]
    rows['approach'] = result.picking.approach_m
    return table_message(rows, header)


def table_message(rows: np.ndarray, header: Any) -> PointCloud2:
    """Rows of fields of four bytes, floats or whole numbers, as a PointCloud2."""
    kinds = {'f': PointField.FLOAT32, 'u': PointField.UINT32}
    message = PointCloud2(
        header=header,
        height=1,
        width=len(rows),
        is_bigendian=False,
        is_dense=True,
        point_step=rows.dtype.itemsize,
        row_step=rows.nbytes,
        fields=[
            PointField(name=name, offset=offset, datatype=kinds[kind.kind], count=1)
            for name, (kind, offset, *_) in (rows.dtype.fields or {}).items()
        ],
    )
    message.data.frombytes(rows.data.cast('B') if len(rows) else b'')
    return message


def table_rows(message: PointCloud2) -> np.ndarray:
    """The rows of such a table, with its fields' names. Raises InputError where it is none."""
    kinds = {PointField.FLOAT32: 'f4', PointField.UINT32: 'u4'}
    order = '>' if message.is_bigendian else '<'
    try:
        row = np.dtype(
            {
                'names': [field.name for field in message.fields],
                'formats': [order + kinds[field.datatype] for field in message.fields],
                'offsets': [field.offset for field in message.fields],
                'itemsize': message.point_step,
            }
        )
        return np.frombuffer(message.data, row, message.width * message.height)
    except MALFORMED as error:
        raise InputError(
            f'a table of {message.width} rows cannot be read ({reason(error)}): expected fields of'
            ' four bytes and as many rows as it says'
        ) from error


def picks_message(result: Result, vision: ModuleType) -> Any:
    """A vision_msgs/Detection3DArray of the picks that can be taken, the best first. The pose is
    the contact's; the box is the room that the tool comes through: x a finger or the cup, y how
    wide the fingers are open or the cup, z the way in."""
    picks, config = possible_picks(result), result.picking
    way = np.eye(4)
    way[2, 3] = -config.approach_m / 2
    contacts = placed_poses(result, poses_of(picks))
    rooms = placed_poses(result, poses_of(picks) @ way)
    cup = 2 * config.cup_radius_m
    sizes = [
        (cup, cup, config.approach_m)
        if config.gripper == 'suction'
        else (config.finger_m, pick.opening_m, config.approach_m)
        for pick in picks
    ]
    return _detections(
        result,
        vision,
        [pick.label for pick in picks],
        [pick.score for pick in picks],
        contacts,
        rooms,
        sizes,
    )


def parts_message(result: Result, vision: ModuleType) -> Any:
    """A vision_msgs/Detection3DArray of all instances, in the order of their labels: pose, score,
    class, and the box around the mesh, or around what is seen of the part."""
    found = result.instances
    boxes = [_part_box(result, label) for label in range(1, len(found) + 1)]
    return _detections(
        result,
        vision,
        list(range(1, len(found) + 1)),
        [float(score) for score in found.scores],
        placed_poses(result, found.require_poses()),
        placed_poses(result, np.array([box for box, _ in boxes]).reshape(-1, 4, 4)),
        [size for _, size in boxes],
    )


def _part_box(result: Result, label: int) -> tuple[np.ndarray, tuple[float, ...]]:
    """The middle (4, 4) of a box around a part, along the axes of its pose, and its sides in m."""
    pose = result.instances.require_poses()[label - 1].astype(float)
    if result.mesh is not None:
        bounds = result.mesh.bounds
    else:
        seen = (result.instances.labels == label) & np.isfinite(result.frame.depth_m)
        points = result.frame.intrinsics.rays()[seen] * result.frame.depth_m[seen][:, None]
        own = (points - pose[:3, 3]) @ pose[:3, :3]
        bounds = np.stack([own.min(0), own.max(0)]) if len(own) else np.zeros((2, 3))
    middle = np.eye(4)
    middle[:3, 3] = bounds.mean(0)
    return pose @ middle, tuple(float(side) for side in bounds[1] - bounds[0])


def _detections(
    result: Result,
    vision: ModuleType,
    labels: list[int],
    scores: list[float],
    poses: PoseArray,
    boxes: PoseArray,
    sizes: Sequence[tuple[float, ...]],
) -> Any:
    numbers = result.class_numbers
    return vision.Detection3DArray(
        header=poses.header,
        detections=[
            vision.Detection3D(
                header=poses.header,
                id=str(label),
                results=[_hypothesis(vision, numbers[label - 1], score, pose)],
                bbox=vision.BoundingBox3D(center=box, size=Vector3(**dict(zip('xyz', size)))),
            )
            for label, score, pose, box, size in zip(
                labels, scores, poses.poses, boxes.poses, sizes
            )
        ],
    )


def _hypothesis(vision: ModuleType, number: int, score: float, pose: Pose) -> Any:
    return vision.ObjectHypothesisWithPose(
        hypothesis=vision.ObjectHypothesis(class_id=str(number), score=score),
        pose=PoseWithCovariance(pose=pose),
    )
