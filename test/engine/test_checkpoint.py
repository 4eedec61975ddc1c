"""Checkpoints come back, and say what is wrong with them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from insegan_ros.engine.checkpoint import WITHOUT_CHECKSUM, Checkpoint
from insegan_ros.engine.checksum import checksum
from insegan_ros.errors import CheckpointError, InseganWarning
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig


def test_everything_comes_back(small_checkpoint):
    loaded = Checkpoint.load(small_checkpoint)
    assert (
        loaded.part == 'nut' and loaded.scales.height_m == 0.09 and loaded.training == {'seed': 3}
    )
    network = loaded.restore('offsets', lambda: OffsetNet(OffsetNetConfig(8, 2)))
    assert all(np.isfinite(p.detach()).all() for p in network.parameters()) and not network.training


@pytest.mark.parametrize('share', [0.0, 0.2, 0.95])
def test_a_truncated_checkpoint_says_so(small_checkpoint, share):
    path = small_checkpoint / 'weights.safetensors'
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match='cut short or damaged'):
        Checkpoint.load(small_checkpoint)


def test_a_foreign_checkpoint_is_refused(tmp_path):
    save_file({'a': torch.zeros(2)}, tmp_path / 'weights.safetensors')
    with pytest.raises(CheckpointError, match='not an insegan checkpoint'):
        Checkpoint.load(tmp_path)


def test_a_network_that_was_not_trained_is_named(small_checkpoint):
    loaded = Checkpoint.load(small_checkpoint)
    with pytest.raises(CheckpointError, match='holds offsets but no encoder'):
        loaded.restore('encoder', lambda: torch.nn.Linear(1, 1))


def test_any_flipped_byte_is_noticed(small_checkpoint):
    path = small_checkpoint / 'weights.safetensors'
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(40):
        place = rng.randrange(len(whole))
        flipped = bytes([whole[place] ^ rng.randrange(1, 256)])
        path.write_bytes(whole[:place] + flipped + whole[place + 1 :])
        with pytest.raises(CheckpointError, match='damaged|not an insegan'):
            Checkpoint.load(small_checkpoint)
    path.write_bytes(whole)
    assert Checkpoint.load(small_checkpoint).part == 'nut'


def rewritten(folder, head=None, weights=None, version=2):
    """The checkpoint with another head and other weights, its checksum right: nobody's accident."""
    path = folder / 'weights.safetensors'
    with safe_open(path, 'pt') as file:
        meta, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    told = json.loads(meta['head'])
    (head or (lambda _: None))(told)
    (weights or (lambda _: None))(tensors)
    text = json.dumps(told)
    sealed = {'format': 'insegan-checkpoint-2', 'head': text, 'sha256': checksum(text, tensors)}
    if version == 1:
        sealed = {'format': WITHOUT_CHECKSUM, 'head': text}
    save_file(tensors, path, sealed)
    return folder


def test_one_of_an_earlier_version_is_loaded_and_said_to_be_unchecked(small_checkpoint):
    before = Checkpoint.load(small_checkpoint)
    rewritten(small_checkpoint, version=1)
    with pytest.warns(InseganWarning, match='has no checksum'):
        after = Checkpoint.load(small_checkpoint)
    assert after.config == before.config and after.scales == before.scales
    for name, value in before.weights['offsets'].items():
        assert torch.equal(value, after.weights['offsets'][name])


def put(*path_and_value):
    """A change of a head: the value at a path of names."""
    *path, last, value = path_and_value

    def change(head):
        for name in path:
            head = head[name]
        head[last] = value

    return change


NETWORK = ('config', 'offsets', 'network')


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (put(*NETWORK, 'width', 80_000), 'weights of offsets do not fit.*by its configuration'),
        (put(*NETWORK, 'width', 'wide'), 'cannot be used because of its offsets.network'),
        (put(*NETWORK, 'width', -8), 'weights of offsets do not fit|cannot be used'),
        (put(*NETWORK, 'levels', 10**9), 'cannot be used because of its offsets.network'),
        (put('config', 'offsets', 'network', [1]), 'cannot be used because of its offsets.network'),
        (put('config', 'offsets', None), 'cannot be used because of its offsets.network'),
        (put('config', []), 'config is list, not dict'),
        (put('config', 'votes', {'min_votes': 'few'}), 'cannot be used because of its votes'),
        (put('scales', 'height_m', -0.09), 'height_m is -0.09'),
        (put('scales', 'pixel_m', float('nan')), 'pixel_m is nan'),
        (put('scales', 'pixel_m', '0.003'), "pixel_m is '0.003'"),
        (put('scales', 'pixel_m', 0.0), 'cannot be used because of its scales'),
        (put('scales', {}), 'damaged'),
        (put('training', 3), 'training is int, not dict'),
        (put('method', ['cutpaste']), 'method is list, not str'),
        (put('segmenter', None), 'segmenter is NoneType, not str'),
        (lambda head: head.pop('part'), "damaged .*'part'"),
    ],
)
def test_a_head_that_cannot_be_is_one_line(change, said, small_checkpoint):
    with pytest.raises(CheckpointError, match=said) as caught:
        load_segmenter(str(rewritten(small_checkpoint, change)), device='cpu')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('the first', None, 'by its configuration and missing in the file'),
        ('a bias', torch.tensor([torch.nan] * 5).half(), 'weights that are not numbers'),
        ('a bias', torch.zeros(3).half(), 'do not fit its configuration'),
        ('nameless', torch.zeros(3).half(), 'damaged'),
    ],
)
def test_weights_that_cannot_be_are_one_line(name, value, said, small_checkpoint):
    def change(tensors):
        if value is None:
            tensors.pop(sorted(tensors)[0])
        elif name == 'a bias':
            tensors[[key for key in sorted(tensors) if key.endswith('bias')][-1]] = value
        else:
            tensors[name] = value

    with pytest.raises(CheckpointError, match=said) as caught:
        load_segmenter(str(rewritten(small_checkpoint, weights=change)), device='cpu')
    assert '\n' not in str(caught.value)
