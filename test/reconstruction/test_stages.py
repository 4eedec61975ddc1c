"""What a reconstruction has found is kept, and read back bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lone_parts import lone_scenes, rests, stepped_block

from insegan_ros.errors import DatasetError
from insegan_ros.reconstruction.clusters import cluster_of
from insegan_ros.reconstruction.fields import lattice, make_shape
from insegan_ros.reconstruction.linking import joined_all
from insegan_ros.reconstruction.pipeline import find_views
from insegan_ros.reconstruction.stages import (
    Packed,
    Stages,
    fingerprint,
    pack_clusters,
    pack_linked,
    pack_views,
    unpack_clusters,
    unpack_linked,
    unpack_views,
)


def never() -> None:
    raise AssertionError('the stage was there')


def packed(value: str) -> Packed:
    return Packed({'x': torch.zeros(1)}, value)


def test_two_reconstructions_at_once_are_not_mixed(tmp_path):
    """Both begin while the folder is empty; the second finds what it would keep to be another's,
    while that runs and after it has ended."""
    folder = tmp_path / 'stages'
    other = f"""
from pathlib import Path
from test_stages import Stages, packed
stages = Stages(Path({str(folder)!r}), {{'seed': 1}})
stages.keep('views', lambda: 'other', packed, lambda one: one.rest)
print('kept', flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, '-c', other],
        cwd=Path(__file__).parent,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def overtaken() -> str:
        assert process.stdout.readline() == 'kept\n'
        return 'mine'

    mine = Stages(folder, {'seed': 2})
    with pytest.raises(DatasetError, match='is being written by another process'):
        mine.keep('views', overtaken, packed, lambda one: one.rest)
    process.communicate('\n', timeout=60)
    with pytest.raises(DatasetError, match='was begun with other data'):
        mine.keep('views', never, packed, lambda one: one.rest)
    late = Stages(tmp_path / 'late', {'seed': 2})

    def ended() -> str:
        Stages(tmp_path / 'late', {'seed': 1}).keep('views', lambda: 'other', packed, never)
        return 'mine'

    with pytest.raises(DatasetError, match='was begun with other data'):
        late.keep('views', ended, packed, lambda one: one.rest)


def test_views_poses_and_links_come_back_as_they_were(tmp_path):
    stages = Stages(tmp_path / 'stages', {'seed': 3})
    scenes = lone_scenes(stepped_block(), rests((0, 0, 0), (180, 0, 0)), 4)
    views, noise_m = stages.keep('views', lambda: find_views(scenes, 4), pack_views, unpack_views)
    again, same_noise = Stages(tmp_path / 'stages', {'seed': 3}).keep(
        'views', never, pack_views, unpack_views
    )
    assert len(views) == len(again) == 4 and noise_m == same_noise
    for one, other in zip(views, again):
        assert torch.equal(one.picture, other.picture) and torch.equal(one.points, other.points)
        assert (one.camera_from_view == other.camera_from_view).all()
        assert (one.scene, one.corner, one.intrinsics) == (
            other.scene,
            other.corner,
            other.intrinsics,
        )
        assert (one.floor_m, one.ground_m) == (other.floor_m, other.ground_m)

    nodes = lattice(0.06)
    shapes = [make_shape(view.bound(nodes), view.points, 0.06) for view in views]
    still = torch.eye(3).repeat(2, 1, 1), torch.zeros(2, 3)
    clusters = [cluster_of(views, shapes, pair, *still) for pair in ((0, 2), (1, 3))]
    linked = [joined_all(clusters, *still, slack_m=0.001)]
    for _ in range(2):
        same = stages.keep(
            'poses',
            lambda: clusters,
            pack_clusters,
            lambda packed: unpack_clusters(packed, views, shapes),
        )
        links = stages.keep(
            'linking',
            lambda: linked,
            pack_linked,
            lambda packed: unpack_linked(packed, same, 0.001),
        )
    assert [one.members for one in same] == [(0, 2), (1, 3)]
    assert all(torch.equal(a.shape.table, b.shape.table) for a, b in zip(same, clusters))
    assert torch.equal(links[0].shape.table, linked[0].shape.table)
    assert links[0].energy == linked[0].energy


def numbers(packed: Packed) -> int:
    return packed.rest


def test_what_is_of_other_data_or_broken_is_said(tmp_path):
    folder = tmp_path / 'part/stages'
    keep = ('count', lambda: 7, lambda value: Packed({'x': torch.zeros(1)}, value), numbers)
    assert Stages(folder, {'data': 'a'}).keep(*keep) == 7
    with pytest.raises(DatasetError, match='part was begun with other data or other options'):
        Stages(folder, {'data': 'b'}).keep(*keep)
    (folder / 'count.safetensors').write_bytes(b'half a file')
    with pytest.raises(DatasetError, match='count.safetensors cannot be continued from') as error:
        Stages(folder, {'data': 'a'}).keep(*keep)
    assert '\n' not in str(error.value)
    assert Stages(None, {}).keep(*keep) == 7


def test_a_fingerprint_is_of_what_a_folder_holds(tmp_path):
    for name, floor in (('a', '0.50'), ('b', '0.50'), ('c', '0.51')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'workspace.yaml').write_text(f'floor: {floor}')
    a, b, c = (fingerprint(tmp_path / name) for name in 'abc')
    assert a == b != c
