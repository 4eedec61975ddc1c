"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.files import (
    make_folder,
    read_content,
    user_path,
    write_json,
    write_png,
    write_whole,
)


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, small_files):
    good = tmp_path / 'scenes-00000.h5'
    write_whole(good, b'x' * 1000)
    with pytest.raises(
        DatasetError,
        match='scenes-00001.h5 cannot be written .*free some space and give the same command again',
    ):
        write_whole(tmp_path / 'scenes-00001.h5', b'x' * 100_000)
    with pytest.raises(DatasetError, match='scenes-00000.h5 cannot be written'):
        write_whole(good, b'y' * 100_000)
    with pytest.raises(DatasetError, match='a.png cannot be written'):
        write_png(tmp_path / 'a.png', np.random.default_rng(0).integers(0, 255, (99, 99), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ['scenes-00000.h5']
    assert good.read_bytes() == b'x' * 1000


def test_a_path_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    for text in (str(tmp_path / 'file/below'), '~nosuchuser/x', '', str(tmp_path / 'not there')):
        assert user_path(text, ConfigError) == Path(text)
    assert user_path('~', ConfigError) == Path.home()
    for text in ('x' * 300, 'a/' * 5000, 'a\0b'):
        with pytest.raises(ConfigError, match='cannot be accessed .*expected') as caught:
            user_path(text, ConfigError)
        assert '\n' not in str(caught.value) and len(str(caught.value)) < 400


def test_where_no_folder_can_be_is_said(tmp_path):
    (tmp_path / 'file').write_text('')
    for write in (
        lambda: write_whole(tmp_path / 'file/a.json', b''),
        lambda: write_json(tmp_path / 'file/a.json', [1]),
        lambda: write_png(tmp_path / 'file/a.png', np.zeros((2, 2), np.uint8)),
        lambda: make_folder(tmp_path / 'file/folder'),
    ):
        with pytest.raises(DatasetError, match='expected a writable (folder|place)') as caught:
            write()
        assert '\n' not in str(caught.value)


def test_pictures_and_numbers_come_back(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (7, 5, 3), np.uint8)
    deep = np.arange(35, dtype=np.uint16).reshape(7, 5) * 1000
    write_png(tmp_path / 'new/rgb.png', rgb)
    write_png(tmp_path / 'new/deep.png', deep)
    write_json(tmp_path / 'new/a.json', {'a': [1]}, None)
    assert np.array_equal(cv2.imread(str(tmp_path / 'new/rgb.png'))[..., ::-1], rgb)
    assert np.array_equal(cv2.imread(str(tmp_path / 'new/deep.png'), cv2.IMREAD_UNCHANGED), deep)
    assert (tmp_path / 'new/a.json').read_text() == '{"a": [1]}\n'


def test_only_files_are_read(tmp_path):
    (tmp_path / 'file').write_bytes(b'12345')
    assert read_content(tmp_path / 'file') == read_content(tmp_path / 'file', 5) == b'12345'
    with pytest.raises(OSError, match='at most 0 MB'):
        read_content(tmp_path / 'file', 4)
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(OSError, match='not a regular file'):
        read_content(tmp_path / 'pipe')
