"""PCD files: what others write is read, what does not hold what it says is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
from box_scenes import CAMERA, box_scene

from insegan_ros.camera.given import GivenCamera
from insegan_ros.data.items import frames_of, items_of
from insegan_ros.data.pcd import read_pcd
from insegan_ros.errors import InputError, InseganWarning

FRAME = box_scene(CAMERA, [(40, 40, 60, 60)])
GIVEN = GivenCamera(200.0, 200.0, 79.5, 59.5, 160, 120)
POINTS = np.random.default_rng(0).uniform(0.1, 0.6, (40, 3)).astype(np.float32)
HEADER = (
    '# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\n'
    'TYPE F F F U\nCOUNT 1 1 1 1\nWIDTH 8\nHEIGHT 5\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 40\n'
    'DATA binary\n'
)
RECORDS = np.column_stack([POINTS, np.zeros(40, np.float32)])


def written(path: Path, header: str = HEADER, data: bytes = RECORDS.tobytes()) -> Path:
    path.write_bytes(header.encode() + data)
    return path


@pytest.mark.parametrize('ascii', [True, False])
@pytest.mark.parametrize('compressed', [True, False])
def test_what_open3d_writes_is_read(tmp_path, ascii, compressed):
    cloud = o3d.t.geometry.PointCloud(POINTS)
    o3d.t.io.write_point_cloud(
        str(tmp_path / 'a.pcd'), cloud, write_ascii=ascii, compressed=compressed
    )
    assert np.allclose(read_pcd(tmp_path / 'a.pcd'), POINTS, atol=1e-6)


def test_an_organised_cloud_is_its_depth_picture_again(tmp_path):
    depth = FRAME.depth_m.copy()
    depth[0, :5] = np.nan
    points = CAMERA.points(depth).reshape(-1, 3)
    header = HEADER.replace('x y z rgb', 'x y z').replace('F F F U', 'F F F')
    header = header.replace('4 4 4 4', '4 4 4').replace('1 1 1 1', '1 1 1').replace('40', '19200')
    written(tmp_path / 'A.PCD', header, points.astype(np.float32).tobytes())
    (frame,) = frames_of(tmp_path, GIVEN)
    assert frame.intrinsics == CAMERA
    assert np.allclose(frame.depth_m, depth, atol=1e-6, equal_nan=True)


def test_points_in_double_precision_are_no_zeros(tmp_path):
    header = HEADER.replace('SIZE 4 4 4 4', 'SIZE 8 8 8 8').replace('F F F U', 'F F F F')
    path = written(tmp_path / 'a.pcd', header, RECORDS.astype(np.float64).tobytes())
    assert np.allclose(read_pcd(path), POINTS)


def test_a_viewpoint_is_left_aside_aloud(tmp_path):
    path = written(tmp_path / 'a.pcd', HEADER.replace('T 0 0 0 1', 'T 0 0 1 1'))
    with pytest.warns(InseganWarning, match='VIEWPOINT, which is ignored'):
        assert np.array_equal(read_pcd(path), POINTS)


@pytest.mark.parametrize(
    ('header', 'data', 'text'),
    [
        (HEADER, RECORDS.tobytes()[:-1], 'announces 40 points and 39 are there'),
        (
            HEADER.replace('POINTS 40', 'POINTS 99999999999'),
            RECORDS.tobytes(),
            'announces 99999999999 points and 40 are there',
        ),
        (
            HEADER.replace('binary', 'ascii'),
            b'1 2 3 0\n4 5\n',
            'announces 40 points and 1 are there',
        ),
        (
            HEADER.replace('binary', 'binary_compressed'),
            np.array([4, 640], np.uint32).tobytes() + b'0000',
            'announces 40 points and 0 are there',
        ),
        (HEADER.replace('x y z rgb', 'x y w rgb'), b'', 'its fields are x y w rgb'),
        (HEADER.replace('TYPE F F F U', 'TYPE F F I U'), b'', 'x y z of one type'),
        (HEADER.replace('COUNT 1 1 1 1', 'COUNT 1 1'), b'', 'do not fit together'),
        (HEADER.replace('POINTS 40\n', ''), b'', 'has no POINTS'),
        (HEADER.replace('DATA binary', 'DATA zipped'), b'', "DATA of its header is 'zipped'"),
        ('nonsense', b'', 'begins with DATA'),
    ],
)
def test_what_does_not_hold_what_it_says_is_refused(tmp_path, header, data, text):
    path = written(tmp_path / 'a.pcd', header, data)
    with pytest.raises(InputError, match='cannot be read as a cloud') as refused:
        read_pcd(path)
    assert text in str(refused.value) and 'expected a PCD of points' in str(refused.value)
    (item,) = items_of(path, camera=GIVEN)
    assert item.frame is None and text in item.error
