"""What the long benchmarks share: tables of cells, each measured once into a file of its own, so
that a second start goes on where the first was stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from insegan_ros.engine.checkpoint import WEIGHTS
from insegan_ros.errors import CheckpointError, DatasetError, InseganError, WriteError, unknown
from insegan_ros.files import write_whole
from insegan_ros.methods.registry import find_checkpoint
from insegan_ros.texts import read_json

# What the last run in a folder could not measure, and why.
FAILED = 'not-measured.json'


def run_cells(
    title: str,
    folder: Path,
    cells: Sequence[Any],
    kinds: Sequence[str],
    only: set[str],
    identity: Callable[[Any], str],
    measure: Callable[[Any], dict[str, Any] | None] | None,
    name_of: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """The cells' results, read from `folder`/results or measured into it.

    kinds: attributes of a cell, such as table and method, whose values `only` may name; a kind of
    which none is named is not narrowed. identity: what decides whether an earlier result still
    holds, in text. measure: returns None where there is nothing to measure, such as a checkpoint
    that is not shipped; without it only what has been measured is read. name_of: attributes that a
    result's file is called by, the kinds if left out. Results that do not hold any more are said.
    Raises ConfigError for names that are none, DatasetError where only such results could be read,
    WriteError where a cell cannot write.
    """
    values = {kind: {str(getattr(cell, kind)) for cell in cells} for kind in kinds}
    # Headings of tables begin with a capital.
    known = {value.casefold(): value for names in values.values() for value in names}
    only = {known.get(name.casefold(), name) for name in only}
    strangers = sorted(only - set().union(*values.values()))
    if strangers:
        raise unknown(
            ' or '.join([', '.join(kinds[:-1]), kinds[-1]]),
            ', '.join(strangers),
            sorted(set().union(*values.values())),
        )
    chosen = [
        cell
        for cell in cells
        if all(
            not only & names or str(getattr(cell, kind)) in only for kind, names in values.items()
        )
    ]
    results, failed, outdated = [], _failed(folder), list[str]()
    for cell in tqdm(chosen, desc=title, unit='cell'):
        called = '-'.join(str(getattr(cell, kind)) for kind in name_of or kinds)
        name = ''.join(c if c.isalnum() or c in '-.' else '_' for c in called)
        path = (
            folder
            / 'results'
            / f'{name}-{hashlib.sha256(identity(cell).encode()).hexdigest()[:10]}.json'
        )
        if not path.exists():
            outdated += [one.name for one in path.parent.glob(f'{name}-{"[0-9a-f]" * 10}.json')]
            if measure is None:
                continue
            try:
                found = measure(cell)
            except WriteError:
                # The next cell would only find the same.
                raise
            except InseganError as error:
                # Such as a teacher that finds nothing, which is what an ablation may show: the
                # others are still worth having.
                tqdm.write(f'{called}: not measured: {error}')
                failed[called] = str(error)
                continue
            if found is None:
                continue
            write_whole(path, (json.dumps(found, indent=1) + '\n').encode())
        results.append(read_json(path, DatasetError))
        failed.pop(called, None)
    if outdated:
        told = (
            f'{folder / "results"} holds results of other settings, another budget or version'
            f' ({len(outdated)}, such as {outdated[0]})'
        )
        if measure is None and not results:
            raise DatasetError(
                f'{told} but none of those asked for: expected the same --budget and --only'
                ' as before'
            )
        tqdm.write(f'{told}: they are left out of the tables')
    if measure is not None or failed != _failed(folder):
        write_whole(folder / FAILED, (json.dumps(failed, indent=1) + '\n').encode())
    return results


def _failed(folder: Path) -> dict[str, str]:
    """Cells that could not be measured when they were last tried, and why."""
    path = folder / FAILED
    return read_json(path, DatasetError) if path.is_file() else {}


def not_measured(folder: Path) -> list[str]:
    """Markdown lines that name what could not be measured in a folder when it was last tried, and
    why; none where all is measured."""
    failed = _failed(folder)
    return (
        ['## Not measured', '', *(f'- {called}: {reason}' for called, reason in failed.items()), '']
        if failed
        else []
    )


def shipped_hash(model: str) -> str:
    """A hash of a shipped checkpoint's weights: another one of the same name is another cell. Empty
    where it is not there."""
    try:
        return hashlib.sha256((find_checkpoint(model) / WEIGHTS).read_bytes()).hexdigest()
    except (CheckpointError, OSError):
        return ''


def table_lines(title: str, results: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[str]:
    """A Markdown table of figures, a row a method; what a method has not got is a dash."""
    return [
        f'## {title[0].upper()}{title[1:]}',
        '',
        f'| | {" | ".join(columns)} |',
        '|---' * (len(columns) + 1) + '|',
        *(
            f'| {one["method"]} | '
            + ' | '.join(f'{one[name]:.3f}' if name in one else '-' for name in columns)
            + ' |'
            for one in results
        ),
    ]
