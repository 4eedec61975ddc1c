"""The manual names every parameter and every output; a value that cannot be is refused where a node
declares it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from insegan_ros.errors import InputError
from insegan_ros.workspace import Workspace

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from rclpy.exceptions import ParameterException  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from insegan_ros.nodes.declared import declare  # noqa: E402
from insegan_ros.nodes.diagnostics import Health, Meter, summary  # noqa: E402
from insegan_ros.nodes.outputs import outputs  # noqa: E402
from insegan_ros.nodes.parameters import PARAMETERS, misspelt, settings  # noqa: E402
from insegan_ros.nodes.segmenter import SegmenterNode  # noqa: E402

FLOOR, BOUNDS = [0.0, 0.0, -1.0, 0.6], [-0.1, -0.1, 0.1, 0.1]


def test_the_manuals_tables_are_the_codes(root):
    text = (root / 'docs/nodes.md').read_text()

    def rows(start: str, end: str) -> list[str]:
        table = text[text.index(start) :]
        return [line for line in table[: table.index(end)].splitlines() if line.startswith('| `')]

    assert rows('<!-- parameters', 'A value that cannot be') == [
        f'| `{p.name}` | `{p.default}` | {p.acts} | {p.description} |' for p in PARAMETERS
    ]
    vision = SimpleNamespace(
        **{
            name: type(name, (), {'__module__': 'vision_msgs.msg._x'})
            for name in ('Detection2DArray', 'Detection3DArray', 'LabelInfo')
        }
    )
    assert rows('<!-- outputs', 'All are reliable') == [
        f'| `~/{one.name}` | {one.kind.__module__.split(".")[0]}/{one.kind.__name__} | {one.text} |'
        for one in outputs(vision)
    ]


@pytest.mark.parametrize(
    'name, value', [('instances', 0), ('max_rate', 'fast'), ('min_score', 2.0), ('silence_s', 0.0)]
)
def test_a_value_that_cannot_be_is_refused_where_it_is_declared(robot, name, value):
    node = rclpy.create_node(
        'refusing', parameter_overrides=[Parameter(name, value=value)], context=robot.context
    )
    try:
        with pytest.raises(ParameterException, match=name):
            declare(node, PARAMETERS)
    finally:
        node.destroy_node()


@pytest.fixture
def node(robot):
    node = SegmenterNode(context=robot.context)
    yield node
    node.destroy_node()


def test_a_file_of_parameters_may_be_loaded_in_any_order(node):
    warned: list[str] = []
    node.warn = warned.append
    # One after the other, as `ros2 param load` gives them.
    (first,) = node.set_parameters([Parameter('bounds', value=BOUNDS)])
    assert first.successful and node.settings.workspace is None
    (said,) = warned
    assert 'has no effect until floor is given' in said
    level, message = summary(
        Health(last_image_s=time.monotonic()), Meter(), 'active', 3.0, True, node.settings.waiting
    )
    assert level == DiagnosticStatus.WARN and message == said
    # What cannot be is refused all the same, and so is a node that would start with bounds alone.
    (wrong,) = node.set_parameters([Parameter('bounds', value=[0.1, 0.1, -0.1, -0.1])])
    assert not wrong.successful and 'are empty' in wrong.reason
    with pytest.raises(InputError, match='bounds is given without floor'):
        settings(node)
    (second,) = node.set_parameters([Parameter('floor', value=FLOOR)])
    assert second.successful and not node.settings.waiting
    assert node.settings.workspace == Workspace(tuple(FLOOR), tuple(BOUNDS))
    # The floor is not taken from under them.
    (taken,) = node.set_parameters([Parameter('floor', value=[])])
    assert (
        not taken.successful
        and 'expected both; give floor too, or clear bounds first' in taken.reason
    )
    emptied = node.set_parameters([Parameter(name, value=[]) for name in ('bounds', 'floor')])
    assert all(one.successful for one in emptied) and node.settings.workspace is None


def test_what_a_configured_node_has_already_may_be_set_again(node):
    node.set_parameters([Parameter('model', value='kmeans')])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    dumped = [Parameter(spec.name, value=spec.default) for spec in PARAMETERS if not spec.fixed]
    refused = [one.reason for one in node.set_parameters(dumped) if not one.successful]
    assert not refused
    (changed,) = node.set_parameters([Parameter('mesh_scale', value=0.001)])
    assert not changed.successful and 'mesh_scale acts at configure' in changed.reason


def test_a_parameter_that_is_nearly_one_is_named(robot):
    node = rclpy.create_node(
        'misspelling',
        parameter_overrides=[
            Parameter(name, value=1.0)
            for name in ('modell', 'pick.opening_m', 'min_score', 'max_depth_m', 'serial')
        ],
        context=robot.context,
    )
    try:
        declare(node, PARAMETERS)
        assert list(misspelt(node)) == [
            'parameter modell is given, but this node has none of that name: did you mean model?',
            'parameter pick.opening_m is given, but this node has none of that name: did'
            ' you mean picks.opening_m?',
        ]
    finally:
        node.destroy_node()
