"""What runs the dense network: PyTorch, or ONNX Runtime on a CPU where it is installed."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from insegan_ros.errors import ConfigError
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig
from insegan_ros.texts import reason

RUNTIMES = ('auto', 'torch', 'onnx')
# A runtime may differ from PyTorch by so much: a hundredth of a px.
MAX_DIFFERENCE = 0.01
# What runtimes are timed on: a bin's side in px, as the shipped networks see it, and how often.
TIMED_PX, TIMES = 144, 3


class DenseNetwork(Protocol):
    """An OffsetNet, or what runs in its place."""

    @property
    def config(self) -> OffsetNetConfig:
        """Its shape."""

    @property
    def stride(self) -> int:
        """The number of px that the sides of an image must be multiples of."""

    @property
    def device(self) -> torch.device:
        """Where its pictures must be."""

    def __call__(self, image: Tensor) -> Tensor:
        """See OffsetNet.forward."""


class OnnxNetwork:
    """ONNX Runtime in place of a network on the CPU, for one picture at a time, with as many
    threads as PyTorch has. Raises ImportError where onnx or onnxruntime is missing."""

    def __init__(self, network: OffsetNet) -> None:
        import onnxruntime

        from insegan_ros.offsets.onnx_graph import onnx_model

        self.config, self.stride, self.device = network.config, network.stride, network.device
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that wait by spinning take the camera's core.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self.session: Any = onnxruntime.InferenceSession(
            onnx_model(network).SerializeToString(), options, providers=['CPUExecutionProvider']
        )

    def __call__(self, image: Tensor) -> Tensor:
        """See OffsetNet.forward; image (1, channels, H, W)."""
        return torch.from_numpy(self.session.run(None, {'height': image.numpy()})[0])


def check_runtime(name: str) -> None:
    """Raise ConfigError for a name that is not among RUNTIMES."""
    if name not in RUNTIMES:
        raise ConfigError(f'runtime is "{name}": expected {", ".join(RUNTIMES[:-1])} or onnx')


def choose_runtime(name: str, network: OffsetNet) -> DenseNetwork:
    """What runs a network: itself (torch), ONNX Runtime (onnx), or the faster of those that are
    installed and say the same (auto; on a GPU always torch). Raises ConfigError for an unknown
    name, and for onnx where it is missing, too old, differs, or the network is on a GPU."""
    check_runtime(name)
    if name == 'torch' or (name == 'auto' and network.device.type != 'cpu'):
        return network
    try:
        other = _onnx(network)
    except ConfigError:
        if name == 'onnx':
            raise
        return network
    picture = _noise(network, TIMED_PX, TIMED_PX)
    faster = name == 'onnx' or _seconds(other, picture) < _seconds(network, picture)
    return other if faster else network


def _onnx(network: OffsetNet) -> OnnxNetwork:
    if network.device.type != 'cpu':
        raise ConfigError(
            f'runtime is onnx but the network is on {network.device}: expected device cpu, or'
            ' runtime torch'
        )
    try:
        other = OnnxNetwork(network)
        difference = difference_of(network, other)
    except ImportError as error:
        raise ConfigError(
            f'runtime is onnx but {error}: pip install onnx onnxruntime, or runtime torch'
        ) from error
    except Exception as error:  # an older one's, of types of its own
        raise ConfigError(
            f'runtime is onnx but onnxruntime cannot run the network ({reason(error)}): pip install'
            ' --upgrade onnx onnxruntime, or runtime torch'
        ) from error
    if not difference <= MAX_DIFFERENCE:
        raise ConfigError(
            f'onnxruntime differs from PyTorch by {difference:.3g}: expected {MAX_DIFFERENCE} or'
            ' less; report it with the versions of torch and onnxruntime'
        )
    return other


def difference_of(network: OffsetNet, other: DenseNetwork) -> float:
    """The largest difference between two networks' answers for noise of two sizes."""
    sizes = np.array([(8, 6), (5, 11)]) * network.stride
    with torch.inference_mode():
        return max(
            float((network(picture) - other(picture)).abs().max())
            for picture in (_noise(network, rows, columns) for rows, columns in sizes)
        )


def _noise(network: OffsetNet, rows: int, columns: int) -> Tensor:
    """A picture (1, channels, H, W) of noise in [-1, 1] of such sides in px, or little more."""
    shape = [side + -side % network.stride for side in (rows, columns)]
    values = np.random.default_rng(0).uniform(-1, 1, (1, network.config.channels, *shape))
    return torch.from_numpy(values.astype(np.float32)).to(network.device)


def _seconds(network: DenseNetwork, picture: Tensor) -> float:
    """What a picture takes at best, after one that is not counted."""
    seconds = []
    with torch.inference_mode():
        for _ in range(1 + TIMES):
            begun = time.perf_counter()
            network(picture)
            seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])
