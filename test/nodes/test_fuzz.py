"""Messages, parameters and transitions that nobody meant: the node refuses them in a line and goes
on. Seeds are fixed; INSEGAN_FUZZ multiplies the number of inputs for a run by hand."""

from __future__ import annotations

import array
import math
import os
import resource

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

rclpy = pytest.importorskip('rclpy')

from live_nodes import CAMERA, FLOOR, box_depth  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from insegan_ros.camera.messages import COLOUR_KINDS, DEPTH_KINDS  # noqa: E402
from insegan_ros.errors import InseganError  # noqa: E402
from insegan_ros.nodes.conversions import camera_info_message, image_message  # noqa: E402
from insegan_ros.nodes.parameters import PARAMETERS  # noqa: E402
from insegan_ros.nodes.parameters import settings as live_settings  # noqa: E402
from insegan_ros.nodes.segmenter import SegmenterNode  # noqa: E402
from insegan_ros.nodes.worker import DepthInput, FrameWorker  # noqa: E402

pytestmark = pytest.mark.slow
TIMES = int(os.environ.get('INSEGAN_FUZZ', '1'))
WITHIN_MB = 2000


def many(count: int) -> settings:
    """So many inputs, the same in every run."""
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


@pytest.fixture(scope='module', params=['kmeans', 'cutpaste-nut'])
def node(request, robot):
    """A configured segmenter in this process, whose frames are given to it by hand."""
    one = SegmenterNode()
    one.set_parameters([Parameter('model', value=request.param)])
    one.trigger_configure()
    before = peak_mb()
    yield one
    one.destroy_node()
    assert peak_mb() - before < WITHIN_MB


def answer(node: SegmenterNode, depth: Image, info: CameraInfo, colour: Image | None = None) -> str:
    """What the node makes of a frame, all its outputs computed: what was found, or one line that
    says why nothing could be."""
    worker = FrameWorker(node._process, lambda: True, lambda: 0.0, lambda _: None)
    worker.take_camera_info(info)
    worker.meter.begin(0.0)
    try:
        return node._process(worker, DepthInput(depth, colour, 0.0, 1), everything=True)[0]
    except InseganError as error:
        assert '\n' not in str(error) and 'expected' in str(error), error
        return str(error)


NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e-300, 1e300, 2.0**32]),
    st.floats(-1e4, 1e4),
    st.floats(),
)
SIDES = st.one_of(st.integers(0, 70), st.sampled_from([2**16, 2**31, 2**32 - 1]))


def pixels_of(draw, height: int, width: int) -> np.ndarray:
    """Depth (height, width) in m that no driver would send, or one that it might."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    plane = np.full((height, width), draw(st.sampled_from([1e-6, 0.3, 0.6, 65.0, 1e30])))
    noise = rng.normal(0, draw(st.sampled_from([0, 1e-3, 0.1, 10])), (height, width))
    depth = plane * (1 + noise)
    share = draw(st.sampled_from([0, 0.1, 0.9, 1]))
    depth[rng.random((height, width)) < share] = draw(NUMBERS)
    rows, columns = slice(*sorted(rng.integers(0, height + 1, 2))), slice(*rng.integers(0, 40, 2))
    depth[rows, columns] *= 0.8
    return depth


@st.composite
def plausible(draw) -> tuple[Image, CameraInfo]:
    """A message whose header and bytes fit together, with pixels and a camera of any kind."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 80))
    with np.errstate(all='ignore'):
        depth = pixels_of(draw, height, width)
        encoding = draw(st.sampled_from(['16UC1', '32FC1']))
        if encoding == '16UC1':
            depth = np.nan_to_num(depth * 1000).clip(0, 65535).astype(np.uint16)
        else:
            depth = depth.astype(np.float32)
    image = image_message(depth, encoding, Header(frame_id='camera'))
    focal = draw(st.one_of(st.sampled_from([20.0, 60.0, 300.0, 9e5]), NUMBERS))
    info = CameraInfo(width=width, height=height)
    centre = draw(st.one_of(st.just((width / 2, height / 2)), st.tuples(NUMBERS, NUMBERS)))
    info.k = [focal, 0.0, centre[0], 0.0, focal, centre[1], 0.0, 0.0, 1.0]
    return image, info


@st.composite
def absurd(draw, encodings: list[str]) -> Image:
    """A message whose fields need not fit together."""
    length = draw(st.integers(0, 8000))
    data = np.random.default_rng(length).integers(0, 256, length, np.uint8)
    return Image(
        height=draw(SIDES),
        width=draw(SIDES),
        step=draw(st.one_of(st.integers(0, 400), SIDES)),
        encoding=draw(st.sampled_from([*encodings, '', 'ÿ', '32FC3'])),
        is_bigendian=draw(st.integers(0, 255)),
        data=array.array('B', data.tobytes()),
    )


WORKSPACES = st.sampled_from([[], FLOOR, [0.0, 0.6, -0.8, 0.3], [0.0, 0.0, -1.0, 1e-3]])


@many(200)
@given(plausible(), WORKSPACES, st.booleans())
def test_any_pixels_of_any_camera_are_answered_or_refused(node, frame, floor, bounded):
    bounds = [-0.1, -0.1, 0.2, 0.1] if floor and bounded else []
    changed = [Parameter('floor', value=floor), Parameter('bounds', value=bounds)]
    node.settings = live_settings(node, changed)
    assert answer(node, *frame)


@many(200)
@given(absurd([*DEPTH_KINDS]), absurd([*COLOUR_KINDS]), st.booleans(), NUMBERS, SIDES)
def test_messages_that_contradict_themselves_are_answered_or_refused(
    node, depth, colour, colourful, focal, side
):
    info = CameraInfo(width=depth.width, height=side)
    info.k = [focal, 0.0, 3.0, 0.0, focal, 3.0, 0.0, 0.0, 1.0]
    assert answer(node, depth, info, colour if colourful else None)


VALUES = st.one_of(
    NUMBERS,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.lists(NUMBERS, max_size=6),
    st.lists(st.sampled_from(['', '/', 'a']), min_size=1, max_size=3),
)


@many(300)
@given(st.sampled_from([spec.name for spec in PARAMETERS]), VALUES)
def test_any_value_of_any_parameter_is_taken_or_refused(node, name, value):
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert result.successful or result.reason
    for number in (node.settings.max_rate, *node.settings.picking.__dict__.values()):
        assert isinstance(number, str) or math.isfinite(number)


def test_after_all_this_the_node_finds_what_it_found_before(node):
    for spec in PARAMETERS:
        if spec.live:
            node.set_parameters([Parameter(spec.name, value=spec.default)])
    info = camera_info_message(CAMERA, Header())
    assert answer(node, image_message(box_depth(), '16UC1', Header()), info).endswith('pickable')


@many(60)
@given(st.lists(st.sampled_from(['configure', 'activate', 'deactivate', 'cleanup']), max_size=8))
def test_any_order_of_transitions_leaves_a_node_that_can_be_activated(node, order):
    for name in order:
        getattr(node, f'trigger_{name}')()
    allowed = {'active': [], 'inactive': ['activate'], 'unconfigured': ['configure', 'activate']}[
        node._state_machine.current_state[1]
    ]
    for name in allowed:
        getattr(node, f'trigger_{name}')()
    assert node._state_machine.current_state[1] == 'active' and node.worker is not None
    node.trigger_deactivate()
