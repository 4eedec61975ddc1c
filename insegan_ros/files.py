"""Files that ship beside the code: checkpoints, presets, profiles. In the source tree, or in an
installation's share folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from insegan_ros.errors import DatasetError

# The checkpoint for pictures of heaps.
HEAP_MODEL = 'hoc-nut'


def shipped_folders(name: str) -> list[Path]:
    """The folders of this name (checkpoints, config) that exist, nearest first."""
    here = Path(__file__).resolve()
    candidates = [here.parents[1] / name, Path(sys.prefix) / 'share/insegan_ros' / name]
    candidates += [parent / 'share/insegan_ros' / name for parent in here.parents[:6]]
    return [folder for folder in candidates if folder.is_dir()]


def shipped_file(folder: str, name: str) -> Path | None:
    """The first shipped file of this name, or None."""
    return next(
        (path for parent in shipped_folders(folder) if (path := parent / name).is_file()), None
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it when whole: a kill or a full disk leaves no
    half file. Raises DatasetError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with open(temporary, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DatasetError(
            f'{path} cannot be written ({error.strerror}; {len(content) / 1e6:.1f} MB): what was'
            ' finished before is whole; free some space and give the same command again, it'
            ' goes on'
        ) from error


def check_new(path: Path, suffix: str) -> None:
    """Refuse a file that is there already, of another kind, or in a folder that cannot be written,
    before any work. Raises DatasetError."""
    if path.suffix.lower() != suffix:
        raise DatasetError(f'{path} is no name for this file: expected one that ends in {suffix}')
    if path.exists():
        raise DatasetError(f'{path} is there already: expected a new file')
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise DatasetError(
            f'{path.parent} is no folder that can be written: expected one for {path.name}'
        )


@contextmanager
def silenced() -> Iterator[None]:
    """Keep what libraries print, from C too, from standard output and standard error."""
    sys.stdout.flush(), sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with open(os.devnull, 'wb') as nowhere:
        for number in kept:
            os.dup2(nowhere.fileno(), number)
    try:
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
