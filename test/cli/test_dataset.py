"""`insegan simulate` and `insegan dataset`."""

from __future__ import annotations

import json

import cv2
import pytest
import yaml
from shell import command

from insegan_ros.data.height_maps import read_height_maps
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig


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
    'name', ['insta10', 'insta10-d435', 'heap', 'single-tote', 'single-shelf', 'mixed']
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
