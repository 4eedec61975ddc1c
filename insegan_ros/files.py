"""Files that ship beside the code: checkpoints, presets, profiles. In the source tree, or in an
installation's share folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from insegan_ros.errors import DatasetError, InseganError, WriteError

# The checkpoint for pictures of heaps.
HEAP_MODEL = 'hoc-nut'
# A path in an error is cut after so many characters: some are as long as they like.
PATH_SHOWN = 200


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


def user_path(text: str | Path, kind: type[InseganError]) -> Path:
    """The path that a user, or anybody on the network, has written; `~` stands for a home where
    there is one. Raises `kind` where it is none at all: too long, or in a folder that may not be
    looked into."""
    path = Path(os.path.expanduser(text))
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise no_path(path, error, kind) from error
    return path


def no_path(path: Path | str, error: Exception, kind: type[InseganError]) -> InseganError:
    """The one sentence for a path that cannot even be looked at."""
    why = error.strerror if isinstance(error, OSError) else error
    return kind(
        f'{str(path)[:PATH_SHOWN]} cannot be accessed ({why}): expected the path of a readable'
        ' file or folder'
    )


def read_content(path: Path, limit: int | None = None) -> bytes:
    """A file's bytes. limit: its greatest size in bytes. Raises OSError where it is no regular file
    (a pipe may never end) or larger."""
    with open(path, 'rb', opener=_without_waiting) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, 'not a regular file', str(path))
        if limit is not None and about.st_size > limit:
            size, most = about.st_size / 1e6, limit / 1e6
            raise OSError(errno.EFBIG, f'{size:.0f} MB, at most {most:.0f} MB', str(path))
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe without waiting for who writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


def write_whole(path: Path, content: bytes, sync: bool = True) -> None:
    """Write a file under another name and rename it when whole: a kill or a full disk leaves no
    half file. sync: wait until the disk has it, so that it outlives a loss of power. Raises
    WriteError."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise lost(path, error, len(content)) from error


def lost(path: Path, error: OSError, size: int = 0) -> WriteError:
    """The one sentence for what could not be written; size: in bytes, where it is known."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    todo = 'free some space' if full else 'expected a writable folder; choose another'
    much = f'; {size / 1e6:.1f} MB' if size else ''
    return WriteError(
        f'{path} cannot be written ({error.strerror or error}{much}): what was finished before is'
        f' safe; {todo} and give the same command again'
    )


def make_folder(path: Path) -> None:
    """Make a folder and those that it lies in, where they are not there yet. Raises WriteError
    where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f'{path} cannot be created ({error.strerror}): expected a writable place; choose'
            ' another'
        ) from error


class FolderLock:
    """A folder that this process alone writes into, until the lock is not referred to any more."""

    def __init__(self, folder: Path) -> None:
        # The folder itself is locked: a lock on a file in it could be replaced with the file.
        self.number = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self.number)
            raise
        weakref.finalize(self, os.close, self.number)


# The locks of this process by device and inode: what it holds it may hold again.
_LOCKS: weakref.WeakValueDictionary[tuple[int, int], FolderLock] = weakref.WeakValueDictionary()


def hold_folder(folder: Path, kind: type[InseganError]) -> FolderLock | None:
    """Make a folder, where it is not there yet, and keep other processes from writing into it; None
    on file systems that have no locks. Raises WriteError, or `kind` where another process holds
    it."""
    make_folder(folder)
    about = folder.stat()
    place = about.st_dev, about.st_ino
    if (held := _LOCKS.get(place)) is not None:
        return held
    try:
        lock = _LOCKS[place] = FolderLock(folder)
    except BlockingIOError:
        raise kind(
            f'{folder} is being written by another process: expected no other; wait for it, or give'
            ' another --out'
        ) from None
    except OSError:
        return None
    return lock


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write JSON, whole or not at all. Raises WriteError."""
    write_whole(path, (json.dumps(content, indent=indent) + '\n').encode())


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) as it is or (H, W, 3) uint8 RGB as PNG, whole or not at all. Raises
    DatasetError."""
    import cv2

    pixels = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    write_whole(path, cv2.imencode('.png', pixels)[1].tobytes(), sync=False)


def check_new(path: Path, suffix: str) -> None:
    """Refuse a file that is there already, of another kind, or in a folder that cannot be written,
    before any work. Raises DatasetError."""
    if path.suffix.lower() != suffix:
        raise DatasetError(
            f'{path} is not a valid name for this file: expected one that ends in {suffix}'
        )
    if path.exists():
        raise DatasetError(f'{path} already exists: expected a new file; choose another name')
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise DatasetError(f'{path.parent} is not a writable folder: expected one for {path.name}')


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
