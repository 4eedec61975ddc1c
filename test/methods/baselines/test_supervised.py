"""The dense network taught by true labels, from shards or from a file of height maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_trainings import LOOP

from insegan_ros.data.height_maps import write_height_maps
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError
from insegan_ros.methods.baselines.supervised import TrainSupervisedConfig, train_supervised
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetTrainConfig


def test_a_file_of_height_maps_teaches_like_the_shards_it_was_made_from(nut_data, tmp_path):
    write_height_maps(nut_data, tmp_path / 'nut.h5', 64, truth=True)
    config = TrainSupervisedConfig(
        data=str(nut_data),
        out=str(tmp_path / 'a'),
        offsets=OffsetTrainConfig(
            OffsetNetConfig(8, 2), steps=3, batch=2, self_training=1, self_training_steps=2
        ),
        loop=LOOP,
    )
    one = Checkpoint.load(train_supervised(config))
    two = Checkpoint.load(
        train_supervised(replace(config, data=str(tmp_path / 'nut.h5'), out=str(tmp_path / 'b')))
    )
    assert one.training['data'] == '6 scenes with their true labels' and one.method == 'supervised'
    assert one.training['steps'] == {'offsets': 3, 'offsets-1': 2}
    for name, value in one.weights['offsets'].items():
        assert np.allclose(value, two.weights['offsets'][name], atol=2e-2), name


def test_a_network_that_cannot_be_taught_is_refused():
    with pytest.raises(ConfigError, match='offsets.steps is 0: expected 1 or more'):
        TrainSupervisedConfig(offsets=OffsetTrainConfig(steps=0))
    with pytest.raises(ConfigError, match='multiples of 24 px: expected fewer, .* of 64 px'):
        TrainSupervisedConfig(offsets=OffsetTrainConfig(OffsetNetConfig(cell=3)))
