"""The command as a user types it: help, mistakes, what it imports."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
from shell import command

from insegan_ros.cli.main import COMMANDS

# A place where ROS 2 is not installed.
WITHOUT_ROS = """
import importlib, pkgutil, sys

class Block:
    def find_spec(self, name, *_):
        if name.split('.')[0] in ('rclpy', 'sensor_msgs', 'std_msgs'):
            raise ImportError(name)

sys.meta_path.insert(0, Block())
import insegan_ros, insegan_sim
for package in (insegan_ros, insegan_sim):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
        if '.nodes' not in module.name and not module.name.endswith('__main__'):
            importlib.import_module(module.name)
print('fine')
"""


def test_help_names_every_command_without_ros_or_simulator():
    code = (
        'import sys\nfrom insegan_ros.cli.main import main\n'
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = ('rclpy', 'torch', 'open3d', 'pybullet')\n"
        'print([name for name in heavy if name in sys.modules])'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert all(name in result.stdout for name in COMMANDS)
    assert result.stdout.strip().endswith('[]')


@pytest.mark.slow
def test_all_but_the_nodes_imports_without_ros():
    result = subprocess.run(
        [sys.executable, '-c', WITHOUT_ROS],
        capture_output=True,
        text=True,
        env={**os.environ, 'DISPLAY': ''},
    )
    assert result.stdout.strip().endswith('fine'), result.stderr


@pytest.mark.parametrize(
    'line, words',
    [
        ('simulate --part sprocket', 'unknown part "sprocket"'),
        ('simulate --mesh nowhere.stl', 'nowhere.stl does not exist'),
        ('simulate --sensor kinect', 'no sensor "kinect"'),
        ('simulate --part bolt --bin_width 0.05', 'a bin of 50 mm is too small for bolt'),
        ('simulate --part nut --scenes 0 --out x', 'scenes is 0: expected 1 to'),
        ('dataset inspect nowhere', 'nowhere does not exist'),
        ('dataset convert nowhere x --to bop', 'nowhere does not exist'),
        ('dataset parts x.png --part sprocket', 'unknown part "sprocket"'),
        ('segment nowhere.png --model kmeans', 'nowhere.png does not exist'),
        ('segment nowhere.png --model nothing', 'no checkpoint or method "nothing"'),
        (f'segment {"x" * 300} --model kmeans', 'cannot be accessed (File name too long)'),
        (f'segment x.png --model {"x" * 300}', 'cannot be accessed (File name too long)'),
        ('segment x.png --model ~nosuchuser/x', 'no checkpoint or method "~nosuchuser/x"'),
        ('segment x --model kmeans --bounds [0,0,1,1]', '--bounds is given without --floor'),
        ('segment x --model kmeans --bounds -1,-1,1,1', '--bounds is given without --floor'),
        ('segment x --model kmeans --floor 0,0,-1', '--floor is 0,0,-1: expected four numbers'),
        ('calibrate x --floor 0,0,-1,a --out y.yaml', '--floor is 0,0,-1,a: expected four numbers'),
        (
            'segment x --model kmeans --floor [0,0,-1,0.5] --workspace y.yaml',
            '--floor and --workspace are given: expected one of them',
        ),
        ('evaluate --model kmeans --data nowhere', 'nowhere does not exist'),
        ('train insegan --data nowhere --out never', 'nowhere does not exist'),
        ('train cutpaste --data nowhere --out never', 'nowhere does not exist'),
        ('card --model nowhere --out never', 'no checkpoint or method "nowhere"'),
        ('export --model nowhere --out never.onnx', 'no checkpoint or method "nowhere"'),
    ],
)
def test_mistakes_are_one_line_and_status_2(line, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*line.split()) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and error.startswith('insegan: ') and '\n' not in error
    assert not list(tmp_path.iterdir())


def test_a_file_with_a_misspelt_key_is_told_by_the_key(tmp_path, capsys):
    (tmp_path / 'bad.yaml').write_text('mask_rcn:\n  steps: 3\n')
    with pytest.raises(SystemExit) as end:
        command('train', 'irnet', '--config', tmp_path / 'bad.yaml')
    assert (
        end.value.code == 2 and "Option 'mask_rcn.steps' is not accepted" in capsys.readouterr().err
    )


def test_an_interrupt_says_whether_the_same_command_goes_on(monkeypatch, capsys, tmp_path):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    for words, said in (
        (('simulate', '--out', tmp_path / 'set'), '; the same command continues from there'),
        (('evaluate', '--model', 'kmeans', '--data', tmp_path), ''),
    ):
        monkeypatch.setattr(f'insegan_ros.cli.{words[0]}.run', interrupted)
        assert command(*words) == 130
        assert capsys.readouterr().err == f'insegan: stopped{said}\n'


@pytest.mark.parametrize(('readable', 'said'), [(True, 'written'), (False, 'accessed')])
def test_what_may_not_be_read_is_not_said_to_be_unwritable(
    readable, said, monkeypatch, capsys, tmp_path
):
    def refused(*arguments):
        raise PermissionError(errno.EACCES, 'Permission denied', str(tmp_path))

    monkeypatch.setattr('insegan_ros.cli.evaluate.run', refused)
    monkeypatch.setattr(os, 'access', lambda *_: readable)
    assert command('evaluate', '--model', 'kmeans', '--data', tmp_path) == 2
    assert f'cannot be {said} (Permission denied)' in capsys.readouterr().err


def test_a_library_that_greets_is_not_heard():
    made = subprocess.run(
        [sys.executable, '-c', 'import insegan_sim.world; print("ours")'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == 'ours\n' and made.stderr == ''


NO_VALUES = (b'', b'null', b'- 1', b'\xff\xfe', b'a: &a [*a]', b'[' * 1500)


@pytest.mark.parametrize('content', NO_VALUES, ids=lambda one: str(one)[:20])
def test_a_configuration_that_is_none_is_one_line(content, tmp_path, capsys):
    (tmp_path / 'it.yaml').write_bytes(content)
    for form in (('--config', tmp_path / 'it.yaml'), (f'--config={tmp_path / "it.yaml"}',)):
        assert command('simulate', *form) == 2
        said = capsys.readouterr().err
        assert said.startswith('insegan: ') and 'it.yaml' in said and said.count('\n') == 1


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ('class_maps: 3', 'class_maps is 3: expected names with values'),
        ('seed: 1\nclass_maps:', 'class_maps is null: expected names with values'),
        ('seed: 1\nsize:', 'size is null: expected a value'),
        ('class_maps: {steps: null}', 'class_maps.steps is null: expected a value'),
    ],
)
def test_what_a_configuration_leaves_empty_is_told_by_its_name(content, said, tmp_path, capsys):
    (tmp_path / 'it.yaml').write_text(content)
    assert command('train', 'irnet', '--config', tmp_path / 'it.yaml', '--data', 'nowhere') == 2
    assert capsys.readouterr().err.startswith(f'insegan: {said}')


def test_a_picture_as_a_configuration_is_one_line(tmp_path, capsys):
    (tmp_path / 'it.png').write_bytes(b'\x89PNG')
    assert command('train', 'irnet', '--config', tmp_path / 'it.png') == 2
    assert 'it.png cannot be read' in capsys.readouterr().err


def test_a_pipe_as_a_configuration_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / 'it.yaml')
    assert command('train', 'cutpaste', '--config', tmp_path / 'it.yaml') == 2
    assert 'not a regular file' in capsys.readouterr().err
