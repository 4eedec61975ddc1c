"""`insegan calibrate hand-eye` on pictures of a simulated robot."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import open3d as o3d
import pytest
import yaml
from scipy.spatial.transform import Rotation

from insegan_ros.cli.main import main
from insegan_ros.frame import Intrinsics
from insegan_ros.geometry.rays import ray_scene
from insegan_ros.picking.boards import board_of
from insegan_ros.picking.poses import OPTICAL, pose_of, values_of

BOARD = board_of('charuco:7x5', 0.03, 0.022, '4X4_50')
FX, SIZE, SHARP = 615.0, (640, 480), 8000
CAMERA = Intrinsics(400.0, 400.0, 159.5, 119.5, 320, 240)
LINK = np.eye(4)
LINK[:3, :3] = Rotation.from_euler('xyz', (0, -90, 3), degrees=True).as_matrix()
LINK[:3, 3] = 0.05, -0.02, 0.08


def photograph(pose: np.ndarray) -> np.ndarray:
    side = round(BOARD.square_m * SHARP)
    flat = BOARD.charuco().generateImage((7 * side, 5 * side), marginSize=0)
    pixel = np.array([[1 / SHARP, 0, 0.5 / SHARP], [0, 1 / SHARP, 0.5 / SHARP], [0, 0, 1]])
    camera = np.array([[FX, 0, 319.5], [0, FX, 239.5], [0, 0, 1]])
    plane = camera @ np.stack([pose[:3, 0], pose[:3, 1], pose[:3, 3]], 1) @ pixel
    larger = np.array([[3.0, 0, 1.0], [0, 3.0, 1.0], [0, 0, 1.0]])
    big = cv2.warpPerspective(
        flat, larger @ plane, (1920, 1440), flags=cv2.INTER_AREA, borderValue=150
    )
    return cv2.resize(big, SIZE, interpolation=cv2.INTER_AREA)


def robots_day(folder: Path, count: int = 12) -> np.ndarray:
    """Pictures of a board by a camera on the hand, which looks at it from all sides, and the file
    of the hand's poses."""
    rng = np.random.default_rng(1)
    base_from_board = pose_of({'position': [0.5, 0.0, 0.0], 'rpy_deg': [180, 0, 20]})
    poses = []
    for number in range(count):
        turn = Rotation.from_euler('xyz', rng.uniform(-28, 28, 3), degrees=True)
        seen = np.eye(4)
        seen[:3, :3] = turn.as_matrix()
        seen[:3, 3] = [0, 0, rng.uniform(0.38, 0.5)] - seen[:3, :3] @ [0.105, 0.075, 0]
        hand = base_from_board @ np.linalg.inv(LINK @ OPTICAL @ seen)
        picture = photograph(seen) if number else np.full((480, 640), 90, np.uint8)
        cv2.imwrite(str(folder / f'{number:02d}.png'), picture)
        poses.append({'image': f'{number:02d}.png', **values_of(hand)})
    (folder / 'poses.yaml').write_text(yaml.safe_dump({'poses': poses}))
    return LINK


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        *('calibrate', 'hand-eye', str(folder / 'poses.yaml'), '--mounted', 'hand'),
        *('--board', 'charuco:7x5', '--square', '0.03', '--marker', '0.022'),
        *('--intrinsics', f'{FX},{FX},319.5,239.5', '--out', str(folder / 'hand_eye.yaml'), *more),
    ]


@pytest.mark.slow
def test_the_cameras_place_on_the_hand_is_written_and_said(tmp_path, capsys):
    link = robots_day(tmp_path)
    assert main(arguments(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "the hand's motions" not in said, 'the size is what it was said to be'
    assert '00.png left out: the target was not found in it' in said
    assert '11 of 12 pictures' in said
    text = (tmp_path / 'hand_eye.yaml').read_text()
    values = yaml.safe_load(text)
    assert (values['parent'], values['child'], values['pictures']) == ('tool0', 'camera_link', 11)
    apart = np.linalg.inv(link) @ pose_of(values)
    assert np.linalg.norm(apart[:3, 3]) < 0.002
    assert np.degrees(Rotation.from_matrix(apart[:3, :3]).magnitude()) < 0.3
    assert values['off_mm_median'] < 2
    line = text.splitlines()[0].removeprefix('# ')
    assert line in said and line.endswith('--frame-id tool0 --child-frame-id camera_link')
    picture = cv2.imread(str(tmp_path / 'hand_eye.png'))
    assert picture is not None and picture.shape[0] > 300
    # Nothing is written over.
    assert main(arguments(tmp_path)) == 2
    capsys.readouterr()
    # Squares of 30 mm that are taken for 25 or 29 mm.
    new = ['--out', str(tmp_path / 'new.yaml')]
    assert main(arguments(tmp_path, '--square', '0.025', '--marker', '0.0183', *new)) == 2
    assert 'times as large as given' in capsys.readouterr().err
    assert main(arguments(tmp_path, '--square', '0.029', '--marker', '0.0212', *new)) == 0
    assert "judging by the hand's motions, the target is 1.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    'content, words',
    [
        ('poses: []', 'holds no list "poses"'),
        (
            'poses: [{image: ../a.png, position: [0, 0, 0], rpy_deg: [0, 0, 0]}]',
            'is in another folder',
        ),
        ('poses: [{image: a.png, position: [0, 0]}]', 'pose 1 cannot be read'),
        ('poses: [{image: a.png, position: [0, 0, 0], rpy_deg: [0, 0, 0]}]', 'expected 5 or more'),
    ],
)
def test_poses_that_cannot_be_used_are_one_line(tmp_path, capsys, content, words):
    (tmp_path / 'poses.yaml').write_text(content)
    assert main(arguments(tmp_path)) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / 'hand_eye.yaml').exists()


