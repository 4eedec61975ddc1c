"""Text files of users: what is none is one line."""

from __future__ import annotations

import os

import pytest

from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.texts import YAML_BYTES, read_json, read_mapping, read_text, read_yaml

# Ten lists of ten lists of ten …: 10^9 values in a few hundred characters.
BOMB = 'a: &a [1,1,1,1,1,1,1,1,1,1]\n' + ''.join(
    f'{one}: &{one} [{",".join(["*" + before] * 10)}]\n'
    for before, one in zip('abcdefgh', 'bcdefghi')
)


def test_text_json_and_yaml_are_read(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes(b'\xef\xbb\xbf{"a": ["\xc3\xa9", 1.5, null]}\n')
    assert read_text(path, DatasetError) == '{"a": ["é", 1.5, null]}\n'
    assert read_json(path, DatasetError) == read_yaml(path, DatasetError) == {'a': ['é', 1.5, None]}
    path.write_text('base: &base {x: 1}\none: {<<: *base, y: 2}\ntwo: *base\n')
    assert read_mapping(path, ConfigError)['one'] == {'x': 1, 'y': 2}


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'\xff\xfea\0', "can't decode byte 0xff"),
        (b'a\0b', 'holds a NUL character'),
        (b'a: [', 'cannot be read as YAML'),
        (b'', 'holds NoneType: expected names with values'),
        (b'null', 'holds NoneType: expected names with values'),
        (b'- 1', 'holds list: expected names with values'),
        (BOMB.encode(), 'e\\+0[0-9] values, at most'),
        (b'a: &a [*a]', 'inf values, at most'),
        (b'a: &a {b: *a}', 'inf values, at most'),
        (b'[' * 1500, 'nested too deeply'),
        (b'a: 1\nb: {c: 1,\n c: 2}', 'line 3 repeats the name c'),
        (b'a: 2026-13-45', 'month must be in 1..12'),
        (b'a: !!python/object:os.system {}', 'could not determine a constructor'),
        (b'a: !!int ""', 'cannot be read as YAML'),
        (b'? {}\n: 1', 'unhashable key'),
        (b'a: ' + b'9' * 5000, 'cannot be read as YAML'),
        (b'a: "' + b'x' * YAML_BYTES + b'"', '1 MB, at most 1 MB'),
    ],
    ids=lambda one: str(one)[:20],
)
def test_what_is_no_configuration_is_one_line(tmp_path, content, said):
    path = tmp_path / 'it.yaml'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f'it.yaml.*{said}') as caught:
        read_mapping(path, ConfigError)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['', '{"a": ', '[' * 100_000, '9' * 5000, '{"a": 1}x'])
def test_what_is_no_json_is_one_line(tmp_path, content):
    path = tmp_path / 'it.json'
    path.write_text(content)
    with pytest.raises(DatasetError, match='it.json cannot be read as JSON') as caught:
        read_json(path, DatasetError)
    assert '\n' not in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path, why in ((tmp_path / 'pipe', 'not a regular file'), (tmp_path, 'Is a directory')):
        with pytest.raises(DatasetError, match=f'cannot be read .{why}'):
            read_text(path, DatasetError)
    with pytest.raises(DatasetError, match='No such file'):
        read_text(tmp_path / 'nowhere', DatasetError)
