"""Checkpoints come back, and say what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig


def test_everything_comes_back(small_checkpoint):
    loaded = Checkpoint.load(small_checkpoint)
    assert (
        loaded.part == 'nut' and loaded.scales.height_m == 0.09 and loaded.training == {'seed': 3}
    )
    network = loaded.restore('offsets', OffsetNet(OffsetNetConfig(8, 2)))
    assert all(np.isfinite(p.detach()).all() for p in network.parameters()) and not network.training


@pytest.mark.parametrize('share', [0.0, 0.2, 0.95])
def test_a_truncated_checkpoint_says_so(small_checkpoint, share):
    path = small_checkpoint / 'weights.safetensors'
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match='cut short or damaged'):
        Checkpoint.load(small_checkpoint)


def test_a_foreign_checkpoint_is_refused(tmp_path):
    save_file({'a': torch.zeros(2)}, tmp_path / 'weights.safetensors')
    with pytest.raises(CheckpointError, match='no checkpoint of ours'):
        Checkpoint.load(tmp_path)


def test_a_network_that_was_not_trained_is_named(small_checkpoint):
    loaded = Checkpoint.load(small_checkpoint)
    with pytest.raises(CheckpointError, match='holds offsets but no encoder'):
        loaded.restore('encoder', torch.nn.Linear(1, 1))
