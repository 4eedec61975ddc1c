"""Small sets in one HDF5 file, light enough to train on another machine: height maps, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from insegan_ros.data.hdf5 import opened_hdf5
from insegan_ros.errors import DatasetError


@contextmanager
def opened(
    path: Path, format_: str, holds: str, made_by: str, truth: str = ''
) -> Iterator[h5py.File]:
    """The file, opened, if it is of this format. holds: what lies in it, in words; made_by: the
    command; truth: the name of the labels that must be there, if they are asked for. Raises
    DatasetError where it is of another kind, has no such labels, or cannot be read."""
    with opened_hdf5(path, 'make it again') as file:
        if file.attrs.get('format') != format_:
            raise DatasetError(
                f'{path} holds no {holds} ({file.attrs.get("format")}): expected a file of'
                f' {made_by}'
            )
        if truth and truth not in file:
            raise DatasetError(f'{path} holds no {truth}: expected a file made with --truth')
        yield file
