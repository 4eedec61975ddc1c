"""HDF5 files, opened and checked in one way for all: shards, and small sets in one file.

Whoever opens a file asks for arrays that lie in it. HDF5 can do more, and a damaged or foreign file
does: arrays that are kept in other files, and sizes that nothing in the file fills.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from insegan_ros.errors import MALFORMED, DatasetError, InputError
from insegan_ros.texts import reason

# Of one row, such as all that a shard holds of a scene in one array, and of what is read at once.
MOST_BYTES = 1_000_000_000
# Deflate makes a thousandth of zeros, and no less.
DENSEST, SMALL = 1100, 65536
# What h5py itself raises, and what reading values stumbles over.
UNREADABLE = (OSError, RuntimeError, InputError, *MALFORMED)


@contextmanager
def opened_hdf5(path: Path, todo: str) -> Iterator[h5py.File]:
    """The file, opened to be read. todo: what to do where it is damaged, also if that is noticed
    while it is read. Raises DatasetError."""
    with readable(path, todo):
        if not path.is_file():
            raise OSError('not a file')
        with h5py.File(path, 'r') as file:
            for name in file:
                _check(file, name)
            yield file


@contextmanager
def readable(path: Path, todo: str) -> Iterator[None]:
    """Raises DatasetError for what goes wrong while a file is read."""
    try:
        yield
    except UNREADABLE as error:
        raise DatasetError(
            f'{path} cannot be read, it is cut short or damaged ({reason(error)}): {todo}'
        ) from error


def _check(file: h5py.File, name: str) -> None:
    """Raise ValueError for an entry that is no array in the file itself, or claims more than the
    file can hold."""
    array = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise ValueError(f'{name} is not an array in the file itself')
    if array.dtype.kind not in 'biuf' and h5py.check_string_dtype(array.dtype) is None:
        raise ValueError(f'{name} holds {array.dtype}')
    if not array.ndim:
        raise ValueError(f'{name} is a single value')
    rows = [array.shape[1:], *([array.chunks] if array.chunks else [])]
    stored = array.id.get_storage_size()
    largest = max(int(np.prod(shape, dtype=float)) * array.dtype.itemsize for shape in rows)
    total = float(np.prod(array.shape, dtype=float)) * array.dtype.itemsize
    if largest > MOST_BYTES or total > DENSEST * stored + SMALL:
        raise ValueError(f'{name} claims shape {array.shape} but fills {stored} bytes')
