"""What every task answers: how labelled data of its kind are loaded, how a method is scored on
them, what is drawn of it, and what its card says. `insegan evaluate` and `insegan card` know no
more."""

from __future__ import annotations

import importlib
import json
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from insegan_ros.camera.given import GivenCamera
from insegan_ros.engine.checkpoint import MESH, WEIGHTS, Checkpoint
from insegan_ros.errors import ConfigError, unknown
from insegan_ros.files import write_json, write_whole
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace

Kind = TypeVar('Kind', bound=Segmenter)
# The seed of all test scenes; no training uses it.
TEST_SEED = 2
# What of a training's history stands in its card.
TOLD = ('taught_by', 'seed', 'steps', 'hardware', 'minutes', 'backgrounds', 'alarms')
TASKS = {
    'instances': 'instances:InstancesTask',
    'foreground': 'foreground:ForegroundTask',
    'heaps': 'heaps:HeapsTask',
    'classes': 'classes:ClassesTask',
}


@dataclass(frozen=True)
class Source:
    """Labelled data as the command line names them. limit: scenes of a set; split: of a published
    set; workspace: of a recording or of label pictures, if not in its own file; camera: of label
    pictures."""

    path: Path
    workspace: Workspace | None = None
    split: str = 'test'
    limit: int = 100
    camera: GivenCamera | None = None


@dataclass(frozen=True)
class Result:
    """summary: figures over all scenes; rows: scene by scene; text: what is printed; draw: writes a
    picture of the worst, the median and the best."""

    summary: dict[str, Any]
    rows: dict[str, Any]
    draw: Callable[[Path], None]
    text: str = ''

    def printed(self) -> str:
        """The summary for people."""
        return self.text or json.dumps(self.summary, indent=1)


@dataclass(frozen=True)
class Card:
    """values: card.json; text: README.md; pictures: what writes each picture, by its file's
    name."""

    values: dict[str, Any]
    text: str
    pictures: dict[str, Callable[[Path], None]] = field(default_factory=dict)


class Task(ABC):
    """One kind of question to a picture: see the module's text."""

    def of_mesh(self, mesh: Path, scale: float) -> Task:
        """The same task on a user's own part, `scale` metres per unit of the file. Raises
        ConfigError where the task knows no such."""
        raise ConfigError(
            f'{mesh} is given, but the checkpoint is not for bins of one part: expected no mesh'
        )

    def of_part(self, name: str) -> Task:
        """The same task on one of the simulator's parts. Raises ConfigError where the task knows no
        such, or the simulator no such part."""
        raise ConfigError(
            f'{name} is given, but the checkpoint is not for bins of one part: expected no part'
        )

    @abstractmethod
    def load(self, segmenter: Segmenter, source: Source) -> Any:
        """Labelled data for this method. Raises DatasetError, InputError."""

    @abstractmethod
    def evaluate(self, segmenter: Segmenter, data: Any) -> Result:
        """Score a method on what `load` gave."""

    @abstractmethod
    def card(self, checkpoint: Checkpoint, model: Path, limit: int) -> Card:
        """Measure a checkpoint, that lies at `model`, on unseen simulated data. Raises
        ConfigError."""


def expect(segmenter: Segmenter, kind: type[Kind]) -> Kind:
    """The segmenter, known to be of a kind. Raises ConfigError where it is of another."""
    if not isinstance(segmenter, kind):
        raise ConfigError(f'the method is for {segmenter.task}: expected one for {kind.task}')
    return segmenter


def task_named(name: str) -> Task:
    """A task by its name. Raises ConfigError."""
    if name not in TASKS:
        raise unknown('task', name, list(TASKS))
    module, kind = TASKS[name].split(':')
    return getattr(importlib.import_module(f'insegan_ros.tasks.{module}'), kind)()


def make_card(task: Task, model: Path, out: Path, limit: int = 100) -> dict[str, Any]:
    """Measure a checkpoint and write its weights, card.json, README.md and pictures into `out`;
    returns card.json's values. Raises ConfigError where `out` holds something already."""
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f'{out} is not empty: expected a new folder for the card')
    card = task.card(Checkpoint.load(model), model, limit)
    for kept in (WEIGHTS, MESH):
        if (model / kept).is_file():
            write_whole(out / kept, (model / kept).read_bytes())
    for name, draw in card.pictures.items():
        draw(out / f'{name}.png')
    write_json(out / 'card.json', card.values, 2)
    write_whole(out / 'README.md', card.text.encode())
    return card.values


def card_values(
    checkpoint: Checkpoint, part: str, data: str, metrics: dict[str, Any], command: str, **more: Any
) -> dict[str, Any]:
    """What stands in every card.json. data: what was learnt from and whether a label was read,
    where the fingerprint is added."""
    training = checkpoint.training
    return {
        'method': checkpoint.method,
        'part': part,
        'segmenter': checkpoint.segmenter,
        **more,
        'data': data,
        **{key: training[key] for key in TOLD if key in training},
        'metrics': metrics,
        'measured_on': machine(),
        'command': command,
    }


def training_line(card: dict[str, Any]) -> str:
    """How a card's training went, in a sentence."""
    steps = ', '.join(f'{name} {count}' for name, count in card['steps'].items())
    return f'Seed {card["seed"]}; steps {steps}; {card["minutes"]} minutes on {card["hardware"]}.'


def figure_table(
    head: str, columns: dict[str, str], rows: Sequence[tuple[str, str]], metrics: dict[str, Any]
) -> list[str]:
    """A Markdown table of metrics: a row for each (name, title), a column for each suffix and its
    title."""
    lines = [
        f'| {head} | ' + ' | '.join(columns.values()) + ' |',
        '|---' * (len(columns) + 1) + '|',
    ]
    for name, title in rows:
        cells = (f'{metrics[name + suffix]:.3f}' for suffix in columns)
        lines.append(f'| {title} | ' + ' | '.join(cells) + ' |')
    return lines


def machine() -> str:
    """This machine in words."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{platform.machine()}, {torch.get_num_threads()} threads, {device}'
