"""Budgets: files of what differs, laid over the shipped trainings."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from insegan_ros.benchmarks.budgets import OWN, BenchmarkBudget, differing
from insegan_ros.benchmarks.classes import ClassesBudget
from insegan_ros.benchmarks.foreground import ForegroundBudget
from insegan_ros.benchmarks.heaps import HeapBudget
from insegan_ros.benchmarks.insta10_rows import Insta10Budget
from insegan_ros.engine.config import configure, shipped_yaml
from insegan_ros.errors import ConfigError
from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig
from insegan_ros.methods.registry import METHODS

BUDGETS = (Insta10Budget, ForegroundBudget, HeapBudget, ClassesBudget)


@pytest.mark.parametrize('name', ['small', 'medium', 'full'])
@pytest.mark.parametrize('kind', BUDGETS, ids=lambda kind: kind.benchmark)
def test_every_training_of_every_budget_is_a_configuration(kind, name):
    budget = kind.read(name)
    assert budget.name == name
    for training, (recipe, file) in budget.trainings.items():
        config = budget.config(training)
        assert type(config) is METHODS[recipe].config_class
        # What a shipped file says of where a training lies and runs is passed over.
        defaults = METHODS[recipe].config_class()
        for field in OWN:
            if field in vars(config):
                assert getattr(config, field) == getattr(defaults, field), (training, field)
        if file and training not in budget.train:
            kept = {k: v for k, v in shipped_yaml(f'train/{file}.yaml').items() if k not in OWN}
            assert config == configure(type(config), kept), 'as shipped'


@pytest.mark.parametrize('kind', BUDGETS, ids=lambda kind: kind.benchmark)
def test_a_budget_says_only_what_differs_from_the_shipped_training(kind):
    """Some repeat what is so by default, since a file of another training is laid below."""
    for name in shipped_yaml(f'benchmarks/{kind.benchmark}.yaml'):
        budget = kind.read(name)
        for training, overlay in budget.train.items():
            bare = replace(budget, train={})
            assert budget.config(training) != bare.config(training), (name, training, overlay)


def test_changes_of_a_row_go_before_all():
    budget = Insta10Budget.read('small')
    config = budget.config('cutpaste', {'offsets.steps': 7, 'instances': 3})
    assert (config.offsets.steps, config.offsets.self_training_steps, config.instances) == (7, 2, 3)
    with pytest.raises(ConfigError, match='TrainCutPasteConfig'):
        budget.config('cutpaste', {'offsets.step': 7})


def test_names_that_are_unknown_are_said():
    with pytest.raises(ConfigError, match='unknown budget "huge": expected one of full, medium'):
        HeapBudget.read('huge')
    with pytest.raises(ConfigError, match='unknown training "magic": expected one of hoc'):
        replace(HeapBudget.read('small'), train={'magic': {}})
    with pytest.raises(ConfigError, match='unknown part "sprocket"'):
        replace(Insta10Budget.read('small'), parts=('sprocket',))
    with pytest.raises(ConfigError, match='scenes is 0, limit 3'):
        replace(Insta10Budget.read('small'), scenes=0)
    assert issubclass(HeapBudget, BenchmarkBudget)


def test_a_result_says_what_its_training_differs_in():
    config = TrainCutPasteConfig()
    assert differing(config) == {}
    other = replace(config, seed=2, offsets=replace(config.offsets, steps=10))
    assert differing(other) == {'seed': 2, 'offsets.steps': 10}
    assert asdict(other)['offsets']['steps'] == 10
