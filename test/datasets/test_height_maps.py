"""One small file trains like the shards it was made from."""

from dataclasses import replace

import numpy as np
import pytest

from insegan_ros.cli.main import main
from insegan_ros.data.height_maps import read_height_maps, write_height_maps
from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import DatasetError


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
    assert len(read_height_maps(tmp_path / 'nut.h5', 64, most=2).heights_m) == 2
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


def test_the_command_writes_it_and_never_over_it(nut_data, tmp_path, capsys):
    assert main(['dataset', 'heights', str(nut_data), str(tmp_path / 'nut.h5')]) == 0
    assert '6 height maps' in capsys.readouterr().out
    before = (tmp_path / 'nut.h5').read_bytes()
    assert main(['dataset', 'heights', str(nut_data), str(tmp_path / 'nut.h5')]) == 2
    assert (tmp_path / 'nut.h5').read_bytes() == before
    with pytest.raises(DatasetError, match='holds no labels'):
        read_height_maps(tmp_path / 'nut.h5', 64, truth=True)
    with pytest.raises(DatasetError, match='expected 32 x 32'):
        read_height_maps(tmp_path / 'nut.h5', 32)
    (tmp_path / 'cut.h5').write_bytes(before[: len(before) // 2])
    with pytest.raises(DatasetError, match='cut short or damaged'):
        read_height_maps(tmp_path / 'cut.h5', 64)
    with pytest.raises(DatasetError, match='holds no height maps'):
        read_height_maps(next(nut_data.glob('*.h5')), 64)


def test_a_training_reads_it(nut_data, tmp_path):
    from insegan_ros.engine.checkpoint import Checkpoint
    from insegan_ros.engine.loop import LoopConfig
    from insegan_ros.methods.baselines.supervised import TrainSupervisedConfig, train_supervised
    from insegan_ros.offsets.network import DisplacementConfig
    from insegan_ros.offsets.stage import DisplacementTrainConfig

    write_height_maps(nut_data, tmp_path / 'nut.h5', 64, truth=True)
    config = TrainSupervisedConfig(
        str(nut_data),
        str(tmp_path / 'a'),
        0,
        DisplacementTrainConfig(
            DisplacementConfig(8, 2), steps=3, batch=2, rounds=1, round_steps=2
        ),
        LoopConfig(device='cpu'),
    )
    one = Checkpoint.load(train_supervised(config))
    two = Checkpoint.load(
        train_supervised(replace(config, data=str(tmp_path / 'nut.h5'), out=str(tmp_path / 'b')))
    )
    assert one.training['data'] == '6 scenes with their true labels' and one.method == 'supervised'
    for name, value in one.weights['displacement'].items():
        assert np.allclose(value, two.weights['displacement'][name], atol=2e-2), name
