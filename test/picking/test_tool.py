"""The gripper's body and taught grasps: files, and questions whose answers can be worked out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from insegan_ros.errors import InputError
from insegan_ros.picking.pick import PickConfig, load_tooling
from insegan_ros.picking.tool import (
    BoxBody,
    finger_body,
    free_turn,
    hits_walls,
    read_body,
    read_grasps,
    suction_body,
    touches,
)
from insegan_ros.workspace import Workspace

BOXES = """
boxes:
  - {name: left, size: [0.01, 0.01, 0.06], center: [0, 0.03, -0.03]}
  - {name: right, size: [0.01, 0.01, 0.06], center: [0, -0.03, -0.03]}
"""
BIN = Workspace((0.0, 0.0, -1.0, 0.5), (-0.1, -0.1, 0.1, 0.1))


def at(x: float, y: float, z: float) -> np.ndarray:
    """A pick that points straight down, there."""
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_boxes_hold_what_lies_within_or_on_their_way(tmp_path):
    body = read_body(written(tmp_path / 'gripper.yaml', BOXES))
    points = np.array([[0, 0.03, -0.01], [0, 0, -0.01], [0, -0.034, -0.059], [0, 0.03, -0.08]])
    assert body.contains(points, 0.0).tolist() == [True, False, True, False]
    assert body.contains(points, 0.03).tolist() == [True, False, True, True]
    assert np.abs(body.outline).max(0) == pytest.approx((0.005, 0.035, 0.06))


def test_a_mesh_is_the_same_body_as_its_boxes(tmp_path):
    mesh = trimesh.creation.box(bounds=[[-5, 25, -60], [5, 35, 0]])
    mesh.export(tmp_path / 'finger.stl')
    body = read_body(tmp_path / 'finger.stl', 0.001)
    boxes = BoxBody(np.array([[-0.005, 0.025, -0.06]]), np.array([[0.005, 0.035, 0.0]]))
    points = np.random.default_rng(0).uniform(-0.07, 0.07, (3000, 3))
    # Not on the very surface, nor within a step of the end of the way.
    for way_m in (0.0, 0.02):
        ours, theirs = body.contains(points, way_m), boxes.contains(points, way_m)
        assert (ours == theirs).all() and theirs.sum() > 5
    assert np.ptp(body.outline, axis=0) == pytest.approx((0.01, 0.01, 0.06))


@pytest.mark.parametrize(
    'name, text, words',
    [
        ('none.yaml', None, 'does not exist: expected a YAML file with boxes'),
        ('empty.yaml', 'boxes: []', 'no list "boxes" of 1 to'),
        ('short.yaml', 'boxes: [{size: [1, 2], center: [0, 0, 0]}]', 'expected size and center'),
        ('flat.yaml', 'boxes: [{size: [0.1, 0, 0.1], center: [0, 0, 0]}]', 'sizes above 0'),
        ('nan.yaml', 'boxes: [{size: [.nan, 1, 1], center: [0, 0, 0]}]', 'expected size and'),
        ('mm.yaml', 'boxes: [{size: [10, 10, 60], center: [0, 30, -30]}]', 'expected metres'),
    ],
)
def test_files_that_are_no_gripper_are_one_line(tmp_path, name, text, words):
    if text is not None:
        written(tmp_path / name, text)
    with pytest.raises(InputError, match=words) as caught:
        read_body(tmp_path / name)
    assert '\n' not in str(caught.value)


def test_an_open_mesh_has_no_inside(tmp_path):
    mesh = trimesh.creation.box(extents=[0.01, 0.01, 0.05])
    mesh.update_faces(np.arange(10))
    mesh.export(tmp_path / 'open.stl')
    with pytest.raises(InputError, match="the gripper's mesh is open"):
        read_body(tmp_path / 'open.stl')


def test_taught_grasps_are_read_and_repeated_around_an_axis(tmp_path):
    path = written(
        tmp_path / 'grasps.yaml',
        """
grasps:
  - {name: side, position: [0.01, 0, 0], rpy_deg: [0, 90, 0], opening_m: 0.02, times: 4}
  - {name: top, position: [0, 0, 0.02], quaternion: [1, 0, 0, 0], priority: 2}
