"""`insegan calibrate` on pictures of an empty bin."""

from __future__ import annotations

import cv2
import numpy as np
from empty_bins import empty
from shell import command
from tilted_bins import cylinders_at, tilted_camera

from insegan_ros.data.insta10 import write_cloud
from insegan_ros.workspace import read_workspace


def test_the_command_says_what_it_found_and_writes_nothing_over(tmp_path, capsys):
    for index, frame in enumerate(empty('noise')):
        millimetres = (np.nan_to_num(frame.depth_m) * 1000).round().astype(np.uint16)
        cv2.imwrite(str(tmp_path / f'{index}.png'), millimetres)
    out = tmp_path / 'out'
    out.mkdir()
    assert command('calibrate', tmp_path, '--out', out / 'bin.yaml') == 0
    text = capsys.readouterr().out
    assert '3 pictures: floor at 0.' in text and 'walls of' in text and (out / 'bin.png').exists()
    before = (out / 'bin.yaml').read_text()
    assert command('calibrate', tmp_path, '--out', out / 'bin.yaml') == 2
    assert (
        'exists: expected a new file' in capsys.readouterr().err
        and (out / 'bin.yaml').read_text() == before
    )


def test_clouds_of_a_camera_that_is_given_are_calibrated(tmp_path, capsys):
    camera = tilted_camera((20.0, 0.0, 0.0))
    for seed in range(2):
        scene = cylinders_at(camera, sensor='d435', seed=seed)
        write_cloud(tmp_path / f'clouds/{seed}.ply', scene.frame, scene.known_labels())
    k, out = camera.intrinsics, tmp_path / 'bin.yaml'
    numbers = f'{k.fx},{k.fy},{k.cx},{k.cy},{k.width},{k.height}'
    assert command('calibrate', tmp_path / 'clouds', '--out', out) == 2
    assert '--intrinsics fx,fy,cx,cy,width,height' in capsys.readouterr().err
    assert command('calibrate', tmp_path / 'clouds', '--intrinsics', numbers, '--out', out) == 0
    assert '4 of four sides are walls' in capsys.readouterr().out
    found = read_workspace(out)
    assert np.allclose(found.bounds, camera.workspace.bounds, atol=0.004)
    assert found.wall_noise_m > 0.0003
    floor = ','.join(f'{value:.6f}' for value in camera.workspace.floor)
    by_hand = ['--floor', floor, '--bounds', '-0.1,-0.08,0.1,0.08']
    again = tmp_path / 'again.yaml'
    assert (
        command('calibrate', tmp_path / 'clouds', '--intrinsics', numbers, *by_hand, '--out', again)
        == 0
    )
    assert read_workspace(again).bounds == (-0.1, -0.08, 0.1, 0.08)
