"""A file of height maps says what the shards say; a recording gives its different pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from recorded_piles import write_piles

from insegan_ros.data.height_maps import HeightMaps, joined, read_height_maps, write_height_maps
from insegan_ros.data.shards import ShardDataset, ShardInfo, pack_shard, shard_path
from insegan_ros.errors import DatasetError
from insegan_ros.files import write_whole
from insegan_ros.workspace import Workspace
from insegan_sim.scenes import bin_setup, scene_stream


def test_the_file_says_what_the_shards_say(nut_data, tmp_path):
    assert write_height_maps(nut_data, tmp_path / 'nut.h5', 64, truth=True) == 6
    shards, file = (
        read_height_maps(source, 64, truth=True) for source in (nut_data, tmp_path / 'nut.h5')
    )
    assert (
        np.abs(shards.heights_m - file.heights_m).max() <= 0.5e-4 + 1e-7
        and file.heights_m.max() > 0.02
    )
    assert (file.part, file.pixel_m, file.fingerprint) == (
        shards.part,
        shards.pixel_m,
        shards.fingerprint,
    )
    assert (file.labels == shards.labels).all() and np.array_equal(file.centres, shards.centres)
    assert len(read_height_maps(tmp_path / 'nut.h5', 64, limit=2).heights_m) == 2
    assert (tmp_path / 'nut.h5').stat().st_size < sum(
        path.stat().st_size for path in nut_data.glob('*.h5')
    ) / 3


def test_labels_lie_on_what_stands_up_and_centres_in_the_middle(nut_data):
    maps = read_height_maps(nut_data, 64, truth=True)
    assert (maps.heights_m[maps.labels > 0] > 0.002).mean() > 0.97
    seen = 0
    for scene, labels, centres in zip(ShardDataset(nut_data), maps.labels, maps.centres):
        for part in range(5):
            own = np.argwhere(labels == part + 1)[:, ::-1]
            if scene.truth.amodal[part].sum() == (scene.truth.labels == part + 1).sum():
                seen += 1
                assert np.abs(own.mean(0) - centres[part]).max() < 1.0
    assert seen >= 3


def test_files_that_hold_something_else_are_refused(nut_data, tmp_path):
    write_height_maps(nut_data, tmp_path / 'nut.h5', 64)
    with pytest.raises(DatasetError, match='holds no labels'):
        read_height_maps(tmp_path / 'nut.h5', 64, truth=True)
    with pytest.raises(DatasetError, match='expected 32 x 32'):
        read_height_maps(tmp_path / 'nut.h5', 32)
    whole = (tmp_path / 'nut.h5').read_bytes()
    (tmp_path / 'cut.h5').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match='cut short or damaged'):
        read_height_maps(tmp_path / 'cut.h5', 64)
    with pytest.raises(DatasetError, match='holds no height maps'):
        read_height_maps(next(nut_data.glob('*.h5')), 64)


def test_training_reads_the_different_pictures_of_a_recording(tmp_path, capsys):
    floor = np.zeros((48, 64), np.float32)

    def pile(*places: tuple[int, int], height: float = 0.03) -> np.ndarray:
        out = floor.copy()
        for x, y in places:
            out[y : y + 8, x : x + 8] = height
        return out

    noise = np.random.default_rng(0).normal(0, 5e-4, (48, 64))
    arm = pile((10, 10))
    arm[:, 30:40] = 0.2
    # Less than half of it is read, and of the last more.
    blind, last = pile((10, 10)), pile((20, 30))
    blind[:, 28:], last[:, 44:] = np.nan, np.nan
    piles = [
        pile((10, 10), (30, 20)),
        pile((10, 10), (30, 20)) + noise,
        pile((10, 10), (40, 20)),
        arm,
        floor,
        blind,
        last,
    ]
    workspace = Workspace((0.0, 0.0, -1.0, 0.5), (-0.24, -0.18, 0.24, 0.18))
    write_piles(tmp_path / 'bag', piles, workspace)
    maps = read_height_maps(tmp_path / 'bag', 64)
    said = capsys.readouterr().out
    assert len(maps.heights_m) == 3 and maps.part == 'bag'
    assert (
        '7 frames; 1 nearly equal to the one before, 1 without readings, 1 of an empty bin, 1 with'
        ' something tall in view; 3 are left, 100 or more are advised' in said
    )
    assert np.allclose(maps.heights_m.max((1, 2)), 0.03, atol=2e-3)
    write_piles(tmp_path / 'other', piles, None)
    with pytest.raises(
        DatasetError, match='it is not known where the bin is: expected --workspace'
    ):
        read_height_maps(tmp_path / 'other', 64)
    assert len(read_height_maps(tmp_path / 'other', 64, workspace=workspace).heights_m) == 3
    write_piles(tmp_path / 'empty', [floor, floor + 0.001], workspace)
    with pytest.raises(DatasetError, match='shows no parts in the bin'):
        read_height_maps(tmp_path / 'empty', 64)
    with pytest.raises(DatasetError, match='is a recording: expected labelled shards'):
        read_height_maps(tmp_path / 'bag', 64, truth=True)


def test_counts_of_parts_travel_with_the_maps(tmp_path):
    setup = replace(bin_setup('nut'), count=(1, 3))
    scenes = [scene for scene, _ in zip(scene_stream(setup), range(4))]
    folder = tmp_path / 'set'
    write_whole(shard_path(folder, 0), pack_shard(scenes, ShardInfo(('nut',), 0, 0)))
    expected = [len(scene.labelled()) for scene in scenes]
    maps = read_height_maps(folder, 32)
    assert maps.counts.tolist() == expected and len(set(expected)) > 1
    assert maps.chosen(np.array([False, True, True, False])).counts.tolist() == expected[1:3]
    write_height_maps(folder, tmp_path / 'maps.h5', 32)
    assert read_height_maps(tmp_path / 'maps.h5', 32).counts.tolist() == expected


def test_sets_are_joined_and_what_all_of_them_know_is_kept():
    """Of two and of three parts at most, a metre a pixel on average."""

    def maps(number: int, slots: int, known: bool = True) -> HeightMaps:
        return HeightMaps(
            np.full((number, 4, 4), slots / 100, np.float32),
            0.9 + 0.2 * (slots == 3),
            'nut',
            f'print {slots}',
            np.full((number, 4, 4), slots, np.uint16) if known else None,
            np.full((number, slots, 2), 1.5, np.float32) if known else None,
        )

    both = joined([maps(2, 2), maps(1, 3)])
    assert both.heights_m[:, 0, 0] == pytest.approx([0.02, 0.02, 0.03])
    assert both.pixel_m == pytest.approx(1.0) and both.part == 'nut'
    assert both.labels[:, 0, 0].tolist() == [2, 2, 3] and both.centres.shape == (3, 3, 2)
    assert both.centres[0].tolist() == [[1.5, 1.5], [1.5, 1.5], [0, 0]]
    assert both.fingerprint != joined([maps(1, 3), maps(2, 2)]).fingerprint
    some = joined([maps(2, 2), maps(1, 3, known=False)])
    assert some.labels is some.centres is None and len(some.heights_m) == 3
