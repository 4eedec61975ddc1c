"""Files are written whole or not at all."""

from __future__ import annotations

import resource
import signal

import pytest

from insegan_ros.errors import DatasetError
from insegan_ros.files import write_whole


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    good = tmp_path / 'scenes-00000.h5'
    write_whole(good, b'x' * 1000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        with pytest.raises(
            DatasetError,
            match=(
                'scenes-00001.h5 cannot be written .*free some space and give the same command'
                ' again'
            ),
        ):
            write_whole(tmp_path / 'scenes-00001.h5', b'x' * 100_000)
        with pytest.raises(DatasetError, match='scenes-00000.h5 cannot be written'):
            write_whole(good, b'y' * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert [path.name for path in tmp_path.iterdir()] == [
        'scenes-00000.h5'
    ] and good.read_bytes() == b'x' * 1000
