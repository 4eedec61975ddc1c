"""The dense network outside of PyTorch."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError, ConfigError
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.offsets.export import export_onnx
from insegan_ros.offsets.network import OffsetNet
from insegan_sim.scenes import bin_setup, scene_stream


class OnnxNet(torch.nn.Module):
    """An ONNX file in place of the network that it was made of."""

    def __init__(self, session, network: OffsetNet) -> None:
        super().__init__()
        self.session, self.stride, self.config = session, network.stride, network.config
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(None, {'height': image.numpy()})[0])


def test_onnx_gives_the_same_labels(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    checkpoint = Checkpoint.load(find_checkpoint('cutpaste-nut'))
    assert export_onnx(checkpoint, tmp_path / 'nut.onnx') < 0.01
    session = onnxruntime.InferenceSession(
        str(tmp_path / 'nut.onnx'), providers=['CPUExecutionProvider']
    )
    assert (
        float(session.get_modelmeta().custom_metadata_map['height_m']) == checkpoint.scales.height_m
    )
    segmenter = load_segmenter('cutpaste-nut')
    network, equal = segmenter.inference.network, []
    for scene in islice(scene_stream(bin_setup('nut', seed=77)), 4):
        ours = segmenter.segment(scene.frame, scene.workspace).labels
        segmenter.inference.network = OnnxNet(session, network)
        equal.append((segmenter.segment(scene.frame, scene.workspace).labels == ours).mean())
        segmenter.inference.network = network
    assert np.mean(equal) >= 0.999
    with pytest.raises(ConfigError, match='a new file'):
        export_onnx(checkpoint, tmp_path / 'nut.onnx')
    with pytest.raises(CheckpointError, match='no dense network'):
        export_onnx(
            Checkpoint('insegan', 'insegan', 'nut', checkpoint.scales, {}, {'generator': {}}),
            tmp_path / 'other.onnx',
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ['nut.onnx']
