"""The manual names every parameter and every output; a value that cannot be is refused where a node
declares it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip('rclpy')

from rclpy.exceptions import ParameterException  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from insegan_ros.nodes.outputs import outputs  # noqa: E402
from insegan_ros.nodes.parameters import PARAMETERS, declare  # noqa: E402


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
            declare(node)
    finally:
        node.destroy_node()
