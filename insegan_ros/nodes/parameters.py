"""The segmenter's parameters, each with a description and a range; the manual's table is made from
this list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from insegan_ros.errors import ConfigError, InputError
from insegan_ros.nodes.allowed import PATHS, check_allowed
from insegan_ros.nodes.declared import ParameterSpec, specs_of
from insegan_ros.nodes.silence import SILENCE_S
from insegan_ros.picking.picks import PickConfig, load_tooling
from insegan_ros.picking.tool import Tooling
from insegan_ros.workspace import SCALARS, Workspace, workspace_of

PICKS = 'picks.'
# Frames a second: less is no rate, and a pause that cannot be waited for.
SLOWEST = 0.01
# Seconds for a frame: in less no bin is segmented, and the node would stop by itself.
SHORTEST_S = 0.1
# What bounds are checked with while there is no floor.
SOME_FLOOR = (0.0, 0.0, -1.0, 1.0)
BOUNDS_WAIT = 'bounds has no effect until floor is given: the whole image is looked at'

PARAMETERS = (
    ParameterSpec(
        'model',
        Parameter.Type.STRING,
        'cutpaste-nut',
        'checkpoint folder, name of a shipped checkpoint, or kmeans; another one may be given at'
        ' any time and is loaded beside the one that runs',
        switches=True,
    ),
    ParameterSpec(
        'models',
        Parameter.Type.STRING_ARRAY,
        [],
        'models that are loaded at configure and kept, so that `model` can be switched to one of'
        ' them at once',
    ),
    ParameterSpec(
        'segmenter',
        Parameter.Type.STRING,
        '',
        "how to run the checkpoint; empty: the checkpoint's own way (offsets); insegan: the"
        ' pose encoder; insegan-searched: what the generator renders is searched, seconds an image;'
        ' insegan-views: poses and hidden parts without a mesh',
    ),
    ParameterSpec('device', Parameter.Type.STRING, 'auto', 'auto, cpu, cuda or cuda:N'),
    ParameterSpec(
        'runtime',
        Parameter.Type.STRING,
        'auto',
        'what runs a dense network: torch, onnx (ONNX Runtime, on a CPU), or auto, the faster of'
        ' those that are installed and give the same result',
    ),
    ParameterSpec(
        'instances',
        Parameter.Type.INTEGER,
        5,
        'number of parts, for methods that must be told (kmeans)',
        1,
        1000,
    ),
    ParameterSpec(
        'mesh',
        Parameter.Type.STRING,
        '',
        "the part's STL, OBJ or PLY, or own, the one that the model was taught with: poses are then"
        " the part's own; empty: the principal axes of the visible points",
    ),
    ParameterSpec(
        'mesh_scale',
        Parameter.Type.DOUBLE,
        1.0,
        'metres per unit of the mesh: 0.001 for a file in millimetres',
        1e-6,
        1e3,
    ),
    ParameterSpec(
        'target_frame',
        Parameter.Type.STRING,
        '',
        "frame of poses, parts and picks, such as the robot's base, over tf2; empty: the camera's"
        ' own',
    ),
    ParameterSpec(
        'roi_filter',
        Parameter.Type.STRING,
        '',
        'region-of-interest filter: a foreground method or checkpoint (layered-gan-tote,'
        ' depth-threshold); the model sees what it takes for background as floor',
    ),
    ParameterSpec(
        'gate',
        Parameter.Type.STRING,
        '',
        'the old name of roi_filter; is removed in the next release',
    ),
    ParameterSpec(
        'allowed_folders',
        Parameter.Type.STRING_ARRAY,
        [],
        'folders from which model, mesh, roi_filter and the files of picks may be read, besides the'
        ' shipped checkpoints; empty: any',
        fixed=True,
    ),
    ParameterSpec(
        'use_colour',
        Parameter.Type.BOOL,
        False,
        'wait for the colour image of the same moment, aligned to depth: overlay and cloud are then'
        ' in colour; models and filters that look at colour wait for it anyway',
    ),
    ParameterSpec(
        'floor',
        Parameter.Type.DOUBLE_ARRAY,
        [],
        "the bin floor's plane a, b, c, d in the optical frame, (a, b, c) towards the camera;"
        ' empty: fitted to every frame',
        live=True,
    ),
    ParameterSpec(
        'bounds',
        Parameter.Type.DOUBLE_ARRAY,
        [],
        "the bin's inside: x_min, y_min, x_max, y_max in m on the floor, used with floor; empty:"
        ' the whole image',
        live=True,
    ),
    ParameterSpec(
        'bounds_turn_deg',
        Parameter.Type.DOUBLE,
        0.0,
        'degrees that the bounds are turned on the floor, from x towards y',
        -180,
        180,
        live=True,
    ),
    ParameterSpec(
        'wall_noise_m',
        Parameter.Type.DOUBLE,
        0.0,
        "standard deviation of a depth reading at the floor's distance, in m, where walls stand"
        ' at the bounds: readings that may be of a wall are not taken for parts; 0: there are no'
        ' walls',
        0,
        0.1,
        live=True,
    ),
    ParameterSpec(
        'corner_radius_m',
        Parameter.Type.DOUBLE,
        0.0,
        'radius in m by which the corners of the bounds are rounded, where the bin has round ones',
        0,
        10,
        live=True,
    ),
    ParameterSpec(
        'foot_radius_m',
        Parameter.Type.DOUBLE,
        0.0,
        'radius in m by which the floor rises into the walls, where it does',
        0,
        10,
        live=True,
    ),
    ParameterSpec(
        'wall_slope_deg',
        Parameter.Type.DOUBLE,
        0.0,
        'degrees that the walls lean outwards',
        0,
        45,
        live=True,
    ),
    ParameterSpec(
        'continuous',
        Parameter.Type.BOOL,
        True,
        'work on every frame; off: only when `~/segment_once` is called',
        live=True,
    ),
    ParameterSpec(
        'max_rate',
        Parameter.Type.DOUBLE,
        0.0,
        'maximum rate in frames a second, 0.01 or more; 0: no limit',
        0,
        1000,
        live=True,
    ),
    ParameterSpec(
        'max_frame_s',
        Parameter.Type.DOUBLE,
        10.0,
        'seconds that a frame may take, 0.1 or more: one that takes longer is left out; a method'
        ' that cannot be interrupted for as long again makes the node leave the active state; 0: no'
        ' limit',
        0,
        3600,
        live=True,
    ),
    ParameterSpec(
        'min_score',
        Parameter.Type.DOUBLE,
        0.0,
        'instances with a lower score are left out',
        0,
        1,
        live=True,
    ),
    ParameterSpec(
        'sync_slop_s',
        Parameter.Type.DOUBLE,
        0.02,
        'seconds by which the stamps of depth and colour may differ',
        0,
        1,
        live=True,
    ),
    ParameterSpec(
        'silence_s',
        Parameter.Type.DOUBLE,
        3.0,
        'seconds without a depth image after which the node warns and says why that may be',
        *SILENCE_S,
        live=True,
    ),
    ParameterSpec(
        'autostart',
        Parameter.Type.BOOL,
        False,
        'configure and activate at start, without a lifecycle manager',
    ),
    *specs_of(PickConfig, PICKS, live=True),
)


@dataclass(frozen=True)
class Settings:
    """What may change while the node runs. workspace: None fits the floor to every frame. waiting:
    what has been given and does not act yet, and why; empty: nothing."""

    workspace: Workspace | None
    picking: PickConfig
    tooling: Tooling
    waiting: str
    continuous: bool
    max_rate: float
    max_frame_s: float
    min_score: float
    sync_slop_s: float
    silence_s: float


def misspelt(node: Node) -> Iterable[str]:
    """Of the parameters that a node was started with those that it has not declared, but nearly:
    ROS takes them for another node's, and says nothing. In words."""
    known = list(node.get_parameters_by_prefix(''))
    # rclpy has no other way to ask what was given.
    for name in getattr(node, '_parameter_overrides', {}):
        if name not in known and (near := get_close_matches(name, known, 1, 0.8)):
            yield (
                f'parameter {name} is given, but this node has none of that name: did you mean'
                f' {near[0]}?'
            )


