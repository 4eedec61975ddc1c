"""What a training says before and after its bars."""

from __future__ import annotations

import pytest
from shell import command
from small_trainings import disks, heights_file

from insegan_ros.cli.train import recipe_parser
from insegan_ros.methods.registry import METHODS, recipes


def test_it_says_at_once_what_it_reads_and_at_last_what_to_do_next(tmp_path, capsys):
    data, out = heights_file(tmp_path / 'disks.h5', disks(20)), tmp_path / 'run'
    words = (
        '--instances=3 --loop.device=cpu --offsets.network.width=8 --offsets.network.levels=2'
        ' --offsets.steps=2 --offsets.batch=2 --offsets.self_training=0'
    ).split()
    assert command('train', 'cutpaste', f'--data={data}', f'--out={out}', *words) == 0
    said = capsys.readouterr()
    checkpoint = said.out.splitlines()[-1]
    assert (out / 'checkpoint').samefile(checkpoint)
    lines = said.err.splitlines()
    assert f'training cutpaste, reading {data}' in lines
    assert lines[-1].startswith(f'next: insegan segment INPUT --model {checkpoint}')


def test_help_shows_what_a_first_training_needs_and_the_rest_on_demand(capsys):
    with pytest.raises(SystemExit) as ended:
        command('train', 'insegan', '--help')
    short = capsys.readouterr().out
    assert ended.value.code == 0 and len(short.splitlines()) < 100
    assert '--data DATA' in short and '--loop.device' in short and '--help-all' in short
    assert 'insegan.gan.steps' not in short and 'more options' in short
    with pytest.raises(SystemExit):
        command('train', 'insegan', '--help_all')
    whole = capsys.readouterr().out
    assert '--insegan.gan.steps' in whole and '--data DATA' in whole


@pytest.mark.parametrize('name', recipes())
def test_the_heading_of_a_recipes_options_is_a_whole_sentence(name):
    # jsonargparse takes the docstring's first line for it, wherever that ends.
    first = METHODS[name].config_class.__doc__.splitlines()[0]
    assert first.endswith('.') and f'\n{first[:-1]}:\n' in recipe_parser(name).format_help()