def test_a_target_is_a_board_or_a_part(tmp_path, capsys):
    assert main(arguments(tmp_path, '--mesh', 'part.stl')) == 2
    assert 'expected one of them' in capsys.readouterr().err
    assert main(arguments(tmp_path, '--link-from-optical', '1,2')) == 2
    assert 'expected x,y,z,qx,qy,qz,qw' in capsys.readouterr().err


@pytest.mark.parametrize(
    'wrong', [('--parent', 'base link'), ('--child', ''), ('--child', 'tool0')]
)
def test_frames_have_names_that_the_launch_line_can_hold(tmp_path, capsys, wrong):
    assert main(arguments(tmp_path, *wrong)) == 2
    error = capsys.readouterr().err
    assert wrong[0] in error and 'expected' in error


@pytest.mark.slow
def test_a_single_part_is_a_target_too(tmp_path, bracket, capsys):
    """A camera beside the robot sees an angle that the hand holds before it, in depth."""
    bracket.export(tmp_path / 'part.stl')
    scene, rays = ray_scene(bracket), CAMERA.rays()
    rng = np.random.default_rng(0)
    hand_from_part = pose_of({'position': [0.01, 0.0, 0.1], 'rpy_deg': [10, 20, 30]})
    base_from_link = pose_of({'position': [0.6, 0.0, 0.8], 'rpy_deg': [0, 90, 15]})
    poses = []
    for number in range(8):
        seen = np.eye(4)
        seen[:3, :3] = Rotation.from_euler(
            'xyz', [205, -25, 0] + rng.uniform(-25, 25, 3), degrees=True
        ).as_matrix()
        seen[:3, 3] = *rng.uniform(-0.03, 0.03, 2), rng.uniform(0.38, 0.45)
        own = np.linalg.inv(seen)
        cast = np.concatenate(
            [np.broadcast_to(own[:3, 3], rays.shape), rays @ own[:3, :3].T], -1
        ).astype(np.float32)
        depth = scene.cast_rays(o3d.core.Tensor.from_numpy(cast))['t_hit'].numpy()
        depth = np.where(np.isfinite(depth), depth + rng.normal(0, 0.0005, depth.shape), 0.6)
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.round(1000 * depth).astype(np.uint16))
        hand = base_from_link @ OPTICAL @ seen @ np.linalg.inv(hand_from_part)
        poses.append({'image': f'{number}.png', **values_of(hand)})
    (tmp_path / 'poses.yaml').write_text(yaml.safe_dump({'poses': poses}))
    (tmp_path / 'bin.yaml').write_text('/**: {ros__parameters: {floor: [0, 0, -1, 0.6]}}')
    words = [
        *('calibrate', 'hand-eye', str(tmp_path / 'poses.yaml'), '--mounted', 'base'),
        *('--mesh', str(tmp_path / 'part.stl'), '--workspace', str(tmp_path / 'bin.yaml')),
        *('--intrinsics', '400,400,159.5,119.5', '--out', str(tmp_path / 'hand_eye.yaml')),
    ]
    assert main(words) == 0, capsys.readouterr().err
    values = yaml.safe_load((tmp_path / 'hand_eye.yaml').read_text())
    apart = np.linalg.inv(base_from_link) @ pose_of(values)
    print(values, 1000 * apart[:3, 3])
    assert values['parent'] == 'base_link'
    assert np.linalg.norm(apart[:3, 3]) < 0.01
    assert np.degrees(Rotation.from_matrix(apart[:3, :3]).magnitude()) < 1.5
