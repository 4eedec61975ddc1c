"""One source for every setting: a dataclass holds the defaults, a YAML says what differs, overlays
say what differs from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from insegan_ros.errors import ConfigError
from insegan_ros.files import shipped_file
from insegan_ros.renamed import modern_config
from insegan_ros.texts import read_mapping

Configuration = TypeVar('Configuration')


def configure(config_class: type[Configuration], *overlays: Mapping[str, Any]) -> Configuration:
    """A configuration of nested dataclasses: its defaults, and what the overlays say, the later
    ones before the earlier. Raises ConfigError for names and values that it does not know.

    >>> from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig
    >>> config = configure(
    ...     TrainCutPasteConfig, shipped_yaml('train/cutpaste.yaml'), {'offsets': {'steps': 10}}
    ... )
    >>> config.offsets.steps, config.seed
    (10, 0)
    """
    values: dict[str, Any] = {}
    for overlay in overlays:
        values = merged(values, modern_config(dict(overlay)))
    parser = _parser(config_class)  # type: ignore[arg-type]  # classes are hashable
    try:
        return parser.instantiate(parser.parse_object({'it': values})).it
    except (ArgumentError, TypeError, ValueError) as error:
        said = (
            ' '.join(str(error).split())
            .replace('"it.', '"')
            .replace("Group 'it' does not accept option", 'unknown:')
        )
        raise ConfigError(f'{config_class.__name__}: {said}') from error


@cache
def _parser(config_class: type) -> ArgumentParser:
    """What knows a class's names and types: made anew each time it takes half of the time."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(config_class, 'it')
    return parser


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, the values of `above` before those of `below`."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], value) if both else value
    return out


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values named as in `insegan.gan.steps` as nested mappings."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        for part in reversed(name.split('.')):
            value = {part: value}
        out = merged(out, value)
    return out


def shipped_yaml(name: str) -> dict[str, Any]:
    """A shipped YAML file below config/, such as train/cutpaste.yaml. Raises ConfigError."""
    folder, _, file = name.rpartition('/')
    path = shipped_file(f'config/{folder}', file)
    if path is None:
        raise ConfigError(f'config/{name} is missing: expected it beside the code; reinstall')
    return read_mapping(path, ConfigError)


def instantiate(config_class: type[Configuration], values: Namespace) -> Configuration:
    """A configuration of nested dataclasses, of this class, from values that a command line has
    parsed. Raises ConfigError for what a YAML file leaves empty."""
    values.pop('config', None)
    _check_filled(config_class, values)
    parser = ArgumentParser()
    parser.add_class_arguments(config_class, 'it')
    return parser.instantiate(Namespace(it=values)).it


def _check_filled(config_class: type, values: Namespace, above: str = '') -> None:
    """Raise ConfigError for a section that holds no names, and for null where a value is needed:
    the parser lets both pass."""
    for name, kind in get_type_hints(config_class).items():
        value, called = values.get(name), f'{above}{name}'
        if is_dataclass(kind) and isinstance(value, Namespace):
            _check_filled(kind, value, f'{called}.')  # type: ignore[arg-type]  # kind is a class
        elif is_dataclass(kind):
            found = 'null' if value is None else value
            raise ConfigError(
                f'{called} is {found}: expected names with values; or leave the line out'
            )
        elif name in values and value is None and type(None) not in get_args(kind):
            raise ConfigError(f'{called} is null: expected a value; or leave the line out')
