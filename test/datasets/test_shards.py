import h5py
import numpy as np
import pytest

from insegan_ros.datasets.shards import ShardDataset
from insegan_ros.errors import DatasetError


def test_scenes_come_back_with_masks_poses_and_metres(nut_data):
    dataset = ShardDataset(nut_data)
    scenes = list(dataset)
    assert len(dataset) == len(scenes) == 6
    frame, truth = scenes[0]
    assert frame.depth_m.dtype == np.float32 and truth.labels.max() == 5
    floor = frame.depth_m[truth.labels == 0]
    assert np.median(floor) == pytest.approx(dataset.workspace.floor_distance_m, abs=2e-4)
    part_height = dataset.workspace.floor_distance_m - frame.depth_m[truth.labels == 1]
    assert part_height.min() > 0 and part_height.max() < 0.2


def test_height_maps_read_no_label(nut_data, tmp_path):
    before, pixel_m = ShardDataset(nut_data).height_maps(64)
    for path in nut_data.glob('*.h5'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        with h5py.File(tmp_path / path.name, 'a') as file:
            file['labels'][...] = 0
            file['poses'][...] = 0
    after, _ = ShardDataset(tmp_path).height_maps(64)
    assert before.shape == (6, 64, 64) and before.max() > 0.02 and 0.003 < pixel_m < 0.004
    assert np.array_equal(before, after)


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match='holds no scenes.*insegan simulate'):
        ShardDataset(tmp_path)
    with pytest.raises(DatasetError, match='holds no scenes'):
        ShardDataset(tmp_path / 'nowhere')


@pytest.mark.parametrize('share', [0.3, 0.9])
def test_a_shard_cut_short_is_named(nut_data, tmp_path, share):
    whole = (nut_data / 'scenes-00000.h5').read_bytes()
    (tmp_path / 'scenes-00000.h5').write_bytes(whole[:int(len(whole) * share)])
    with pytest.raises(DatasetError, match='scenes-00000.h5 cannot be read, it is cut short or damaged'):
        ShardDataset(tmp_path)
    assert (tmp_path / 'scenes-00000.h5').exists()


def test_a_foreign_hdf5_file_is_refused(tmp_path):
    with h5py.File(tmp_path / 'scenes-00000.h5', 'w') as file:
        file['x'] = np.zeros(3)
    with pytest.raises(DatasetError, match='no shard of ours'):
        ShardDataset(tmp_path)
