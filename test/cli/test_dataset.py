"""`insegan simulate` and `insegan dataset`."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import yaml
from shell import command
from tilted_bins import DEPTH_CAMERA

from insegan_ros.data.height_maps import read_height_maps
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace, write_workspace
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig
from insegan_sim.sensor import load_sensor


def test_a_preset_is_simulated_inspected_converted_and_drawn(root, tmp_path, capsys):
    made = command(
        'simulate',
        f'--config={root}/config/simulate/mixed.yaml',
        *('--scenes=3', '--size=64', '--workers=1', '--truth=full', '--jitter.tilt_deg=1.0'),
        f'--out={tmp_path}/set',
    )
    assert made == 0
    numbers = tmp_path / 'set.json'
    sheet = ('--sheet', tmp_path / 'sheet.png', '--json', numbers)
    assert command('dataset', 'inspect', tmp_path / 'set', *sheet) == 0
    numbers = json.loads(numbers.read_text())
    assert (
        numbers['scenes'] == 3 and len(numbers['classes']) == 10 and 6 <= numbers['instances'] <= 18
    )
    assert '3 scenes of 64x64, depth and colour' in capsys.readouterr().out
    assert command('dataset', 'convert', tmp_path / 'set', tmp_path / 'coco', '--to', 'coco') == 0
    assert len(json.loads((tmp_path / 'coco/annotations.json').read_text())['images']) == 3
    assert command('dataset', 'parts', tmp_path / 'parts.png', '--part', 'nut,cone') == 0
    assert cv2.imread(str(tmp_path / 'parts.png')).shape == (240, 1000, 3)


@pytest.mark.parametrize(
    'name',
    ['insta10', 'insta10-d435', 'heap', 'single-tote', 'single-shelf', 'mixed', 'patterned-tote'],
)
def test_every_preset_is_a_whole_configuration(root, name):
    values = yaml.safe_load((root / f'config/simulate/{name}.yaml').read_text())
    jitter = Jitter(**values.pop('jitter', {}))
    config = SimulateConfig(**values, jitter=jitter)
    assert config.setup(config.parts()[:3]).camera.intrinsics.width == config.shape[0]


def test_height_maps_are_written_and_never_over_others(nut_data, tmp_path, capsys):
    out = tmp_path / 'nut.h5'
    assert command('dataset', 'heights', nut_data, out) == 0
    assert (
        '6 height maps' in capsys.readouterr().out and len(read_height_maps(out, 64).heights_m) == 6
    )
    before = out.read_bytes()
    assert command('dataset', 'heights', nut_data, out) == 2
    assert out.read_bytes() == before


def test_pictures_are_written_and_a_size_that_cannot_be_is_said(tote_data, tmp_path, capsys):
    written = command(
        'dataset', 'pictures', tote_data, tmp_path / 'tote.h5', '--size', 32, '--truth'
    )
    assert written == 0 and ' pictures in ' in capsys.readouterr().out
    assert command('dataset', 'pictures', tote_data, tmp_path / 'no.h5', '--size', 0) == 2
    assert 'size is 0' in capsys.readouterr().err


def test_a_cameras_noise_is_measured_and_simulated(tmp_path, capsys):
    sensor = load_sensor('d435')
    depth = np.full((400, 600), 0.5, np.float32)
    depth[150:230, 250:350] = 0.47
    (tmp_path / 'still').mkdir()
    for index in range(6):
        measured = sensor.measure(Frame(depth, DEPTH_CAMERA), np.random.default_rng(index))
        millimetres = (np.nan_to_num(measured.depth_m) * 1000).round().astype(np.uint16)
        cv2.imwrite(str(tmp_path / f'still/{index}.png'), millimetres)
    write_workspace(
        Workspace((0.0, 0.0, -1.0, 0.5), (-0.15, -0.12, 0.15, 0.12)), tmp_path / 'bin.yaml'
    )
    words = [
        'dataset',
        'sensor',
        '--data',
        tmp_path / 'still',
        '--workspace',
        tmp_path / 'bin.yaml',
    ]
    words += ['--intrinsics', '422,422,299.5,199.5', '--out', tmp_path / 'mine.yaml']
    assert command(*words, '--frames', -1) == 2 and '--frames is -1' in capsys.readouterr().err
    assert command(*words) == 0
    told = capsys.readouterr().out
    assert '6 frames: disparity repeats to 0.0' in told and '\nd435 ' in told
    assert cv2.imread(str(tmp_path / 'mine.png')).shape[1] >= 3 * 480
    assert 0.03 < load_sensor(str(tmp_path / 'mine.yaml')).disparity_rms_px < 0.12
    assert command(*words) == 2 and 'already exists' in capsys.readouterr().err
