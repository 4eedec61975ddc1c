"""What the segmenter publishes: one list, from which the node makes its publishers and the manual
its table.

An output is a name, a message type, a sentence, and a function from a frame's result to the
message. Adding one is adding a line to `outputs()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Pose, PoseArray, PoseStamped, PoseWithCovariance
from scipy.ndimage import find_objects
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32, String
from visualization_msgs.msg import MarkerArray

from insegan_ros.drawing.overlay import overlay, palette
from insegan_ros.nodes.conversions import image_message, pose_array_message
from insegan_ros.nodes.markers import markers_message
from insegan_ros.nodes.pick_messages import (
    parts_message,
    pick_table_message,
    picks_message,
    placed_poses,
    poses_of,
    possible_picks,
    table_message,
)
from insegan_ros.nodes.result import Result
from insegan_ros.picking.carrier import Place
from insegan_ros.picking.picks import BinState


@dataclass(frozen=True)
class Output:
    """One topic `~/name`. make: None where there is nothing to say of a frame. latched: published
    once at activate, and to whoever comes later."""

    name: str
    kind: type
    text: str
    make: Callable[[Result], Any]
    latched: bool = False


def outputs(vision: ModuleType | None) -> Iterator[Output]:
    """All outputs, masks first. vision: the module vision_msgs.msg, or None where it is not
    installed: its outputs are left out."""
    yield Output(
        'instances',
        Image,
        '16UC1 labels: 0 background, i = the i-th instance, highest score first',
        lambda result: image_message(result.instances.labels, '16UC1', result.header),
    )
    yield Output(
        'poses',
        PoseArray,
        'pose i belongs to label i + 1',
        lambda result: placed_poses(result, result.instances.require_poses()),
    )
    yield Output(
        'bin_state',
        String,
        ', '.join(f'`{state.value}`' for state in BinState),
        lambda result: String(data=result.state.value),
    )
    yield Output(
        'load_carrier',
        PoseStamped,
        "the bin's pose: the middle of its floor, x and y along its sides, z up; as `bounds` say"
        ' or, where it has moved, as it is found; only with `bounds`',
        load_carrier_message,
    )
    yield Output(
        'bin_place',
        String,
        ', '.join(f'`{place.value}`' for place in Place)
        + ': whether the rim is where `bounds` say; only with `bounds`',
        lambda result: String(data=result.carrier.place.value) if result.carrier else None,
    )
    yield Output(
        'fill_level',
        Float32,
        'volume in the bin in per cent of that up to its rim, NaN where it is not known; only with'
        ' `bounds`',
        lambda result: Float32(data=100 * result.carrier.fill) if result.carrier else None,
    )
    yield Output(
        'tracks',
        PointCloud2,
        'a row per instance, in the order of labels: label, track (the number that it keeps from'
        ' frame to frame while it lies still) and score',
        tracks_message,
    )
    yield Output(
        'pick_candidates',
        PoseArray,
        'where to take parts, the best first, impossible ones left out',
        lambda result: placed_poses(result, poses_of(possible_picks(result))),
    )
    yield Output(
        'pick_mask',
        Image,
        'mono8: 255 where the part of the first pick is seen, 0 elsewhere and where there is no'
        ' pick; what estimators of a single pose take',
        pick_mask_message,
    )
    yield Output(
        'pick_table',
        PointCloud2,
        'the same picks in the same order, a row each: pose, score, label, opening, approach,'
        ' clearance, height, uncovered, roughness, double',
        pick_table_message,
    )
    if vision is not None:
        yield Output(
            'picks',
            vision.Detection3DArray,
            'the same picks in the same order: `id` is the label, the box is the room that the tool'
            ' comes through; only where vision_msgs is installed',
            lambda result: picks_message(result, vision),
        )
        yield Output(
            'parts',
            vision.Detection3DArray,
            'poses, boxes, scores and classes of the parts; `id` is the label; only where'
            ' vision_msgs is installed',
            lambda result: parts_message(result, vision),
        )
        yield Output(
            'detections',
            vision.Detection2DArray,
            'boxes and scores; `id` is the label; only where vision_msgs is installed',
            lambda result: detections_message(result, vision),
        )
        yield Output(
            'label_info',
            vision.LabelInfo,
            'names of the classes, latched; only where vision_msgs is installed',
            lambda result: label_info_message(result, vision),
            latched=True,
        )
    yield Output(
        'overlay',
        Image,
        'rgb8 picture: instances tinted, outlined and numbered, on colour where `use_colour` is'
        ' set; the first pick as a cross where picks are listened to',
        lambda result: image_message(overlay_picture(result), 'rgb8', result.header),
    )
    yield Output(
        'markers',
        MarkerArray,
        "picks as arrows, the first one green, possible ones yellow, others red; the bin's inside"
        ' as a frame; the mesh, if one is given, where each part lies',
        markers_message,
    )
    yield Output(
        'cloud', PointCloud2, "the bin's points with fields x, y, z, rgb, label", cloud_message
    )


def overlay_picture(result: Result) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the instances by their labels, and the first pick where it is known
    anyway: it costs more than the picture."""
    found = result.instances
    picture = overlay(
        result.frame.depth_m, found.labels, result.frame.colour, found.classes, numbers=True
    )
    first = result.picks[0] if 'picks' in vars(result) and result.picks else None
    if first is not None and first.possible:
        x, y, z = first.pose[:3, 3].astype(float)
        camera = result.frame.intrinsics
        place = round(x / z * camera.fx + camera.cx), round(y / z * camera.fy + camera.cy)
        for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            cv2.drawMarker(picture, place, colour, cv2.MARKER_TILTED_CROSS, 18, thick)
    return picture


