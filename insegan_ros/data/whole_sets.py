"""How many scenes a set must have, so that one that was half written or half copied does not read
as a whole one: `scenes` in its dataset.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from insegan_ros.data.scene import Scene
from insegan_ros.errors import DatasetError
from insegan_ros.files import write_whole
from insegan_ros.texts import read_mapping

NOTE = 'dataset.yaml'


def state_scenes(folder: Path, count: int, form: str) -> None:
    """Write down how many scenes a set has, and in which format. Raises DatasetError."""
    content = {'format': form, 'scenes': count}
    write_whole(folder / NOTE, yaml.safe_dump(content, sort_keys=False).encode())


def stated_form(folder: Path) -> str | None:
    """The format that a set states, or None. Raises DatasetError where its note cannot be read."""
    note = folder / NOTE
    return read_mapping(note, DatasetError).get('format') if note.is_file() else None


def check_scenes(folder: Path, count: int) -> None:
    """Raise DatasetError where a set states that it has more scenes than were found, or its note
    cannot be read. A set that states nothing has what it has."""
    note = folder / NOTE
    if not note.is_file():
        return
    stated = read_mapping(note, DatasetError).get('scenes')
    if stated is not None and (type(stated) is not int or stated < 0):
        raise DatasetError(
            f'{note} says scenes: {stated!r}: expected the number that must be there'
        )
    if stated is not None and count < stated:
        raise DatasetError(
            f'{folder} holds {count} of {stated} scenes: expected all; whatever writes or copies'
            ' it was stopped or is still running: give the same command again (`insegan simulate`'
            f' makes what is missing), or write scenes: {count} into {note} to use these'
        )


def all_scenes(folder: Path, scenes: Iterator[Scene]) -> Iterator[Scene]:
    """The scenes of a set, in order; raises DatasetError at the end where some are missing."""
    count = 0
    for scene in scenes:
        count += 1
        yield scene
    check_scenes(folder, count)
