"""Cut-paste learning: parts that lie alone teach the dense network, no label is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from small_trainings import disks, heights_file, small_cutpaste

from insegan_ros.data.convert import convert
from insegan_ros.data.recordings import read_recording
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig, train_cutpaste
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetTrainConfig
from insegan_ros.tasks.instances import evaluate
from insegan_sim.generate import SimulateConfig, simulate


@pytest.mark.slow
def test_isolated_crops_and_a_round_of_self_training_learn_without_labels(tmp_path):
    """Wide bins: parts lie alone, the dense network and a round train, and nothing of the labels is
    in the weights."""
    data = simulate(
        SimulateConfig(
            part='cylinder',
            scenes=40,
            out=str(tmp_path / 'data'),
            size='96',
            fill=0.3,
            seed=3,
            workers=1,
        )
    )
    dense = OffsetTrainConfig(
        OffsetNetConfig(8, 3),
        steps=100,
        batch=4,
        rate=6e-3,
        self_training=1,
        self_training_steps=2,
        agreement=0.4,
    )
    config = replace(small_cutpaste(data, tmp_path / 'run', 5), offsets=dense, size=48)
    checkpoint = Checkpoint.load(train_cutpaste(config))
    assert set(checkpoint.weights) == {'offsets'}
    assert (checkpoint.method, checkpoint.segmenter) == ('cutpaste', 'offsets')
    assert checkpoint.training['steps'] == {'offsets': 100, 'offsets-1': 2}
    assert checkpoint.training['taught_by'].endswith(
        'parts that lie alone in the data, then its own pseudo-labels of real height maps'
    )
    # Started again it has nothing to do, and ends with the same weights.
    again = Checkpoint.load(train_cutpaste(config)).weights['offsets']
    for path in data.glob('*.h5'):
        with h5py.File(path, 'a') as file:
            file['labels'][...] = 0
    blank = Checkpoint.load(train_cutpaste(replace(config, out=str(tmp_path / 'blank'))))
    for name, value in checkpoint.weights['offsets'].items():
        assert torch.equal(value, again[name]), name
        assert torch.equal(value, blank.weights['offsets'][name]), name


def simulated_recording(folder: Path, seed: int, scenes: int) -> Path:
    """A recording of cylinders, one to six in a bin."""
    simulate(
        SimulateConfig(
            part='cylinder',
            instances='1-6',
            scenes=scenes,
            out=str(folder / 'data'),
            size=96,
            seed=seed,
            workers=1,
        )
    )
    convert(folder / 'data', folder / 'bag', 'recording')
    return folder / 'bag'


@pytest.mark.slow
def test_a_recording_of_any_number_of_parts_teaches_too(tmp_path):
    config = TrainCutPasteConfig(
        data=str(simulated_recording(tmp_path / 'train', 1, 80)),
        out=str(tmp_path / 'run'),
        instances=0,
        size=48,
        offsets=OffsetTrainConfig(
            OffsetNetConfig(16, 3),
            steps=80,
            batch=4,
            rate=3e-3,
            self_training=1,
            self_training_steps=5,
        ),
        loop=LoopConfig(device='cpu'),
    )
    checkpoint = Checkpoint.load(train_cutpaste(config))
    assert checkpoint.part == 'bag' and 'offsets-1' in checkpoint.training['steps'], (
        'sure answers were found without the number'
    )
    found = evaluate(
        load_segmenter(str(tmp_path / 'run/checkpoint')),
        read_recording(simulated_recording(tmp_path / 'test', 77, 6))[1],
        progress=False,
    ).summary()
    assert found['honest_miou'] > 0.6 and found['scenes'] == 6


def test_too_few_parts_that_lie_alone_are_named(tmp_path):
    config = small_cutpaste(heights_file(tmp_path / 'few.h5', disks(6)), tmp_path / 'run')
    with pytest.raises(
        DatasetError,
        match='18 parts lie alone in 6 height maps of 3 parts: expected 30 or more .*train insegan',
    ):
        train_cutpaste(config)
    assert not (tmp_path / 'run').exists()


def test_a_wrong_number_of_parts_is_said_before_the_training(tmp_path, capsys):
    config = small_cutpaste(heights_file(tmp_path / 'disks.h5', disks(20)), tmp_path / 'run', 2)
    train_cutpaste(config)
    assert 'is instances 2 right? An equal share' in capsys.readouterr().out


@pytest.mark.parametrize(
    'values, words',
    [
        ({'size': 100}, 'size is 100: expected a multiple of 16'),
        ({'size': 16}, 'size is 16: expected a multiple of 16, at least 32'),
        ({'scenes': -1}, 'scenes is -1'),
        ({'instances': 51}, 'instances is 51: expected 1 to 50, or 0'),
        ({'offsets': OffsetTrainConfig(steps=0)}, 'offsets.steps is 0'),
        (
            {'size': 48, 'offsets': OffsetTrainConfig(OffsetNetConfig(levels=6))},
            'multiples of 32 px: expected fewer, for height maps of 48 px',
        ),
    ],
)
def test_values_that_cannot_be_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        TrainCutPasteConfig(**values)


def test_a_network_that_is_sure_of_nothing_says_that_it_stays_as_it_is(tmp_path, capsys):
    config = small_cutpaste(heights_file(tmp_path / 'disks.h5', disks(20)), tmp_path / 'run')
    train_cutpaste(config)
    said = capsys.readouterr().out
    assert 'round 1: sure of 0 of 20 height maps' in said
    assert (
        'too few to learn from, 30 or more are expected; of some, 0, in 0' in said
        and 'the network stays as it is' in said
    )
    assert 'offsets-1' not in Checkpoint.load(f'{config.out}/checkpoint').training['steps']
