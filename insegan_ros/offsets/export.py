"""`insegan export`: the dense network as ONNX, for runtimes without PyTorch, checked against
PyTorch before it is kept."""

from __future__ import annotations

from pathlib import Path

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError, ConfigError
from insegan_ros.files import write_whole
from insegan_ros.offsets.network import OffsetNet
from insegan_ros.offsets.runtimes import MAX_DIFFERENCE, OnnxNetwork, difference_of
from insegan_ros.offsets.segmenter import network_config


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
        raise ConfigError(f'{path.parent} is not a folder: expected one for {path.name}')
    if 'offsets' not in checkpoint.weights:
        raise CheckpointError(
            f'this checkpoint holds {", ".join(sorted(checkpoint.weights))} but no dense network:'
            ' expected one that runs as offsets'
        )
    shape = network_config(checkpoint)
    network = checkpoint.restore('offsets', lambda: OffsetNet(shape))
    try:
        import onnx

        from insegan_ros.offsets.onnx_graph import onnx_model

        difference = difference_of(network, OnnxNetwork(network))
    except ImportError as error:
        raise ConfigError(f'{error}: expected both; pip install onnx onnxruntime') from error
    if not difference <= MAX_DIFFERENCE:
        raise CheckpointError(
            f'onnxruntime differs from PyTorch by {difference:.3g}: nothing was written; report it'
            ' with the versions of torch and onnxruntime'
        )
    model = onnx_model(network)
    onnx.helper.set_model_props(model, _properties(checkpoint, network.stride))
    onnx.checker.check_model(model)
    write_whole(path, model.SerializeToString())
    return difference


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
