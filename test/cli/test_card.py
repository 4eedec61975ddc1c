"""`insegan card`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from shell import command

from insegan_ros.engine.checkpoint import Checkpoint


@pytest.fixture
def of_brackets(insegan_run, bracket_data, tmp_path) -> Path:
    """A checkpoint as a training on the brackets writes it."""
    trained = Checkpoint.load(insegan_run / 'checkpoint')
    config = {**trained.config, 'data': str(bracket_data[0])}
    del trained.weights['encoder'], trained.weights['generator']
    replace(trained, part='bracket', method='cutpaste', config=config).save(tmp_path / 'model')
    return tmp_path / 'model'


@pytest.mark.slow
def test_a_card_of_a_users_part_is_measured_on_the_mesh_that_its_data_keep(of_brackets, tmp_path):
    out = tmp_path / 'card'
    assert command('card', '--model', of_brackets, '--out', out, '--limit', 1) == 0
    card = json.loads((out / 'card.json').read_text())
    assert card['part'] == 'bracket' and card['metrics']['scenes'] == 1
    assert (out / 'README.md').read_text().startswith('# cutpaste-bracket')


@pytest.mark.slow
def test_a_card_takes_the_mesh_where_the_data_are_gone(of_brackets, bracket_data, tmp_path, capsys):
    lost = Checkpoint.load(of_brackets)
    replace(lost, config={**lost.config, 'data': 'nowhere'}).save(tmp_path / 'lost')
    given = ('card', '--model', tmp_path / 'lost', '--out', tmp_path / 'card', '--limit', 1)
    assert command(*given) == 2
    assert '"bracket" is not one of the simulator' in capsys.readouterr().err
    assert command(*given, '--mesh', bracket_data[1], '--mesh-scale', 0.001) == 0
    assert json.loads((tmp_path / 'card/card.json').read_text())['metrics']['scenes'] == 1


def test_a_card_of_no_scenes_is_refused(tmp_path, capsys):
    given = ('card', '--model', 'cutpaste-nut', '--out', tmp_path / 'card')
    for limit in (0, -1):
        assert command(*given, '--limit', limit) == 2
        assert f'--limit is {limit}: expected 1 or more' in capsys.readouterr().err
