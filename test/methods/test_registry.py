"""Methods and checkpoints by their names."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import get_type_hints

import pytest

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError, ConfigError
from insegan_ros.methods.registry import (
    METHODS,
    TRAINED,
    load_segmenter,
    ready,
    recipes,
    resolve,
    task_of,
)
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.base import TASKS


def test_a_missing_checkpoint_names_what_there_is():
    with pytest.raises(CheckpointError, match='no checkpoint or method "insegan-sprocket".*kmeans'):
        load_segmenter('insegan-sprocket')


def test_an_unknown_segmenter_names_the_known_ones(small_checkpoint):
    with pytest.raises(
        ConfigError,
        match='unknown segmenter "magic": expected one of foreground, hoc, insegan, insegan-r',
    ):
        load_segmenter(str(small_checkpoint), 'magic')


@pytest.mark.parametrize(
    ('model', 'segmenter', 'way'),
    [
        ('hoc-nut', 'offsets', 'hoc'),
        ('cutpaste-nut', 'masks', 'offsets'),
        ('cutpaste-nut', 'hoc', 'offsets'),
        (
            'insegan-generator-nut',
            'masks',
            'offsets or insegan or insegan-refined or insegan-searched or insegan-views',
        ),
        ('cutpaste-nut', 'insegan', 'offsets'),
        ('ccgr-mixed', 'insegan', 'masks'),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(model, segmenter, way):
    with pytest.raises(
        CheckpointError, match=f'{model} cannot be run as {segmenter}: expected {way}'
    ):
        load_segmenter(model, segmenter)


def test_a_method_without_a_checkpoint_takes_no_segmenter():
    with pytest.raises(ConfigError, match='kmeans, which needs no checkpoint'):
        load_segmenter('kmeans', 'insegan')


def test_an_absent_gpu_is_said(small_checkpoint):
    with pytest.raises(ConfigError, match='device is "cuda:7"'):
        load_segmenter(str(small_checkpoint), device='cuda:7')
    with pytest.raises(ConfigError, match='expected auto, cpu, cuda'):
        load_segmenter(str(small_checkpoint), device='toaster')


def test_a_depth_checkpoint_is_no_foreground_segmenter():
    with pytest.raises(
        CheckpointError, match='cutpaste-nut cannot be run as foreground: expected offsets'
    ):
        load_segmenter('cutpaste-nut', 'foreground')


def test_every_place_that_is_named_is_there():
    for name, method in METHODS.items():
        assert method.help and '\n' not in method.help and method.task in TASKS
        for place in method.segmenters.values():
            assert issubclass(resolve(place), Segmenter), (name, place)
            assert resolve(place).task == method.task, (name, place)
        if method.train:
            assert is_dataclass(method.config_class) and callable(resolve(method.train))
            given = list(get_type_hints(resolve(method.train)).values())
            assert given == [method.config_class, Path], 'its configuration in, a folder out'
    assert set(TRAINED) == {w for m in METHODS.values() if m.train for w in m.segmenters}


def test_methods_are_those_that_learn_and_those_that_need_not():
    assert set(recipes()) | set(ready()) == set(METHODS) and not set(recipes()) & set(ready())
    assert {'kmeans', 'spectral', 'grabcut', 'graphcut', 'felzenszwalb'} <= set(ready('instances'))
    assert set(ready('foreground')) == {'grabcut-colour', 'kmeans-colour', 'depth-threshold'}
    assert all(name.endswith('-heap') for name in ready('heaps')) and not ready('classes')


def test_a_checkpoints_task_is_its_methods(root):
    found = {
        name: task_of(Checkpoint.load(root / 'checkpoints' / name))
        for name in ('cutpaste-nut', 'hoc-nut', 'irnet-mixed', 'layered-gan-tote')
    }
    assert list(found.values()) == ['instances', 'heaps', 'classes', 'foreground']
    other = replace(Checkpoint.load(root / 'checkpoints/cutpaste-nut'), method='magic')
    with pytest.raises(CheckpointError, match='of a method "magic": expected one of cutpaste'):
        task_of(other)
