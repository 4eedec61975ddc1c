"""From a part's mesh to a segmenter by way of simulated piles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trainings import LOOP

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError
from insegan_ros.methods.piles.recipe import PilesConfig, TrainPilesConfig, train_piles
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import honest_miou
from insegan_ros.offsets.inference import VoteRule
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetTrainConfig
from insegan_sim.parts import load_part
from insegan_sim.scenes import bin_setup, scene_stream

PILES = PilesConfig(
    part='cylinder', instances='1-4', fill=0.8, scenes=12, sensors=('ideal', 'd435'), workers=1
)
DENSE = OffsetTrainConfig(OffsetNetConfig(8, 3), steps=60, batch=6, rate=6e-3, self_training=0)


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> TrainPilesConfig:
    """A training of seconds that has been run."""
    out = tmp_path_factory.mktemp('piles') / 'run'
    config = TrainPilesConfig(
        piles=PILES, out=str(out), part_px=9.0, offsets=DENSE, begin='', loop=LOOP
    )
    train_piles(config)
    return config


@pytest.mark.slow
def test_a_mesh_becomes_a_segmenter(config):
    checkpoint = Checkpoint.load(f'{config.out}/checkpoint')
    assert (checkpoint.method, checkpoint.part) == ('piles', 'cylinder')
    assert checkpoint.training['data'] == '24 simulated piles'
    segmenter = load_segmenter(config.out)
    # The rule that it was trained for goes with it.
    assert segmenter.inference.rule == config.votes != VoteRule()
    own = load_segmenter(config.out, mesh='own').mesh
    assert own.scale == 1 and np.allclose(own.bounds, load_part('cylinder').mesh.bounds, atol=1e-6)
    stream = scene_stream(bin_setup('cylinder', instances=3, seed=77))
    scores = [
        honest_miou(scene.labelled().labels, segmenter.segment(scene.frame, scene.workspace).labels)
        for scene, _ in zip(stream, range(8))
    ]
    assert np.mean(scores) > 0.6


@pytest.mark.slow
def test_a_second_start_goes_on_and_another_mesh_is_refused(config, tmp_path, capsys):
    before = Checkpoint.load(f'{config.out}/checkpoint').weights['offsets']
    train_piles(config)
    after = Checkpoint.load(f'{config.out}/checkpoint').weights['offsets']
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    mesh = tmp_path / 'mine.ply'
    load_part('cone').mesh.export(mesh)
    other = replace(config, piles=replace(PILES, part='', mesh=str(mesh)))
    with pytest.raises(ConfigError, match='another configuration or other data'):
        train_piles(other)


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(ConfigError, match='neither data nor piles.mesh is given'):
        train_piles(TrainPilesConfig(out=str(tmp_path / 'run'), loop=LOOP))
    assert not (tmp_path / 'run').exists()
    with pytest.raises(ConfigError, match='piles.part is "nut", piles.mesh "nut.stl"'):
        PilesConfig(part='nut', mesh='nut.stl')
    with pytest.raises(ConfigError, match='piles.sensors is empty'):
        PilesConfig(sensors=())
    with pytest.raises(ConfigError, match='part_px is 2: expected 6 to 128'):
        TrainPilesConfig(part_px=2)
    with pytest.raises(ConfigError, match='offsets.steps is 0: expected 1 or more'):
        TrainPilesConfig(offsets=OffsetTrainConfig(steps=0))
    with pytest.raises(ConfigError, match='self_training is 1 without data: expected 0'):
        TrainPilesConfig(offsets=OffsetTrainConfig(self_training=1))


@pytest.mark.slow
def test_a_network_that_knows_piles_is_gone_on_from(config, tmp_path):
    one_step = replace(DENSE, steps=1, rate=1e-9)
    going = replace(config, begin=config.out, out=str(tmp_path / 'run'), offsets=one_step)
    train_piles(going)
    before = Checkpoint.load(f'{config.out}/checkpoint').weights['offsets']
    after = Checkpoint.load(tmp_path / 'run/checkpoint').weights['offsets']
    assert all(torch.allclose(value, after[name], atol=1e-3) for name, value in before.items())
    wider = replace(going, offsets=replace(DENSE, network=OffsetNetConfig(16, 3)))
    with pytest.raises(ConfigError, match='begin is .*expected the shape of offsets.network'):
        train_piles(replace(wider, out=str(tmp_path / 'never')))
    assert not (tmp_path / 'never').exists()
