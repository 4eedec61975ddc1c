"""The dense network outside of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError, ConfigError
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.offsets.export import export_onnx


def test_the_file_says_what_the_network_says(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    checkpoint = Checkpoint.load(find_checkpoint('cutpaste-nut'))
    assert export_onnx(checkpoint, tmp_path / 'nut.onnx') < 0.01
    session = onnxruntime.InferenceSession(
        str(tmp_path / 'nut.onnx'), providers=['CPUExecutionProvider']
    )
    assert (
        float(session.get_modelmeta().custom_metadata_map['height_m']) == checkpoint.scales.height_m
    )
    network = load_segmenter('cutpaste-nut', device='cpu').inference.network
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 1, 64, 48)).astype(np.float32)
    (theirs,) = session.run(None, {'height': picture})
    with torch.inference_mode():
        assert np.allclose(network(torch.from_numpy(picture)).numpy(), theirs, atol=0.01)
    with pytest.raises(ConfigError, match='a new file'):
        export_onnx(checkpoint, tmp_path / 'nut.onnx')
    with pytest.raises(CheckpointError, match='no dense network'):
        export_onnx(
            Checkpoint('insegan', 'insegan', 'nut', checkpoint.scales, {}, {'generator': {}}),
            tmp_path / 'other.onnx',
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ['nut.onnx']