def model_parameters(node: Node) -> dict[str, Any]:
    """What `load_segmenter` is to load, as its keyword arguments; warns of old names. Raises
    ConfigError for files that may not be read."""
    check_paths(node)
    names = (
        *('model', 'segmenter', 'device', 'runtime', 'instances'),
        *('mesh', 'mesh_scale', 'roi_filter'),
    )
    values = {name: node.get_parameter(name).value for name in names}
    if old := node.get_parameter('gate').value:
        node.get_logger().warning(
            'the parameter gate is now called roi_filter; the old name will be removed in the'
            ' next release'
        )
        values['roi_filter'] = values['roi_filter'] or old
    return values


def check_paths(node: Node, changed: Iterable[Parameter] = ()) -> None:
    """Raise ConfigError where a parameter, with some of them changed, names a file outside of the
    folders that may be read, or where these are no folders."""
    new = {one.name: one.value for one in changed}
    folders = node.get_parameter('allowed_folders').value
    _check_texts('allowed_folders', folders, 'folders')
    values = {name: str(new.get(name, node.get_parameter(name).value)) for name in PATHS}
    models = new.get('models', node.get_parameter('models').value)
    _check_texts('models', models, 'models')
    values |= {f'models[{index}]': model for index, model in enumerate(models)}
    check_allowed(values, folders)


