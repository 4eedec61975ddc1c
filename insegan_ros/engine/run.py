"""A training in its folder: where it runs, what it has done, and the checkpoint that it ends in.

run = RunContext(config)
data = read_height_images(config, run.device)
run.claim(data.maps.fingerprint)
run.seed('weights', 0)
stage = run.stage(GanStage(run.fabric, ...))
run.save('insegan', 'insegan', part, scales, weights, data='2000 unlabelled scenes')
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml

from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.engine.loop import Stage, make_fabric, run_stage, seed_step
from insegan_ros.errors import ConfigError
from insegan_ros.files import FolderLock, hold_folder, write_whole
from insegan_ros.renamed import modern_config, modern_run
from insegan_ros.texts import read_mapping

# What says where a run lies and how it is shown, and nothing of what it learns.
UNIMPORTANT = ('out', 'loop.threads', 'loop.save_every', 'loop.log_every')
AnyStage = TypeVar('AnyStage', bound=Stage)


class RunContext:
    """What every recipe needs besides its data. config: a recipe's, with `out`, `seed` and `loop`.

    fabric: Lightning's, launched; out: the run's folder; seconds and steps: what the stages so far
    took. Raises ConfigError for a device that is not there; makes nothing before `claim`.
    """

    def __init__(self, config: Any) -> None:
        self.config, self.out = config, Path(config.out)
        self.fabric = make_fabric(config.loop)
        self.fingerprint = ''
        self.lock: FolderLock | None = None
        self.seconds, self.steps = 0.0, dict[str, int]()

    @property
    def device(self) -> torch.device:
        """The device that it trains on."""
        return self.fabric.device

    @property
    def speaks(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.fabric.is_global_zero

    def say(self, text: str) -> None:
        """Print, once of all processes."""
        if self.speaks and text:
            print(text)

    def claim(
        self,
        fingerprint: str,
        without: Sequence[str] = (),
        begin: str = '',
        stages: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Take the run's folder, or go on in it. fingerprint: of the data; without: fields of the
        configuration that may differ; begin: another run, whose states of these stages are copied,
        and the settings that each was made with, such as `gan` or `gan.steps`.
        Raises ConfigError where the folder holds another training, or another process trains in it;
        and, before the folder is taken, where `begin` cannot be begun with."""
        states = states_of(begin, stages or {}, fingerprint, self.config) if begin else []
        self.fingerprint = fingerprint
        claim(self.out, self.config, fingerprint, without)
        if self.speaks:
            self.lock = hold_folder(self.out, ConfigError)
        for state in states:
            if not (self.out / state.name).exists():
                write_whole(self.out / state.name, state.read_bytes())

    def seed(self, what: str, number: int) -> None:
        """Seed torch for what comes now, in all processes alike."""
        seed_step(self.config.seed, what, number)

    def stage(self, stage: AnyStage, steps: int | None = None, called: str = '') -> AnyStage:
        """Run a stage, or what is left of it, to its own number of steps or to `steps`; returns it.
        called: its name among the steps of the history, if not its own."""
        count = stage.steps if steps is None else steps
        self.seconds += run_stage(
            self.fabric, stage, count, self.out, self.config.seed, self.config.loop
        )
        self.steps[called or stage.name] = count
        return stage

    def save(
        self,
        method: str,
        segmenter: str,
        part: str,
        scales: Scales,
        weights: dict[str, dict[str, torch.Tensor]],
        data: str,
        values: dict[str, Any] | None = None,
        **history: Any,
    ) -> Path:
        """Write the checkpoint; returns its folder. data: what it has learnt from, in words;
        values: those of the configuration that the training itself has found; history: what else
        the model card says."""
        told = {
            'data': data,
            'fingerprint': self.fingerprint,
            'seed': self.config.seed,
            'steps': self.steps,
            'minutes': round(self.seconds / 60, 1),
            'hardware': hardware(self.device),
            **history,
        }
        config = {**asdict(self.config), **(values or {})}
        if self.speaks:
            Checkpoint(method, segmenter, part, scales, config, weights, told).save(
                self.out / 'checkpoint'
            )
        return self.out / 'checkpoint'


def states_of(
    begin: str, stages: Mapping[str, Sequence[str]], fingerprint: str, config: Any
) -> list[Path]:
    """The states of another run's stages of these names. Raises ConfigError where there is none of
    them, or where that run has other data, another seed, or other settings of what a stage was made
    with; what an earlier version did not write down is not compared."""
    states = {
        name: state
        for name in stages
        if (state := Path(begin) / f'{name}.state.safetensors').is_file()
    }
    if not states:
        raise ConfigError(
            f'begin is {begin}, which holds no stage of this training: expected the folder of a run'
            f' with {", ".join(stages)}'
        )
    before = modern_config(read_mapping(Path(begin) / 'config.yaml', ConfigError))
    now = yaml.safe_load(yaml.safe_dump(_plain({**asdict(config), 'fingerprint': fingerprint})))
    made_with = ('seed', 'fingerprint', *(one for name in states for one in stages[name]))
    for name, line in _differences(before, _in_both(now, before)).items():
        if any(name == one or name.startswith(f'{one}.') for one in made_with):
            raise ConfigError(
                f'begin is {begin}, whose {line} here: expected a run on the same data, with the'
                ' same seed and settings, for what was made with them is taken over'
            )
    return list(states.values())


def _in_both(now: Any, before: Any) -> Any:
    """A configuration with another's values where it has no such names."""
    if isinstance(now, dict) and isinstance(before, dict):
        return {name: _in_both(now.get(name, one), one) for name, one in before.items()}
    return now


def hardware(device: torch.device) -> str:
    """The machine in words, for a model card."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{torch.get_num_threads()} CPU cores ({platform.machine()})'


def claim(out: Path, config: Any, fingerprint: str, without: Sequence[str] = ()) -> None:
    """Refuse a folder that holds another training, so that nothing is mixed or written over; says
    what differs. without: fields that may differ."""
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(
                f'{place} is a file: expected --out to be a folder, or a place for a new one'
            )
    note = out / 'config.yaml'
    wanted = {
        name: value
        for name, value in {**asdict(config), 'fingerprint': fingerprint}.items()
        if name not in without
    }
    if note.exists():
        before = modern_config(read_mapping(note, ConfigError))
        if 'insegan' in before:
            before = modern_run(before, cutpaste='insegan' not in wanted)
        changed = _differences(before, yaml.safe_load(yaml.safe_dump(_plain(wanted))))
        # The same data may lie elsewhere now.
        harmless = (
            (*UNIMPORTANT, 'data') if before.get('fingerprint') == fingerprint else UNIMPORTANT
        )
        if lines := [line for name, line in changed.items() if name not in harmless]:
            raise ConfigError(
                f'{out} holds a training with another configuration or other data'
                f' ({"; ".join(lines[:4])}{", and more" if len(lines) > 4 else ""}): expected the'
                f' same as in {note}, or another --out'
            )
    if out.is_dir() and not note.exists() and any(out.iterdir()):
        raise ConfigError(
            f'{out} is not empty and holds no training: expected an empty folder for --out'
        )
    write_whole(note, yaml.safe_dump(_plain(wanted), sort_keys=False).encode())


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what YAML knows."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _differences(before: Any, now: Any, name: str = '') -> dict[str, str]:
    """What differs between two configurations, by name, as "insegan.gan.steps was 10, is 20"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return {
            found: line
            for key in {**before, **now}
            for found, line in _differences(
                before.get(key), now.get(key), f'{name}.{key}' if name else str(key)
            ).items()
        }
    return {} if before == now else {name: f'{name} was {before}, is {now}'}
