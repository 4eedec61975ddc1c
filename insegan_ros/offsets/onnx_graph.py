"""The dense network as an ONNX graph, operator by operator: done at once, where a general exporter
traces for a quarter of a minute."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from insegan_ros.offsets.network import OffsetNet

OPSET, IR = 20, 10


def onnx_model(network: OffsetNet) -> onnx.ModelProto:
    """The network in evaluation mode: `height` (1, C, H, W), H and W multiples of its stride, to
    `field` (1, K, H, W), see OffsetNet.forward."""
    graph, shape = _Graph(), network.config
    skips, x = [], graph.unshuffled('height', shape.cell, shape.channels)
    for index, block in enumerate(network.down):
        if index:
            x = graph.add('MaxPool', x, kernel_shape=[2, 2], strides=[2, 2])
        x = graph.block(block, x)
        skips.append(x)
    for block, skip in zip(network.up, skips[-2::-1]):
        x = graph.block(block, graph.add('Concat', graph.doubled(x), skip, axis=1))
    x = graph.shuffled(graph.convolved(x, network.head), shape.cell)
    graph.add('Mul', x, graph.constant(network.scale), output='field')
    return graph.model(shape.channels, len(network.scale))


class _Graph:
    """Nodes and weights in the order in which they are added; tensors are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = '', **attributes: Any) -> str:
        """The output of a new node."""
        output = output or f'{kind}_{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Tensor | list[int] | list[float]) -> str:
        """A weight, a shape (whole numbers) or factors."""
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.array(values)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f'weight_{len(self.weights)}'
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def convolved(self, x: str, layer: nn.Conv2d) -> str:
        """A convolution that keeps the size."""
        weights = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
        return self.add('Conv', x, *map(self.constant, weights), pads=[*layer.padding] * 2)

    def block(self, block: nn.Module, x: str) -> str:
        """Twice a convolution, a group norm and a leaky ReLU, see nn/unet.py."""
        layers: list[Any] = list(block.children())
        for convolution, norm, activation in (layers[:3], layers[3:]):
            x = self.normalised(self.convolved(x, convolution), norm)
            x = self.add('LeakyRelu', x, alpha=activation.negative_slope)
        return x

    def normalised(self, x: str, norm: nn.GroupNorm) -> str:
        """A group norm, as an instance norm of the groups."""
        groups, channels = norm.num_groups, norm.num_channels
        ones, zeros = self.constant([1.0] * groups), self.constant([0.0] * groups)
        flat = self.add('Reshape', x, self.constant([0, groups, -1]))
        flat = self.add('InstanceNormalization', flat, ones, zeros, epsilon=norm.eps)
        x = self.add('Reshape', flat, self.add('Shape', x))
        x = self.add('Mul', x, self.constant(norm.weight.view(channels, 1, 1)))
        return self.add('Add', x, self.constant(norm.bias.view(channels, 1, 1)))

    def doubled(self, x: str) -> str:
        """Twice the size, bilinear."""
        factors = self.constant([1.0, 1.0, 2.0, 2.0])
        return self.add('Resize', x, '', factors, mode='linear')

    def unshuffled(self, x: str, cell: int, channels: int) -> str:
        """Squares of cell px as channels, in PyTorch's order."""
        if cell == 1:
            return x
        order = np.arange(channels * cell**2).reshape(-1, channels).T.ravel()
        x = self.add('SpaceToDepth', x, blocksize=cell)
        return self.add('Gather', x, self.constant(order.tolist()), axis=1) if channels > 1 else x

    def shuffled(self, x: str, cell: int) -> str:
        """The inverse."""
        return x if cell == 1 else self.add('DepthToSpace', x, blocksize=cell, mode='CRD')

    def model(self, channels: int, outputs: int) -> onnx.ModelProto:
        """The whole, from `height` with so many channels to `field` with so many."""
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, 'rows', 'columns'])
            for name, count in (('height', channels), ('field', outputs))
        ]
        graph = helper.make_graph(self.nodes, 'offsets', ends[:1], ends[1:], self.weights)
        opset = [helper.make_opsetid('', OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=IR, producer_name='insegan_ros'
        )
