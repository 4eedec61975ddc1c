"""`insegan reconstruct` on a recording whose bin is given beside it."""

from __future__ import annotations

import pytest
from lone_parts import lone_scenes, rests, stepped_block
from shell import command

from insegan_ros.data.recording_writer import RecordingWriter
from insegan_ros.workspace import write_workspace


@pytest.fixture
def recording(tmp_path):
    """Six pictures of a lone block, and the bin's file beside the recording."""
    scenes = lone_scenes(stepped_block(), rests((0, 0, 0), (90, 0, 0)), 6)
    with RecordingWriter(tmp_path / 'recording') as writer:
        for scene in scenes:
            writer.add(scene.frame)
    write_workspace(scenes[0].require_workspace(), tmp_path / 'bin.yaml')
    return tmp_path / 'recording'


def test_a_recording_needs_its_bin(recording, tmp_path, capsys):
    assert command('reconstruct', '--data', recording, '--out', tmp_path / 'part') == 2
    assert '--workspace' in capsys.readouterr().err and not (tmp_path / 'part').exists()


def test_what_was_found_is_kept_for_the_same_command(recording, tmp_path, capsys):
    out = tmp_path / 'part'
    asked = ('reconstruct', '--data', recording, '--workspace', tmp_path / 'bin.yaml', '--out', out)
    for _ in range(2):
        assert command(*asked) == 2
        assert '6 views of parts that lie alone were found' in capsys.readouterr().err
        assert [one.name for one in (out / 'stages').iterdir()] == ['views.safetensors']
    assert command(*asked, '--seed', '5') == 2
    assert 'was begun with other data or other options' in capsys.readouterr().err
    assert command(*asked, '--views', '19') == 2
    assert '--views is 19: expected at least 20' in capsys.readouterr().err
