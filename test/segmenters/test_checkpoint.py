import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from insegan_ros.engine.checkpoint import Checkpoint, Scales
from insegan_ros.errors import CheckpointError, ConfigError
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.offsets.network import DisplacementConfig, DisplacementNet


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    network = DisplacementNet(DisplacementConfig(8, 2))
    saved = Checkpoint(
        'insegan',
        'displacement',
        'nut',
        Scales(0.0034, 0.09, 200.0, 8.0),
        {'displacement': {'network': {'width': 8, 'levels': 2}}},
        {'displacement': network.state_dict()},
        {'seed': 3},
    )
    saved.save(tmp_path / 'it')
    return tmp_path / 'it'


def test_everything_comes_back(checkpoint):
    loaded = Checkpoint.load(checkpoint)
    assert (
        loaded.part == 'nut' and loaded.scales.height_m == 0.09 and loaded.training == {'seed': 3}
    )
    network = loaded.restore('displacement', DisplacementNet(DisplacementConfig(8, 2)))
    assert all(np.isfinite(p.detach()).all() for p in network.parameters()) and not network.training


@pytest.mark.parametrize('share', [0.0, 0.2, 0.95])
def test_a_truncated_checkpoint_says_so(checkpoint, share):
    path = checkpoint / 'weights.safetensors'
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match='cut short or damaged'):
        Checkpoint.load(checkpoint)


def test_a_foreign_checkpoint_is_refused(tmp_path):
    save_file({'a': torch.zeros(2)}, tmp_path / 'weights.safetensors')
    with pytest.raises(CheckpointError, match='no checkpoint of ours'):
        Checkpoint.load(tmp_path)


def test_a_missing_checkpoint_names_what_there_is():
    with pytest.raises(CheckpointError, match='no checkpoint or method "insegan-sprocket".*kmeans'):
        load_segmenter('insegan-sprocket')


def test_an_unknown_segmenter_names_the_known_ones(checkpoint):
    with pytest.raises(
        ConfigError,
        match='unknown segmenter "magic": expected one of displacement, foreground, hoc, insegan',
    ):
        load_segmenter(str(checkpoint), 'magic')


@pytest.mark.parametrize(
    ('model', 'segmenter', 'way'),
    [
        ('hoc-nut', 'displacement', 'hoc'),
        ('insegan-nut', 'masks', 'displacement or insegan'),
        ('insegan-nut', 'hoc', 'displacement'),
        ('ccgr-mixed', 'insegan', 'masks'),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(model, segmenter, way):
    with pytest.raises(
        CheckpointError, match=f'{model} cannot be run as {segmenter}: expected {way}'
    ):
        load_segmenter(model, segmenter)


def test_a_method_without_a_checkpoint_takes_no_segmenter():
    with pytest.raises(ConfigError, match='kmeans, which needs no checkpoint'):
        load_segmenter('kmeans', 'insegan')


def test_a_network_that_was_not_trained_is_named(checkpoint):
    loaded = Checkpoint.load(checkpoint)
    with pytest.raises(CheckpointError, match='holds displacement but no encoder'):
        loaded.restore('encoder', torch.nn.Linear(1, 1))


def test_an_absent_gpu_is_said(checkpoint):
    with pytest.raises(ConfigError, match='device is "cuda:7"'):
        load_segmenter(str(checkpoint), device='cuda:7')
    with pytest.raises(ConfigError, match='expected auto, cpu, cuda'):
        load_segmenter(str(checkpoint), device='toaster')
