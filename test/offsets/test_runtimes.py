"""The dense network on ONNX Runtime in place of PyTorch."""

from __future__ import annotations

import builtins
from itertools import islice

import numpy as np
import pytest
import torch

from insegan_ros.errors import ConfigError
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.offsets import runtimes
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig
from insegan_ros.offsets.runtimes import OnnxNetwork, choose_runtime, difference_of
from insegan_sim.scenes import bin_setup, scene_stream

SHAPES = [
    OffsetNetConfig(8, 2),
    OffsetNetConfig(8, 3, height_votes=False),
    OffsetNetConfig(8, 2, cell=2),
    OffsetNetConfig(16, 2, channels=4, cell=3),
]


def network_of(shape: OffsetNetConfig = SHAPES[0]) -> OffsetNet:
    """One with random weights, also where norms begin with ones and zeros."""
    torch.manual_seed(0)
    network = OffsetNet(shape).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return network


@pytest.mark.parametrize('shape', SHAPES)
def test_every_shape_of_network_says_the_same(shape):
    pytest.importorskip('onnxruntime')
    network = network_of(shape)
    other = OnnxNetwork(network)
    assert difference_of(network, other) < 1e-3
    rows, columns = 3 * network.stride, 5 * network.stride
    picture = torch.zeros(1, shape.channels, rows, columns)
    assert other(picture).shape == (1, 4 + shape.height_votes, rows, columns)
    network.head.bias.data += 0.1
    assert difference_of(network, other) > 0.05, 'what differs is seen'


@pytest.mark.parametrize('model', ['cutpaste-nut', 'piles-bolt'])
def test_the_labels_of_bins_are_the_same(model):
    pytest.importorskip('onnxruntime')
    plain, other = (load_segmenter(model, device='cpu', runtime=name) for name in ('torch', 'onnx'))
    assert (plain.runtime, other.runtime) == ('torch', 'onnx')
    for scene in islice(scene_stream(bin_setup(plain.part, seed=77)), 2):
        ours, theirs = (one.segment(scene.frame, scene.workspace) for one in (plain, other))
        assert len(ours) == len(theirs) > 2
        assert (ours.labels != theirs.labels).sum() <= 2
        assert np.allclose(ours.scores, theirs.scores, atol=1e-3)


def test_auto_is_the_faster_one_that_says_the_same(monkeypatch):
    pytest.importorskip('onnxruntime')
    network = network_of()
    for winner, kind in ((OnnxNetwork, OnnxNetwork), (OffsetNet, OffsetNet)):
        monkeypatch.setattr(runtimes, '_seconds', lambda one, _, w=winner: not isinstance(one, w))
        assert isinstance(choose_runtime('auto', network), kind)
    monkeypatch.setattr(runtimes, '_seconds', lambda one, _: not isinstance(one, OnnxNetwork))
    monkeypatch.setattr(OnnxNetwork, '__call__', lambda self, image: network(image) + 1)
    assert choose_runtime('auto', network) is network
    with pytest.raises(ConfigError, match='differs from PyTorch by 1'):
        choose_runtime('onnx', network)
    with pytest.raises(ConfigError, match='runtime is "fast": expected auto, torch or onnx'):
        choose_runtime('fast', network)
    with pytest.raises(ConfigError, match='runtime is "fast"'):
        load_segmenter('kmeans', runtime='fast')  # which has no network


def test_without_onnxruntime_there_is_pytorch(monkeypatch):
    network, take = network_of(), builtins.__import__

    def missing(name, *rest):
        if name == 'onnxruntime':
            raise ImportError("No module named 'onnxruntime'")
        return take(name, *rest)

    monkeypatch.setattr(builtins, '__import__', missing)
    assert choose_runtime('auto', network) is network
    with pytest.raises(ConfigError, match=r"No module named 'onnxruntime': pip install"):
        choose_runtime('onnx', network)


def test_an_onnxruntime_that_is_too_old_is_as_none(monkeypatch):
    """It raises errors of its own, such as of an opset that it does not know."""
    onnxruntime = pytest.importorskip('onnxruntime')

    def refuse(*_, **__):
        raise RuntimeError('INVALID_ARGUMENT : opset 20\nis under development')

    monkeypatch.setattr(onnxruntime, 'InferenceSession', refuse)
    network = network_of()
    assert choose_runtime('auto', network) is network
    with pytest.raises(ConfigError, match='cannot run the network .*opset 20 is under') as caught:
        choose_runtime('onnx', network)
    assert '\n' not in str(caught.value)


def test_a_method_without_a_dense_network_runs_as_it_did():
    assert load_segmenter('kmeans', runtime='auto').runtime == 'torch'
