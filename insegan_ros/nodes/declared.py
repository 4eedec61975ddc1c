"""What a node's parameter is, and how it is declared. Without PyTorch, for nodes that have none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from docstring_parser import parse_from_object
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

KINDS = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
}


@dataclass(frozen=True)
class ParameterSpec:
    """Name, type, default, description, range (none where low and high are equal), and whether it
    acts at once, at configure, or is given at the start and stays (`fixed`). switches: while the
    node is configured, a change acts when what it names has been loaded."""

    name: str
    kind: Parameter.Type
    default: Any
    description: str
    low: float = 0
    high: float = 0
    live: bool = False
    fixed: bool = False
    switches: bool = False

    @property
    def acts(self) -> str:
        """When a change acts, in words."""
        if self.switches:
            return 'when loaded'
        return 'at once' if self.live else 'at start' if self.fixed else 'at configure'


def at_start(
    name: str, default: Any, description: str, low: float = 0, high: float = 0
) -> ParameterSpec:
    """A parameter that is given at the start and stays."""
    return ParameterSpec(name, KINDS[type(default)], default, description, low, high, fixed=True)


def specs_of(config: type, prefix: str = '', live: bool = False) -> Iterable[ParameterSpec]:
    """A configuration's values as parameters: names, defaults and sentences are the dataclass's
    own, and so is the check of them."""
    sentences = {
        one.arg_name: ' '.join((one.description or '').split())
        for one in parse_from_object(config).params
    }
    for field in fields(config):
        yield ParameterSpec(
            prefix + field.name,
            KINDS[type(field.default)],
            field.default,
            sentences[field.name],
            live=live,
        )


def declare(node: Node, specs: Iterable[ParameterSpec]) -> dict[str, Any]:
    """Declare parameters on a node; returns what they are, by name."""
    values = {}
    for spec in specs:
        descriptor = ParameterDescriptor(
            name=spec.name, type=spec.kind.value, description=spec.description, read_only=spec.fixed
        )
        if spec.low != spec.high and spec.kind is Parameter.Type.INTEGER:
            descriptor.integer_range = [
                IntegerRange(from_value=spec.low, to_value=spec.high, step=1)
            ]
        elif spec.low != spec.high:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high), step=0.0)
            ]
        # An empty list has no type of its own: rclpy would take it for bytes and refuse numbers
        # later.
        descriptor.dynamic_typing = spec.default == []
        values[spec.name] = node.declare_parameter(spec.name, spec.default, descriptor).value
    return values
