"""`insegan export`: the dense network as ONNX, for runtimes without PyTorch, checked against
PyTorch before it is kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError, ConfigError
from insegan_ros.offsets.network import OffsetNet
from insegan_ros.offsets.segmenter import network_config

OPSET = 20
# The runtime may differ from PyTorch by so much: a hundredth of a px.
MAX_DIFFERENCE = 0.01


def export_onnx(checkpoint: Checkpoint, path: Path) -> float:
    """Write the dense network of a checkpoint; returns the largest difference of its outputs from
    PyTorch's on noise.

    The file takes `height` (1, 1, H, W) in [-1, 1], H and W multiples of the network's stride, and
    gives `field` (1, 5, H, W): foreground logit, dx, dy, dz, log error. Its metadata hold the
    scales. Raises ConfigError where the file exists or the runtime is missing, CheckpointError
    where the checkpoint has no dense network or the runtime disagrees.
    """
    if path.suffix != '.onnx' or path.exists():
        raise ConfigError(f'{path}: expected a new file whose name ends in .onnx')
    if not path.parent.is_dir():
        raise ConfigError(f'{path.parent} is no folder: expected one for {path.name}')
    if 'offsets' not in checkpoint.weights:
        raise CheckpointError(
            f'this checkpoint holds {", ".join(sorted(checkpoint.weights))} but no dense network:'
            ' expected one that runs as offsets'
        )
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f'{error}: expected onnx, onnxscript and onnxruntime; pip install "insegan_ros[onnx]"'
        ) from error
    shape = network_config(checkpoint)
    network = checkpoint.restore('offsets', lambda: OffsetNet(shape))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        _convert(network, whole)
        model = onnx.load(str(whole))
        onnx.helper.set_model_props(model, _properties(checkpoint, network.stride))
        onnx.checker.check_model(model)
        onnx.save(model, str(whole))
        session = onnxruntime.InferenceSession(str(whole), providers=['CPUExecutionProvider'])
        difference = max(_difference(network, session, size) for size in ((8, 6), (5, 11)))
        if difference > MAX_DIFFERENCE:
            raise CheckpointError(
                f'onnxruntime differs from PyTorch by {difference:.3g}: nothing was written; report'
                ' it with the versions of torch and onnxruntime'
            )
        os.replace(whole, path)
    return difference


def _convert(network: OffsetNet, path: Path) -> None:
    """Write the network for images of any size up to 512 strides a side."""
    rows = torch.export.Dim('rows', min=1, max=512)
    columns = torch.export.Dim('columns', min=1, max=512)
    stride = network.stride
    program = torch.onnx.export(
        network,
        (torch.zeros(1, 1, 8 * stride, 6 * stride),),
        input_names=['height'],
        output_names=['field'],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
        dynamic_shapes={'image': {2: stride * rows, 3: stride * columns}},
    )
    assert program is not None, 'where no file is named, the program is returned'
    program.save(str(path))


def _properties(checkpoint: Checkpoint, stride: int) -> dict[str, str]:
    """What the file's metadata say: the training's scales, the part, the network's stride."""
    scales = checkpoint.scales
    return {
        'pixel_m': str(scales.pixel_m),
        'height_m': str(scales.height_m),
        'part': checkpoint.part,
        'part_area_px': str(scales.part_area_px),
        'part_radius_px': str(scales.part_radius_px),
        'stride': str(stride),
    }


def _difference(network: OffsetNet, session: Any, size: tuple[int, int]) -> float:
    """The largest difference between the runtime's answer and PyTorch's for noise, `size` (rows,
    columns) in strides."""
    shape = (1, 1, size[0] * network.stride, size[1] * network.stride)
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    with torch.inference_mode():
        ours = network(torch.from_numpy(image)).numpy()
    (theirs,) = session.run(None, {'height': image})
    return float(np.abs(theirs - ours).max())