def detections_message(result: Result, vision: ModuleType) -> Any:
    """A vision_msgs/Detection2DArray; class_id is a number of label_info, the pose is the
    instance's."""
    detections = []
    boxes = find_objects(result.instances.labels, len(result.instances))
    poses = (
        pose_array_message(result.instances.require_poses(), result.header).poses
        if result.instances.poses is not None
        else [Pose()] * len(boxes)
    )
    for label, (box, number, score, pose) in enumerate(
        zip(boxes, result.class_numbers, result.instances.scores, poses), start=1
    ):
        if box is None:
            continue
        rows, columns = box
        centre = vision.Pose2D(
            position=vision.Point2D(
                x=(columns.start + columns.stop - 1) / 2, y=(rows.start + rows.stop - 1) / 2
            ),
            theta=0.0,
        )
        hypothesis = vision.ObjectHypothesis(class_id=str(number), score=float(score))
        detections.append(
            vision.Detection2D(
                header=result.header,
                id=str(label),
                bbox=vision.BoundingBox2D(
                    center=centre,
                    size_x=float(columns.stop - columns.start),
                    size_y=float(rows.stop - rows.start),
                ),
                results=[
                    vision.ObjectHypothesisWithPose(
                        hypothesis=hypothesis, pose=PoseWithCovariance(pose=pose)
                    )
                ],
            )
        )
    return vision.Detection2DArray(header=result.header, detections=detections)


def label_info_message(result: Result, vision: ModuleType) -> Any:
    """A vision_msgs/LabelInfo that names the classes."""
    names = result.kinds or (result.part,)
    return vision.LabelInfo(
        header=result.header,
        threshold=0.0,
        class_map=[
            vision.VisionClass(class_id=i, class_name=name) for i, name in enumerate(names, start=1)
        ],
    )


def pick_mask_message(result: Result) -> Image:
    """Where the part of the first pick is seen, mono8."""
    labels = result.instances.labels
    first = [pick.label for pick in possible_picks(result)[:1]]
    return image_message(np.isin(labels, first).astype(np.uint8) * 255, 'mono8', result.header)


def load_carrier_message(result: Result) -> PoseStamped | None:
    """The bin's pose, in the frame that is asked for."""
    if result.carrier is None:
        return None
    placed = placed_poses(result, result.carrier.pose[None])
    return PoseStamped(header=placed.header, pose=placed.poses[0])


# Of one instance, all of four bytes.
TRACK = np.dtype([('label', '<u4'), ('track', '<u4'), ('score', '<f4')])


def tracks_message(result: Result) -> PointCloud2:
    """A row for every instance."""
    rows = np.zeros(len(result.instances), TRACK)
    rows['label'] = np.arange(1, len(rows) + 1)
    rows['track'], rows['score'] = result.tracks, result.instances.scores
    return table_message(rows, result.header)


# A point's fields, all of four bytes, in their order in memory.
POINT_FIELDS = {'x': '<f4', 'y': '<f4', 'z': '<f4', 'rgb': '<u4', 'label': '<u4'}
POINT = np.dtype(list(POINT_FIELDS.items()))


def cloud_message(result: Result) -> PointCloud2:
    """The bin's readings as points of 20 bytes. `rgb` is the colour image's, else the instance's,
    grey for the background; it is packed as RViz reads it."""
    if result.workspace is None:
        return table_message(np.empty(0, POINT), result.header)
    surface = result.surface
    labels = result.instances.labels[surface.inside][surface.read]
    xyz = surface.rays[surface.read] * surface.depth[surface.read][:, None]
    if result.frame.colour is not None:
        colour = result.frame.colour[surface.inside][surface.read].astype(np.uint32)
    else:
        table = palette(len(result.instances)).astype(np.uint32)
        table[0] = 110
        colour = table[labels]
    points = np.empty(len(xyz), POINT)
    points['x'], points['y'], points['z'] = xyz.T
    points['rgb'] = colour[:, 0] << 16 | colour[:, 1] << 8 | colour[:, 2]
    points['label'] = labels
    return table_message(points, result.header)
