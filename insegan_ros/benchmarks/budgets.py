"""How much of everything a benchmark takes: config/benchmarks/NAME.yaml holds the budgets small,
medium and full, and every training is a shipped one (config/train/) with the budget's overlay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple, Self

from insegan_ros.engine.config import configure, dotted, shipped_yaml
from insegan_ros.errors import unknown
from insegan_ros.methods.registry import METHODS

# Fields of a training that the benchmark decides itself: where its data and its run lie, where and
# how it runs. What a shipped file says of them is passed over.
OWN = ('data', 'image', 'backgrounds', 'begin', 'out', 'seed', 'loop')


class Training(NamedTuple):
    """What a benchmark's training begins with. recipe: of methods/registry.py; file: of
    config/train/, without .yaml; empty where none is shipped."""

    recipe: str
    file: str = ''


@dataclass(frozen=True, kw_only=True)
class BenchmarkBudget:
    """What the budgets of all benchmarks hold. benchmark: its name, and its file's; trainings: all
    that it can train, by the name that `train` knows it by."""

    benchmark: ClassVar[str]
    trainings: ClassVar[dict[str, Training]]

    name: str
    """small, medium or full."""
    train: dict[str, dict[str, Any]]
    """By training: what differs from its shipped file."""

    def __post_init__(self) -> None:
        for training in self.train:
            if training not in self.trainings:
                raise unknown('training', training, list(self.trainings))

    @classmethod
    def read(cls, name: str) -> Self:
        """A budget by its name. Raises ConfigError for names and values that are unknown."""
        budgets = shipped_yaml(f'benchmarks/{cls.benchmark}.yaml')
        if name not in budgets:
            raise unknown('budget', name, list(budgets))
        return configure(cls, budgets[name], {'name': name})

    def config(self, training: str, changes: Mapping[str, Any] | None = None) -> Any:
        """The configuration of a training: its shipped file, this budget's overlay, and changes
        named as in `insegan.gan.steps`. Raises ConfigError."""
        recipe, file = self.trainings[training]
        return training_config(recipe, file, self.train.get(training, {}), dotted(changes or {}))


def training_config(recipe: str, file: str, *overlays: Mapping[str, Any]) -> Any:
    """A recipe's configuration: a shipped file of config/train/, if one is named, and what is laid
    over it, the later overlays before the earlier. Raises ConfigError."""
    return _configured(recipe, file, json.dumps(overlays, sort_keys=True))


@cache
def _configured(recipe: str, file: str, overlays: str) -> Any:
    """The same, overlays as JSON. Many cells share one, and making one takes a tenth of a
    second."""
    shipped = shipped_yaml(f'train/{file}.yaml') if file else {}
    kept = {name: value for name, value in shipped.items() if name not in OWN}
    return configure(METHODS[recipe].config_class, kept, *json.loads(overlays))


def differing(config: Any) -> dict[str, Any]:
    """What a configuration changes of its class's defaults, by dotted names: what a result says of
    how it was made.

    >>> differing(TrainCutPasteConfig(offsets=OffsetTrainConfig(steps=10)))
    {'offsets.steps': 10}
    """
    return _differences(asdict(config), asdict(type(config)()))


def _differences(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What nested mappings hold otherwise than others of the same names, by dotted names."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            inner = _differences(value, defaults[name])
            out |= {f'{name}.{key}': changed for key, changed in inner.items()}
        elif value != defaults[name]:
            out[name] = value
    return out
