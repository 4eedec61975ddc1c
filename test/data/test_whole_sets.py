"""A set that was half written or half copied does not read as a whole one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest
import yaml

from insegan_ros.data.convert import FORMATS, convert, open_dataset
from insegan_ros.data.shards import ShardDataset
from insegan_ros.data.whole_sets import check_scenes
from insegan_ros.errors import DatasetError


def test_a_simulated_set_says_how_many_scenes_are_missing(nut_data, tmp_path):
    part = tmp_path / 'part'
    shutil.copytree(nut_data, part)
    (part / 'scenes-00001.h5').unlink()
    with pytest.raises(DatasetError, match='part holds 4 of 6 scenes: .*simulate'):
        ShardDataset(part)
    note = yaml.safe_load((part / 'dataset.yaml').read_text())
    (part / 'dataset.yaml').write_text(yaml.safe_dump({**note, 'scenes': 4}))
    assert len(ShardDataset(part)) == 4, 'as the message says'


@pytest.mark.parametrize('form', sorted(name for name in FORMATS if FORMATS[name].read))
def test_a_converted_set_that_lost_scenes_says_so(form, nut_data, tmp_path):
    out = tmp_path / 'set'
    assert convert(nut_data, out, form) == 6
    note = yaml.safe_load((out / 'dataset.yaml').read_text())
    assert note == {'format': form, 'scenes': 6}
    assert len(list(open_dataset(out)[1])) == 6
    (out / 'dataset.yaml').write_text(yaml.safe_dump({**note, 'scenes': 8}))
    with pytest.raises(DatasetError, match='set holds 6 of 8 scenes'):
        list(open_dataset(out)[1])


def test_a_set_without_a_note_has_what_it_has(tmp_path):
    check_scenes(tmp_path, 0)
    (tmp_path / 'dataset.yaml').write_text('a: [')
    with pytest.raises(DatasetError, match='dataset.yaml cannot be read as YAML'):
        check_scenes(tmp_path, 0)


@pytest.mark.parametrize('scenes', ['120', -3, True, [1], 1.5])
def test_a_note_that_says_no_number_is_refused(scenes, tmp_path):
    """Taken for none, half a set would read as a whole one."""
    (tmp_path / 'dataset.yaml').write_text(yaml.safe_dump({'scenes': scenes}))
    with pytest.raises(DatasetError, match='expected the number that must be there'):
        check_scenes(tmp_path, 0)


def test_a_set_that_was_stopped_before_its_first_scene_says_so(tmp_path):
    (tmp_path / 'dataset.yaml').write_text('scenes: 6\n')
    with pytest.raises(DatasetError, match='holds 0 of 6 scenes'):
        open_dataset(tmp_path)


@pytest.mark.slow
def test_a_killed_conversion_leaves_no_set(nut_data, tmp_path):
    """Killed between two scenes, where nothing can be tidied up."""
    code = (
        'import os, signal, sys, pathlib; import insegan_ros.data.convert as convert;'
        'from insegan_ros.data import bop; write = bop._write_image; seen = [];'
        'kill = lambda *a: seen.append(1) or len(seen) < 4 or os.kill(os.getpid(), signal.SIGKILL);'
        'bop._write_image = lambda *a: (kill(), write(*a));'
        'convert.convert(*map(pathlib.Path, sys.argv[1:]), "bop")'
    )
    command = [sys.executable, '-c', code, str(nut_data), str(tmp_path / 'out')]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert not (tmp_path / 'out').exists() and (tmp_path / '.out.part').is_dir()
    with pytest.raises(DatasetError, match='.out.part already exists.*delete it'):
        convert(nut_data, tmp_path / 'out', 'bop')
    shutil.rmtree(tmp_path / '.out.part')
    assert convert(nut_data, tmp_path / 'out', 'bop') == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out']
