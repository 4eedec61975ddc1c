"""Shards of scenes: everything survives, what is damaged is named."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.data.shards import ShardDataset, ShardInfo, pack_shard
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.files import write_whole
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.workspace import Workspace


def test_scenes_come_back_with_masks_poses_and_metres(nut_data):
    dataset = ShardDataset(nut_data)
    scenes = list(dataset)
    assert len(dataset) == len(scenes) == 6 and dataset.part == 'nut'
    scene = scenes[0]
    frame, truth = scene.frame, scene.labelled()
    assert frame.depth_m.dtype == np.float32 and len(truth) == 5 and truth.classes == ('nut',) * 5
    inside = scene.workspace.contains(frame.points())
    assert np.median(frame.depth_m[(truth.labels == 0) & inside]) == pytest.approx(
        scene.workspace.floor_distance_m, abs=2e-4
    )
    part_height = scene.workspace.floor_distance_m - frame.depth_m[truth.labels == 1]
    assert part_height.min() > 0 and part_height.max() < 0.2
    assert (truth.amodal[truth.labels[truth.labels > 0] - 1, *np.nonzero(truth.labels)]).all()
    assert (visible_fractions(truth) <= 1).all()


def hand_made(
    count: int, classes: tuple[str, ...] | None = ('a', 'b'), colour: bool = True
) -> Scene:
    rng = np.random.default_rng(count)
    labels = np.zeros((20, 30), np.uint16)
    for number in range(count):
        labels[2 * number : 2 * number + 2] = number + 1
    depth = rng.uniform(0.4, 0.6, (20, 30)).round(4).astype(np.float32)
    depth[0, 0] = np.nan
    amodal = (
        np.stack([labels == number + 1 for number in range(count)])
        if count
        else np.zeros((0, 20, 30), bool)
    )
    names = tuple(classes[number % len(classes)] for number in range(count)) if classes else None
    frame = Frame(
        depth,
        Intrinsics(100.0 + count, 101.0, 14.5, 9.5, 30, 20),
        rng.integers(0, 255, (20, 30, 3), np.uint8) if colour else None,
    )
    truth = Instances(
        labels,
        np.ones(count, np.float32),
        names,
        rng.normal(size=(count, 4, 4)).astype(np.float32),
        amodal,
    )
    return Scene(
        frame,
        truth,
        Workspace((0.0, 0.0, -1.0, 0.6), (-0.1, -0.1, 0.1, 0.1)),
        tuple(dict.fromkeys(names or ())),
    )


def test_everything_in_a_scene_survives(tmp_path):
    scenes = [hand_made(count) for count in (3, 0, 5)]
    write_whole(
        tmp_path / 'scenes-00000.h5', pack_shard(scenes, ShardInfo(('a', 'b'), 4, 0, {'lost': 2}))
    )
    dataset = ShardDataset(tmp_path)
    assert dataset.infos[0].rejected == {'lost': 2} and dataset.quality() is None
    for before, after in zip(scenes, dataset):
        assert np.allclose(before.frame.depth_m, after.frame.depth_m, atol=1e-6, equal_nan=True)
        assert (
            np.array_equal(before.frame.colour, after.frame.colour)
            and before.frame.intrinsics == after.frame.intrinsics
        )
        assert (
            before.workspace == after.workspace
            and before.present == after.present
            and before.truth.classes == after.truth.classes
        )
        for name in ('labels', 'poses', 'amodal'):
            assert np.array_equal(getattr(before.truth, name), getattr(after.truth, name))


@pytest.mark.parametrize('order', [(3, 0, 2), (0, 3, 2), (0, 2, 3), (3, 2, 0), (2, 3, 0), (3,)])
@pytest.mark.parametrize('known', [2, 9])
def test_whole_masks_that_are_not_known_stay_unknown_beside_others(tmp_path, order, known):
    """Of three parts, and of two unless they are `known`; an empty bin hides nothing."""
    scenes = [hand_made(count) for count in order]
    scenes = [
        replace(one, truth=replace(one.truth, amodal=None))
        if len(one.truth) not in (0, known)
        else one
        for one in scenes
    ]
    write_whole(tmp_path / 'scenes-00000.h5', pack_shard(scenes, ShardInfo(('a', 'b'), 0, 0)))
    for before, after in zip(scenes, ShardDataset(tmp_path)):
        if len(before.truth):
            assert np.array_equal(before.truth.amodal, after.truth.amodal)
        assert np.array_equal(before.truth.labels, after.truth.labels)


@pytest.mark.parametrize(
    ('walls', 'columns'),
    [
        ({}, 8),
        ({'bounds_turn_deg': 5.0, 'wall_noise_m': 0.001}, 10),
        ({'corner_radius_m': 0.02, 'foot_radius_m': 0.01, 'wall_slope_deg': 3.0}, 13),
    ],
)
def test_bins_of_every_kind_survive(walls, columns, tmp_path):
    plain = hand_made(1)
    workspace = replace(plain.workspace, **walls)
    some = [replace(plain, workspace=one) for one in (workspace, None)]
    write_whole(tmp_path / 'scenes-00000.h5', pack_shard(some, ShardInfo(('a', 'b'), 0, 0)))
    with h5py.File(tmp_path / 'scenes-00000.h5') as file:
        assert file['workspaces'].shape == (2, columns)
    assert [scene.workspace for scene in ShardDataset(tmp_path)] == [workspace, None]


def test_a_heap_of_hundreds_keeps_every_label(tmp_path):
    count = 300
    labels = np.repeat(np.arange(1, count + 1, dtype=np.uint16), 4).reshape(30, 40)
    truth = Instances(labels, np.ones(count, np.float32), ('a',) * count)
    frame = Frame(np.full((30, 40), 0.5, np.float32), Intrinsics(100.0, 100.0, 19.5, 14.5, 40, 30))
    scene = Scene(frame, truth, Workspace((0.0, 0.0, -1.0, 0.6)), ('a',))
    write_whole(tmp_path / 'scenes-00000.h5', pack_shard([scene], ShardInfo(('a',), 0, 0)))
    (shown,), _ = ShardDataset(tmp_path).truth_maps(40)
    assert np.array_equal(shown[:30], labels) and not shown[30:].any()


def test_the_same_scenes_make_the_same_bytes():
    assert pack_shard([hand_made(2)], ShardInfo(('a', 'b'), 0, 0)) == pack_shard(
        [hand_made(2)], ShardInfo(('a', 'b'), 0, 0)
    )


def test_scenes_that_cannot_share_a_shard_are_refused():
    with pytest.raises(DatasetError, match='cannot share a shard'):
        pack_shard([hand_made(2), replace(hand_made(2), truth=None)], ShardInfo(('a', 'b'), 0, 0))
    grey = hand_made(2)
    grey = replace(grey, frame=replace(grey.frame, colour=None))
    for pair in ([grey, hand_made(2)], [hand_made(2), grey]):
        with pytest.raises(DatasetError, match='with and without colour'):
            pack_shard(pair, ShardInfo(('a', 'b'), 0, 0))
    far = hand_made(1)
    far.frame.depth_m[5, 5] = 7.0
    with pytest.raises(DatasetError, match='depth goes up to 7.0 m'):
        pack_shard([far], ShardInfo(('a', 'b'), 0, 0))


def test_image_level_labels_have_no_masks(tmp_path):
    write_whole(
        tmp_path / 'scenes-00000.h5',
        pack_shard([replace(hand_made(3), truth=None)], ShardInfo(('a', 'b'), 0, 0)),
    )
    scene = next(iter(ShardDataset(tmp_path)))
    assert scene.truth is None and scene.present == ('a', 'b')
    with pytest.raises(InputError, match='image-level labels only'):
        scene.labelled()


def test_height_maps_read_no_label(nut_data, tmp_path):
    before, pixel_m = ShardDataset(nut_data).height_maps(64)
    for path in nut_data.glob('*.h5'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        with h5py.File(tmp_path / path.name, 'a') as file:
            for name in ('counts', 'labels', 'classes', 'poses', 'amodal', 'present', 'quality'):
                del file[name]
    # Not zeroed: gone.
    after = np.concatenate([_maps(path) for path in sorted(tmp_path.glob('*.h5'))])
    assert before.shape == (6, 64, 64) and before.max() > 0.02 and 0.002 < pixel_m < 0.004
    assert np.array_equal(before, after)


def _maps(path):
    folder = path.with_suffix('')
    folder.mkdir()
    (folder / path.name).write_bytes(path.read_bytes())
    return ShardDataset(folder).height_maps(64)[0]


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match='holds no scenes.*insegan simulate'):
        ShardDataset(tmp_path)
    with pytest.raises(DatasetError, match='holds no scenes'):
        ShardDataset(tmp_path / 'nowhere')


@pytest.mark.parametrize('share', [0.3, 0.9])
def test_a_shard_cut_short_is_named(nut_data, tmp_path, share):
    whole = (nut_data / 'scenes-00000.h5').read_bytes()
    (tmp_path / 'scenes-00000.h5').write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        DatasetError, match='scenes-00000.h5 cannot be read, it is cut short or damaged'
    ):
        ShardDataset(tmp_path)
    assert (tmp_path / 'scenes-00000.h5').exists()


def test_flipped_bytes_and_a_missing_shard_are_named(nut_data, tmp_path):
    whole = (nut_data / 'scenes-00000.h5').read_bytes()
    named = 0
    for seed in range(30):
        rng, damaged = np.random.default_rng(seed), bytearray(whole)
        for place in rng.integers(0, len(whole), 40):
            damaged[place] ^= 0xFF
        (tmp_path / 'scenes-00000.h5').write_bytes(damaged)
        try:
            list(ShardDataset(tmp_path))
        except DatasetError as error:
            named += 'scenes-00000.h5' in str(error)
    assert named > 15
    for number in (0, 2):
        (tmp_path / f'scenes-0000{number}.h5').write_bytes(whole)
    with pytest.raises(DatasetError, match='scenes-00001.h5 is missing between others'):
        ShardDataset(tmp_path)


def test_a_foreign_or_older_hdf5_file_is_refused(tmp_path):
    for format_name, words in (
        (None, 'not an insegan shard'),
        ('insegan-shard-1', 'made by an older version'),
    ):
        with h5py.File(tmp_path / 'scenes-00000.h5', 'w') as file:
            file['x'] = np.zeros(3)
            if format_name:
                file.attrs['format'] = format_name
        with pytest.raises(DatasetError, match=words):
            ShardDataset(tmp_path)


def test_shards_of_different_parts_or_sizes_are_not_one_set(tmp_path):
    write_whole(
        tmp_path / 'scenes-00000.h5', pack_shard([hand_made(2)], ShardInfo(('a', 'b'), 0, 0))
    )
    write_whole(
        tmp_path / 'scenes-00001.h5', pack_shard([hand_made(2)], ShardInfo(('a', 'b', 'c'), 0, 1))
    )
    with pytest.raises(DatasetError, match='expected the same parts and one picture size'):
        ShardDataset(tmp_path)


def damage(change, tmp_path):
    """A shard of two scenes, of five instances at most, after a change of its file."""
    path = tmp_path / 'scenes-00000.h5'
    write_whole(path, pack_shard([hand_made(2), hand_made(5)], ShardInfo(('a', 'b'), 0, 0)))
    with h5py.File(path, 'a') as file:
        change(file, tmp_path)
    return tmp_path


def replaced(name, values, **options):
    def change(file, folder):
        del file[name]
        file.create_dataset(name, data=values, **options)

    return change


def sparse(file, folder):
    del file['depth']
    file.create_dataset('depth', (2, 30000, 30000), 'u2', chunks=(1, 300, 300))


def many_counts(file, folder):
    file['counts'][1] = 10**9


def elsewhere(file, folder):
    with h5py.File(folder / 'other.h5', 'w') as other:
        other['depth'] = file['depth'][:]
    del file['depth']
    file['depth'] = h5py.ExternalLink('other.h5', 'depth')


def raw_bytes(file, folder):
    (folder / 'secret').write_bytes(b'x' * 2400)
    del file['depth']
    file.create_dataset('depth', (2, 20, 30), 'u2', external=[(folder / 'secret', 0, 2400)])


def virtual(file, folder):
    del file['depth']
    layout = h5py.VirtualLayout((2, 20, 30), 'u2')
    layout[:] = h5py.VirtualSource(folder / 'other.h5', 'depth', (2, 20, 30))
    file.create_virtual_dataset('depth', layout)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (many_counts, 'counts go from 2 to 1000000000, with room for 5'),
        (replaced('counts', np.array([-1, 5], np.int32)), 'counts go from -1'),
        (replaced('counts', np.array([2.0, 5.0])), 'counts is float64'),
        (replaced('labels', np.full((2, 20, 30), 9, np.uint16)), 'labels go up to 9'),
        (replaced('labels', np.zeros((2, 20, 31), np.uint16)), 'labels is uint16 of shape'),
        (replaced('poses', np.zeros((2, 3, 4, 4), np.float32)), 'poses is float32 of shape'),
        (replaced('classes', np.full((2, 5), 7, np.int16)), 'tuple index out of range'),
        (replaced('cameras', np.zeros((2, 4))), 'expected positive focal lengths'),
        (replaced('workspaces', np.full((2, 8), np.inf)), 'damaged'),
        (replaced('depth', np.zeros((2, 20), np.uint16)), 'not enough values'),
        (replaced('present', np.array(['x', 'y'], 'S1')), 'present'),
        (sparse, 'depth claims shape .2, 30000, 30000. but fills 0 bytes'),
        (elsewhere, 'depth is not an array in the file itself'),
        (raw_bytes, 'depth is not an array in the file itself'),
        (virtual, 'depth is not an array in the file itself'),
        (lambda file, _: file.create_group('more'), 'more is not an array in the file itself'),
        (lambda file, _: file.attrs.update(info='[' * 100_000), 'nested too deeply'),
        (lambda file, _: file.attrs.update(info='null'), 'damaged'),
    ],
)
def test_a_shard_that_cannot_be_is_one_line(change, said, tmp_path):
    folder = damage(change, tmp_path)
    with pytest.raises(DatasetError, match=f'scenes-00000.h5 cannot be read.*{said}') as caught:
        list(ShardDataset(folder))
    assert '\n' not in str(caught.value)