""",
    )
    grasps = read_grasps(path)
    assert [one.name for one in grasps] == ['side'] * 4 + ['top']
    places = np.array([one.pose[:3, 3] for one in grasps])
    assert np.allclose(
        places, [[0.01, 0, 0], [0, 0.01, 0], [-0.01, 0, 0], [0, -0.01, 0], [0, 0, 0.02]]
    )
    # Turned by 90 degrees about y, z points along x; around the axis it points outwards each time.
    assert np.allclose([one.pose[:3, 2] for one in grasps[:4]], places[:4] / 0.01)
    assert np.allclose(grasps[4].pose[:3, 2], (0, 0, -1))
    assert (grasps[0].opening_m, grasps[4].priority) == (0.02, 2)


@pytest.mark.parametrize(
    'text',
    [
        'grasps: [{position: [0, 0]}]',
        'grasps: [{position: [0, 0, 0], rpy_deg: [0, 0, 0], times: 0}]',
        'grasps: [{position: [0, 0, 0], quaternion: [0, 0, 0, 0]}]',
        # In millimetres: no such grasp would ever have been free.
        'grasps: [{position: [0, 0, 20], rpy_deg: [0, 0, 0]}]',
        'grasps: [3]',
    ],
)
def test_grasps_that_are_none_are_one_line(tmp_path, text):
    with pytest.raises(InputError, match='grasp 1 cannot be read'):
        read_grasps(written(tmp_path / 'grasps.yaml', text))


def test_the_body_meets_what_stands_in_its_way():
    body, pose = finger_body(0.04, 0.01), at(0, 0, 0.45)
    beside = np.tile([0.0, 0.025, 0.44], (5, 1))
    assert touches(body, pose, beside, 0.1)
    assert not touches(body, pose, beside[:2], 0.1), 'two readings are noise'
    assert not touches(body, pose, beside + [0, 0.01, 0], 0.1)
    assert not touches(body, pose, beside + [0, 0, 0.02], 0.1), 'below the tips'
    cup = suction_body(0.005, 0.02)
    assert touches(cup, pose, np.tile([0.015, 0.0, 0.42], (3, 1)), 0.0)
    assert not touches(cup, pose, np.tile([0.015, 0.0, 0.445], (3, 1)), 0.0)


IN, OUT = 0.999, 1.001


@pytest.mark.parametrize('side', [1, -1])
def test_the_bodies_that_no_file_describes_are_as_large_as_they_are_said_to_be(side):
    """A cup of 5 mm, which may sink in by two, and a tool of 2 cm from 1 to 6 cm above it; fingers
    of 1 cm, 4 cm apart."""
    cup, fingers = suction_body(0.005, 0.02), finger_body(0.04, 0.01)
    for body, corner, middle in (
        (cup, (0.005, 0.005, -0.002), (0.0, 0.0, -0.006)),
        (cup, (0.02, 0.02, -0.01), (0.0, 0.0, -0.035)),
        (cup, (0.02, 0.02, -0.06), (0.0, 0.0, -0.035)),
        (fingers, (0.005, 0.03, 0.0), (0.0, 0.025, -0.03)),
        (fingers, (0.005, 0.02, -0.06), (0.0, 0.025, -0.03)),
    ):
        corner, middle = np.array(corner) * (side, side, 1), np.array(middle) * (1, side, 1)
        within = middle + IN * (corner - middle)
        beyond = middle + np.where(np.eye(3), OUT, IN) * (corner - middle)
        assert body.contains(within[None], 0.0).all()
        assert not body.contains(beyond, 0.0).any()


def test_walls_are_as_high_as_they_are_said_to_be():
    body = finger_body(0.04, 0.01)
    assert not hits_walls(body, at(0, 0, 0.48), BIN, 0.1, 0.0)
    assert hits_walls(body, at(0, 0.08, 0.48), BIN, 0.1, 0.0)
    assert not hits_walls(body, at(0, 0.08, 0.38), BIN, 0.1, 0.1), 'above the walls'
    assert hits_walls(body, at(0, 0, 0.51), BIN, 0.1, 0.0), 'below the floor'


def test_it_is_turned_until_it_is_free():
    # A body that reaches out on one side, and something there.
    body = BoxBody(np.array([[0.01, -0.005, -0.03]]), np.array([[0.05, 0.005, -0.01]]))
    there = np.tile([0.03, 0.0, 0.43], (4, 1))
    turned = free_turn(body, at(0, 0, 0.45), there, BIN, (0.0, np.pi), 0.0, 0.0)
    assert turned is not None and np.allclose(turned[:3, 0], (-1, 0, 0))
    around = np.concatenate([there, there * [-1, 1, 1]])
    assert free_turn(body, at(0, 0, 0.45), around, BIN, (0.0, np.pi), 0.0, 0.0) is None


def test_a_grasp_that_is_wider_than_the_gripper_opens_is_refused(tmp_path):
    path = written(
        tmp_path / 'grasps.yaml',
        'grasps: [{name: wide, position: [0, 0, 0], rpy_deg: [0, 0, 0], opening_m: 0.09}]',
    )
    with pytest.raises(InputError, match='wide needs the fingers 0.09 m open'):
        load_tooling(PickConfig(gripper='parallel', grasps_file=str(path)))
    for config in ({'gripper': 'suction'}, {'gripper': 'parallel', 'opening_m': 0.1}):
        assert len(load_tooling(PickConfig(grasps_file=str(path), **config)).grasps) == 1
