"""What RViz and Foxglove show: picks as arrows, the bin's inside as a frame, the mesh where each
part lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from insegan_ros.nodes.conversions import pose_array_message
from insegan_ros.nodes.result import Result

ARROW_M = 0.04


def markers_message(result: Result) -> MarkerArray:
    """Picks as arrows that end at the contact, with their rank; the bin's inside as a line."""
    markers = [Marker(header=result.header, action=Marker.DELETEALL)]
    possible = 0
    for pick in result.picks:
        possible += pick.possible
        colour = (
            (0.1, 0.9, 0.2)
            if pick.possible and possible == 1
            else (0.95, 0.8, 0.1)
            if pick.possible
            else (0.9, 0.2, 0.2)
        )
        contact, into = pick.pose[:3, 3].astype(float), pick.pose[:3, 2].astype(float)
        start = contact - ARROW_M * into
        markers.append(
            _marker(
                result.header,
                'picks',
                pick.label,
                Marker.ARROW,
                (0.004, 0.009, 0.012),
                colour,
                points=[_point(start), _point(contact)],
            )
        )
        if pick.possible:
            markers.append(
                _marker(
                    result.header,
                    'ranks',
                    pick.label,
                    Marker.TEXT_VIEW_FACING,
                    (0.0, 0.0, 0.015),
                    colour,
                    pose=Pose(position=_point(start - 0.01 * into)),
                    text=str(possible),
                )
            )
    markers += _mesh_markers(result)
    if result.workspace is not None and result.workspace.bounds is not None:
        corners = result.workspace.floor_corners()
        markers.append(
            _marker(
                result.header,
                'bin',
                0,
                Marker.LINE_STRIP,
                (0.002, 0.0, 0.0),
                (0.3, 0.6, 1.0),
                points=[_point(c) for c in (*corners, corners[0])],
            )
        )
    return MarkerArray(markers=markers)


def _mesh_markers(result: Result) -> list[Marker]:
    """The mesh where each instance was found, half transparent."""
    if result.mesh is None or result.instances.poses is None:
        return []
    scale = (result.mesh.scale,) * 3
    poses = pose_array_message(result.instances.poses, result.header).poses
    markers = [
        _marker(
            result.header,
            'mesh',
            label,
            Marker.MESH_RESOURCE,
            scale,
            (0.3, 0.7, 0.9),
            pose=pose,
            mesh_resource=result.mesh.path.absolute().as_uri(),
        )
        for label, pose in enumerate(poses, 1)
    ]
    for marker in markers:
        marker.color.a = 0.6
    return markers


def _marker(
    header: Header,
    namespace: str,
    number: int,
    kind: int,
    scale: tuple[float, float, float],
    colour: tuple[float, float, float],
    **more: Any,
) -> Marker:
    return Marker(
        header=header,
        ns=namespace,
        id=number,
        type=kind,
        action=Marker.ADD,
        scale=Vector3(x=scale[0], y=scale[1], z=scale[2]),
        color=ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=1.0),
        **more,
    )


def _point(values: np.ndarray) -> Point:
    return Point(x=float(values[0]), y=float(values[1]), z=float(values[2]))
