"""Clouds become the depth pictures that they came from."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from box_scenes import CAMERA, box_scene

from insegan_ros.camera.given import GivenCamera
from insegan_ros.data.clouds import depth_of_cloud, read_cloud
from insegan_ros.data.insta10 import write_cloud
from insegan_ros.data.items import frames_of, items_of
from insegan_ros.errors import InputError, InseganWarning

FRAME = box_scene(CAMERA, [(40, 40, 60, 60)])
GIVEN = GivenCamera(200.0, 200.0, 79.5, 59.5, 160, 120)


def test_a_cloud_of_every_pixel_is_its_depth_picture_again(tmp_path):
    FRAME.depth_m[0, :5] = np.nan
    write_cloud(tmp_path / 'one.ply', FRAME, np.zeros((120, 160), np.uint16))
    (frame,) = frames_of(tmp_path, GIVEN)
    assert frame.intrinsics == CAMERA
    assert np.allclose(frame.depth_m, FRAME.depth_m, atol=1e-6, equal_nan=True)
    assert np.isnan(frame.depth_m[0, :5]).all()


def test_the_nearer_of_two_points_is_seen():
    frame = depth_of_cloud(np.array([(0, 0, 0.5), (0, 0, 0.4), (0, 0, -1.0)]), CAMERA)
    assert np.isfinite(frame.depth_m).sum() == 1 and np.nanmin(frame.depth_m) == np.float32(0.4)
    with pytest.raises(InputError, match='none of 1 points is seen in 160x120 px'):
        depth_of_cloud(np.array([(0, 0, -1.0)]), CAMERA)


def test_clouds_of_other_habits_are_turned_round_aloud(tmp_path):
    points = np.random.default_rng(0).uniform((-0.1, -0.1, 0.4), (0.1, 0.1, 0.6), (50, 3))
    for name, scale, text in (('gl', (1, -1, -1), 'along -z'), ('mm', 1000, 'in millimetres')):
        trimesh.PointCloud(points * scale).export(tmp_path / f'{name}.ply')
        with pytest.warns(InseganWarning, match=text):
            assert np.allclose(read_cloud(tmp_path / f'{name}.ply'), points, atol=1e-4)


def test_a_cloud_without_a_camera_or_without_points_says_what_to_do(tmp_path):
    trimesh.PointCloud(np.ones((4, 3))).export(tmp_path / 'a.ply')
    (item,) = items_of(tmp_path)
    assert item.frame is None and '--intrinsics fx,fy,cx,cy,width,height' in item.error
    (tmp_path / 'a.ply').write_text('ply\nformat ascii 1.0\nend_header\n')
    with pytest.raises(InputError, match='holds no points: expected a cloud of points in metres'):
        read_cloud(tmp_path / 'a.ply')
    (tmp_path / 'a.ply').write_bytes(b'nonsense')
    with pytest.raises(InputError, match='expected a PLY of points in metres'):
        read_cloud(tmp_path / 'a.ply')
