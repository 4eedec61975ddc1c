"""What users write, read and checked in one way for all: numbers, and files of plain text, JSON,
YAML.

What a pipe, a device, another encoding or a file made to burst memory would do is one line, of the
error that the caller names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from insegan_ros.errors import MALFORMED, ConfigError, InseganError
from insegan_ros.files import read_content

# A configuration has a thousandth of it; PyYAML takes seconds for more.
YAML_BYTES = 1_000_000
# Values that a YAML file stands for, its aliases written out.
YAML_VALUES = 100_000
KIND = type[InseganError]


def number(name: str, text: str, whole: bool = False) -> float:
    """A number that a user wrote as the argument `name`; an int where it must be whole. Raises
    ConfigError.

    >>> number('fill', '0.7')
    0.7
    """
    try:
        return int(text) if whole else float(text)
    except ValueError as error:
        wanted = 'a whole number' if whole else 'a number'
        raise ConfigError(f'{name} is "{text}": expected {wanted}') from error


def read_text(path: Path, kind: KIND, limit: int | None = None) -> str:
    """A file's text, without the mark that some editors begin it with. limit: its greatest size in
    bytes. Raises `kind` where it is no file, too large, or no text in UTF-8."""
    try:
        text = read_content(path, limit).decode('utf-8-sig')
    except OSError as error:
        raise kind(f'{path} cannot be read ({reason(error)}): expected a text file') from error
    except UnicodeDecodeError as error:
        raise kind(f'{path} cannot be read ({reason(error)}): expected text in UTF-8') from error
    if '\0' in text:
        raise kind(f'{path} holds a NUL character: expected text in UTF-8')
    return text


def read_json(path: Path, kind: KIND) -> Any:
    """A JSON file's content. Raises `kind` where it cannot be read or is none."""
    try:
        return json.loads(read_text(path, kind))
    except (ValueError, RecursionError) as error:
        raise kind(
            f'{path} cannot be read as JSON ({reason(error)}): expected a whole file'
        ) from error


def read_yaml(path: Path, kind: KIND) -> Any:
    """A YAML file's content, loaded safely. Raises `kind` where it cannot be read, is none, names
    something twice, or stands for more values than any file of ours."""
    text = read_text(path, kind, YAML_BYTES)
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_values(node)
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, *MALFORMED) as error:
        raise kind(
            f'{path} cannot be read as YAML ({reason(error)}): expected names with values'
        ) from error
    finally:
        if loader is not None:
            loader.dispose()


def read_mapping(path: Path, kind: KIND) -> dict[str, Any]:
    """A YAML file's names with values. Raises `kind` as `read_yaml`, and where it holds anything
    else."""
    content = read_yaml(path, kind)
    if not isinstance(content, dict):
        raise kind(f'{path} holds {type(content).__name__}: expected names with values')
    return content


def reason(error: BaseException) -> str:
    """What an error says, in one short line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return 'nested too deeply'
    text = ' '.join(str(error).split())[:200]
    plain = isinstance(error, ValueError | yaml.YAMLError | InseganError)
    return text if plain else f'{type(error).__name__} {text}'


def _check_values(node: yaml.Node | None) -> None:
    """Raise ValueError for a tree of nodes that stands for too many values, or holds itself."""
    if node is not None and (count := _values(node, {})) > YAML_VALUES:
        raise ValueError(f'{count:.3g} values, at most {YAML_VALUES}')


def _check_names(node: yaml.MappingNode) -> None:
    """Raise ValueError for a name that comes twice: PyYAML takes the last value and says
    nothing."""
    seen = set[str]()
    for name, _ in node.value:
        if isinstance(name, yaml.ScalarNode):
            if name.value in seen:
                raise ValueError(f'line {name.start_mark.line + 1} repeats the name {name.value}')
            seen.add(name.value)


def _values(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node stands for, aliases written out; without end where it holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = float('inf')
        if isinstance(node, yaml.MappingNode):
            _check_names(node)
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(one,) for one in node.value]
        known[id(node)] = 1 + sum(_values(one, known) for pair in pairs for one in pair)
    return known[id(node)]
