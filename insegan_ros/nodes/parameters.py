"""The segmenter's parameters, each with a description and a range; the manual's table is made from this list."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from docstring_parser import parse_from_object
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.picks import PickConfig
from insegan_ros.workspace import Workspace


@dataclass(frozen=True)
class ParameterSpec:
    """Name, type, default, description, and for integers the range."""

    name: str
    kind: Parameter.Type
    default: Any
    description: str
    low: int = 0
    high: int = 0


PICKS = 'picks.'
KINDS = {str: Parameter.Type.STRING, float: Parameter.Type.DOUBLE}


def _pick_parameters() -> Iterable[ParameterSpec]:
    """The gripper's values: names, defaults and sentences are those of PickConfig."""
    sentences = {one.arg_name: one.description for one in parse_from_object(PickConfig).params}
    for field in fields(PickConfig):
        yield ParameterSpec(PICKS + field.name, KINDS[type(field.default)], field.default, sentences[field.name])


PARAMETERS = (
    ParameterSpec('model', Parameter.Type.STRING, 'insegan-nut', 'checkpoint folder, name of a shipped checkpoint, or kmeans'),
    ParameterSpec('segmenter', Parameter.Type.STRING, '', "how to run the checkpoint; empty: the checkpoint's own way (displacement); insegan: the pose encoder"),
    ParameterSpec('device', Parameter.Type.STRING, 'auto', 'auto, cpu, cuda or cuda:N'),
    ParameterSpec('instances', Parameter.Type.INTEGER, 5, 'number of parts, for methods that must be told (kmeans)', 1, 1000),
    ParameterSpec('mesh', Parameter.Type.STRING, '', "the part's STL, OBJ or PLY: poses are then the part's own; empty: principal axes of what is seen"),
    ParameterSpec('mesh_scale', Parameter.Type.DOUBLE, 1.0, 'metres in a unit of the mesh: 0.001 for a file in millimetres'),
    ParameterSpec('floor', Parameter.Type.DOUBLE_ARRAY, [], "the bin floor's plane a, b, c, d in the optical frame, (a, b, c) towards the camera; empty: fitted to every frame"),
    ParameterSpec('bounds', Parameter.Type.DOUBLE_ARRAY, [], "the bin's inside: x_min, y_min, x_max, y_max in m in the optical frame, used with floor; empty: the whole image"),
    ParameterSpec('silence_s', Parameter.Type.DOUBLE, 3.0, 'seconds without a depth image after which the node says what it hears nothing on'),
    ParameterSpec('autostart', Parameter.Type.BOOL, False, 'configure and activate at start, without a lifecycle manager'),
    *_pick_parameters(),
)


def declare(node: Node) -> None:
    """Declare all parameters on a node."""
    for spec in PARAMETERS:
        limits = [IntegerRange(from_value=spec.low, to_value=spec.high, step=1)] if spec.high else []
        descriptor = ParameterDescriptor(name=spec.name, type=spec.kind.value, description=spec.description, integer_range=limits)
        # An empty list has no type of its own: rclpy would take it for bytes and refuse numbers later.
        descriptor.dynamic_typing = spec.default == []
        node.declare_parameter(spec.name, spec.default, descriptor)


def workspace_from(node: Node) -> Workspace | None:
    """The workspace that floor and bounds describe; None where no floor is given. Raises InputError."""
    floor, bounds = (_numbers(node, name) for name in ('floor', 'bounds'))
    if bounds and not floor:
        raise InputError('parameter bounds is given without floor: expected both')
    return Workspace(tuple(floor), tuple(bounds) if bounds else None) if floor else None


def pick_config(node: Node, changed: Iterable[Parameter] = ()) -> PickConfig:
    """The gripper that the parameters describe, with some of them changed. Raises ConfigError."""
    values = {field.name: node.get_parameter(PICKS + field.name).value for field in fields(PickConfig)}
    values.update({one.name.removeprefix(PICKS): one.value for one in changed if one.name.startswith(PICKS)})
    return PickConfig(**values)


def validate(node: Node, parameters: list[Parameter]) -> SetParametersResult:
    """Whether a change at run time can be, and if not, why."""
    try:
        pick_config(node, parameters)
    except (ConfigError, TypeError) as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _numbers(node: Node, name: str) -> list[float]:
    value = node.get_parameter(name).value
    try:
        values = [float(number) for number in value]
    except (TypeError, ValueError):
        raise InputError(f'parameter {name} is {value!r}: expected a list of 4 numbers or none') from None
    if len(values) not in (0, 4):
        raise InputError(f'parameter {name} has {len(values)} values: expected 4 or none')
    return values