def _check_texts(name: str, value: Any, what: str) -> None:
    """Raise ConfigError where a parameter is no list of texts; one text would be read as a list of
    letters, and a folder's first one allow the whole disk."""
    if isinstance(value, str) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f'parameter {name} is {value!r}: expected a list of {what}')


def settings(node: Node, changed: Iterable[Parameter] = ()) -> Settings:
    """What the live parameters say, with some of them changed. Raises InputError or ConfigError,
    also for files that may not be read. Bounds may be given before the floor, for `ros2 param load`
    gives one parameter after the other; the floor may not be taken from under them."""
    check_paths(node, changed)
    new = {one.name: one.value for one in changed}
    values = {
        spec.name: new.get(spec.name, node.get_parameter(spec.name).value)
        for spec in PARAMETERS
        if spec.live
    }
    mesh = new.get('mesh', node.get_parameter('mesh').value)
    if values['picks.grasps_file'] and not mesh:
        raise ConfigError(
            'picks.grasps_file is given without mesh: expected the mesh that the grasps were taught'
            ' on'
        )
    return _settings(values, may_wait=bool(new) and 'floor' not in new)


def default_settings() -> Settings:
    """The live parameters' defaults."""
    return _settings({spec.name: spec.default for spec in PARAMETERS if spec.live})


def _settings(values: dict[str, Any], may_wait: bool = False) -> Settings:
    floor, bounds = (_numbers(name, values[name]) for name in ('floor', 'bounds'))
    if bounds and not floor and not may_wait:
        raise InputError(
            'parameter bounds is given without floor: expected both; give floor too, or clear'
            ' bounds first'
        )
    if 0 < values['max_rate'] < SLOWEST:
        raise InputError(
            f'parameter max_rate is {values["max_rate"]:g}: expected {SLOWEST} frames a second or'
            ' more, or 0 for no limit'
        )
    if 0 < values['max_frame_s'] < SHORTEST_S:
        raise InputError(
            f'parameter max_frame_s is {values["max_frame_s"]:g}: expected {SHORTEST_S} s or more,'
            ' or 0 for no limit'
        )
    workspace = None
    if floor or bounds:
        scalars = {name: values[name] for name in SCALARS}
        given = workspace_of({'floor': floor or SOME_FLOOR, 'bounds': bounds, **scalars})
        workspace = given if floor else None
    picking = PickConfig(**{one.name: values[PICKS + one.name] for one in fields(PickConfig)})
    return Settings(
        workspace,
        picking,
        load_tooling(picking),
        BOUNDS_WAIT if bounds and not floor else '',
        *(values[field.name] for field in fields(Settings)[4:]),
    )


def refuse_unless_unconfigured(node: Node, changed: Iterable[Parameter]) -> str:
    """Why a parameter that is read at configure cannot be changed now; empty if none of them is
    among those changed, or to what it is."""
    kept = {spec.name for spec in PARAMETERS if not (spec.live or spec.switches)}
    fixed = {
        one.name
        for one in changed
        if one.name in kept and one.value != node.get_parameter(one.name).value
    }
    return (
        f'{", ".join(sorted(fixed))} acts at configure: clean the node up first, then change it and'
        ' configure again'
        if fixed
        else ''
    )


def _numbers(name: str, value: Any) -> list[float]:
    try:
        values = [float(number) for number in value]
    except (TypeError, ValueError):
        raise InputError(
            f'parameter {name} is {value!r}: expected a list of 4 numbers or none'
        ) from None
    if len(values) not in (0, 4):
        raise InputError(f'parameter {name} has {len(values)} values: expected 4 or none')
    return values
