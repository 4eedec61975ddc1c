"""A training in its folder: never written over, the same spelled otherwise goes on."""

from __future__ import annotations

import fcntl
import gc
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from small_trainings import disks, heights_file, small_cutpaste

from insegan_ros.engine.run import RunContext
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig, train_cutpaste


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> TrainCutPasteConfig:
    """The configuration of a training that has ended."""
    folder = tmp_path_factory.mktemp('runs')
    config = small_cutpaste(heights_file(folder / 'disks.h5', disks(20)), folder / 'run')
    assert train_cutpaste(config) == folder / 'run/checkpoint'
    return config


def test_another_training_is_never_written_over(finished, tmp_path):
    weights = Path(finished.out) / 'checkpoint/weights.safetensors'
    before = weights.read_bytes()
    with pytest.raises(ConfigError, match='another configuration or other data'):
        train_cutpaste(replace(finished, seed=5))
    assert weights.read_bytes() == before
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.tex').write_text('x')
    with pytest.raises(ConfigError, match='not empty and holds no training'):
        train_cutpaste(replace(finished, out=str(tmp_path / 'mine')))
    with pytest.raises(ConfigError, match='is a file: expected --out to be a folder'):
        train_cutpaste(replace(finished, out=str(tmp_path / 'mine/thesis.tex/run')))


def test_a_changed_configuration_or_other_data_are_refused_with_the_difference(finished, tmp_path):
    with pytest.raises(ConfigError, match=r'offsets.rate was 0.002, is 0.1'):
        train_cutpaste(replace(finished, offsets=replace(finished.offsets, rate=0.1)))
    other = heights_file(tmp_path / 'other.h5', disks(21), fingerprint='other')
    with pytest.raises(ConfigError, match=r'data was .*; fingerprint was made here, is other'):
        train_cutpaste(replace(finished, data=other))


def test_the_same_folder_and_data_spelled_otherwise_are_the_same_training(finished):
    data, out = Path(finished.data), Path(finished.out)
    again = replace(
        finished,
        out=f'{out}/',
        data=f'{data.parent}/../{data.parent.name}/{data.name}',
        loop=replace(finished.loop, log_every=3, save_every=7),
    )
    assert train_cutpaste(again).resolve() == out / 'checkpoint'


def test_two_processes_do_not_train_in_one_folder(finished):
    other = os.open(finished.out, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match='run is being written by another process'):
            train_cutpaste(finished)
    finally:
        os.close(other)
    # One process may, as a benchmark does that looks at its own runs.
    first, second = RunContext(finished), RunContext(finished)
    for run in (first, second):
        run.claim('made here')
    assert first.lock is second.lock is not None
    held = first.lock.number
    del first, second, run
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(held)


def test_an_empty_training_folder_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / 'data').mkdir()
    with pytest.raises(DatasetError, match='holds no scenes'):
        train_cutpaste(small_cutpaste(tmp_path / 'data', tmp_path / 'run'))
    assert not (tmp_path / 'run').exists()


def test_what_may_differ_is_not_in_the_note_and_what_counts_is(finished, tmp_path):
    config = replace(finished, out=str(tmp_path / 'run'))
    RunContext(config).claim('print', without=('instances',))
    note = yaml.safe_load((tmp_path / 'run/config.yaml').read_text())
    assert 'instances' not in note and note['fingerprint'] == 'print'
    assert note['offsets']['network'] == {
        'width': 8,
        'levels': 2,
        'channels': 1,
        'height_votes': True,
        'cell': 1,
    }
    RunContext(replace(config, instances=4)).claim('print', without=('instances',))
    with pytest.raises(ConfigError, match='seed was 0, is 1'):
        RunContext(replace(config, seed=1)).claim('print', without=('instances',))
