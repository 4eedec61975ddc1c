"""What is published of vision_msgs, with the real package and a node in a process of its own:
vision_msgs comes with ROS 2, not from PyPI. test_outputs.py has the messages themselves."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip('rclpy')
vision = pytest.importorskip('vision_msgs.msg', reason='vision_msgs is not installed')

from live_nodes import CAMERA, FLOOR, box_depth, segmenter_node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402

KINDS = {
    'picks': vision.Detection3DArray,
    'parts': vision.Detection3DArray,
    'detections': vision.Detection2DArray,
    'label_info': vision.LabelInfo,
}


def test_picks_parts_and_detections_arrive_over_dds(robot, tmp_path):
    heard: dict = {}
    for name, kind in KINDS.items():
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        robot.create_subscription(
            kind,
            f'/segmenter/{name}',
            lambda message, name=name: heard.__setitem__(name, message),
            latched if name == 'label_info' else 5,
        )

    def all_heard() -> bool:
        robot.send(box_depth(), '16UC1', CAMERA)
        robot.spin(0.2)
        return set(heard) == set(KINDS)

    process = segmenter_node(tmp_path / 'log', model='kmeans', instances=2, floor=FLOOR)
    try:
        robot.until(all_heard, 60)
    finally:
        process.stop()
    parts, detections = heard['parts'].detections, heard['detections'].detections
    assert [one.id for one in parts] == [one.id for one in detections] == ['1', '2']
    assert {one.id for one in heard['picks'].detections} <= {'1', '2'}
    assert all(one.bbox.size_x > 20 and one.bbox.size_y > 20 for one in detections)
    assert [one.class_name for one in heard['label_info'].class_map] == ['part']
