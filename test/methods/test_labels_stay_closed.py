"""Recipes that learn without labels, run as a user runs them on sets that have labels: what these
say changes no weight."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from shell import command
from small_hoc import SMALL
from small_trainings import DENSE, LOOP, small_cutpaste, small_insegan

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.config import Configuration, shipped_yaml
from insegan_ros.methods.hoc.recipe import HocGanConfig, TrainHocConfig
from insegan_sim.generate import SimulateConfig, simulate

TRUTH = ('labels', 'classes', 'poses', 'amodal', 'quality')


@pytest.fixture(scope='module')
def heap_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture of some fifty nuts."""
    out = tmp_path_factory.mktemp('heap') / 'set'
    return simulate(
        SimulateConfig(part='nut', instances='50', fill=1.2, scenes=1, out=str(out), workers=1)
    )


@pytest.fixture(scope='module')
def lone_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cylinders a bin, most of which lie alone."""
    out = tmp_path_factory.mktemp('lone') / 'set'
    config = SimulateConfig(
        part='cylinder', instances='2', fill=0.2, scenes=24, size='96', out=str(out), workers=1
    )
    return simulate(config)


def shuffled(data: Path, out: Path) -> Path:
    """The same set with every truth in disorder."""
    shutil.copytree(data, out)
    rng = np.random.default_rng(0)
    for path in out.glob('*.h5'):
        with h5py.File(path, 'a') as file:
            changed = [name for name in TRUTH if name in file]
            for name in changed:
                values = file[name][:]
                file[name][...] = rng.permutation(values.ravel()).reshape(values.shape)
        assert {'labels', 'poses'} <= set(changed)
    return out


def small_hoc(data: Path, out: Path) -> TrainHocConfig:
    """All stages, of seconds, the width of an object estimated as in the shipped configuration."""
    return TrainHocConfig(
        image=str(data),
        modality='depth',
        out=str(out),
        generator=SMALL,
        gan=HocGanConfig(steps=4, batch=4, discriminator_width=8),
        offsets=replace(DENSE, network=replace(DENSE.network, height_votes=False), self_training=0),
        loop=LOOP,
    )


# What is trained, and on which set.
RECIPES = {
    'cutpaste': (small_cutpaste, 'lone_data'),
    'insegan': (small_insegan, 'nut_data'),
    'hoc': (small_hoc, 'heap_data'),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', RECIPES)
def test_shuffled_labels_leave_every_weight_as_it_was(name, request, tmp_path):
    configured, known = RECIPES[name]
    data = request.getfixturevalue(known)

    def trained(from_: Path, called: str) -> Iterator[torch.Tensor]:
        config = yaml.safe_dump(plain(configured(from_, tmp_path / called)))
        (tmp_path / f'{called}.yaml').write_text(config)
        assert command('train', name, '--config', tmp_path / f'{called}.yaml') == 0
        weights = Checkpoint.load(tmp_path / called / 'checkpoint').weights
        return (weights[network][key] for network in weights for key in weights[network])

    first = list(trained(data, 'first'))
    second = list(trained(shuffled(data, tmp_path / 'shuffled'), 'second'))
    assert len(first) == len(second) > 4
    assert all(torch.equal(one, other) for one, other in zip(first, second))


def plain(config: Configuration) -> dict[str, object]:
    """As a YAML file has it."""
    return yaml.safe_load(yaml.dump(asdict(config)).replace('!!python/tuple', ''))


def test_the_shipped_heap_takes_no_width_from_its_truth():
    assert 'instance_px' not in shipped_yaml('train/hoc.yaml')
