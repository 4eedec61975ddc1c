"""Models in the segmenter node: those that look at colour, those that cannot be loaded, those that
change on the disk. One node takes one after another, as by hand."""

from __future__ import annotations

import queue
import shutil
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

from insegan_ros.camera.messages import labels_from_message
from insegan_ros.data.scene import Scene
from insegan_ros.errors import CheckpointError, ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.metrics.masks import honest_miou
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace
from insegan_sim.generate import SimulateConfig
from insegan_sim.scenes import scene_stream

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from live_nodes import (  # noqa: E402
    BOXES,
    CAMERA,
    FLOOR,
    Robot,
    assert_boxes,
    box_depth,
    change,
    get_parameter,
    segmenter_node,
    set_parameter,
    state,
)
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from insegan_ros.nodes.conversions import camera_info_message, image_message  # noqa: E402
from insegan_ros.nodes.models import Models  # noqa: E402
from insegan_ros.nodes.segmenter import SegmenterNode  # noqa: E402


class Named(Segmenter):
    """A method that is nothing but its name."""

    def __init__(self, name: str, modality: str = 'depth') -> None:
        self.part, self.modality = name, modality

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        return Instances.none(frame.depth_m.shape)


class Shelf:
    """Models whose loading can be held back, and what is heard of them. `broken` cannot be
    loaded."""

    def __init__(self) -> None:
        self.gate, self.loaded, self.heard = threading.Event(), [], queue.Queue()
        self.models = Models(self.load, self.switched, self.heard.put)
        self.gate.set()

    def load(self, name: str) -> Named:
        assert self.gate.wait(30)
        self.loaded.append(name)
        if name == 'grabcut':
            raise CheckpointError('grabcut is broken')
        return Named(name, 'colour' if name == 'graphcut' else 'depth')

    def switched(self, name: str, segmenter: Named) -> None:
        assert segmenter.part == name
        self.heard.put(name)


def test_what_is_kept_is_switched_at_once_and_loaded_once():
    shelf = Shelf()
    shelf.models.begin('kmeans', ['kmeans', 'spectral', 'kmeans'])
    assert shelf.models.running.part == 'kmeans' and shelf.loaded == ['kmeans', 'spectral']
    shelf.gate.clear()
    for name in ('spectral', 'kmeans', 'spectral'):
        shelf.models.switch(name)
        assert shelf.models.running.part == shelf.models.name == name
        assert shelf.heard.get_nowait() == name
    # The one that runs already.
    shelf.models.switch('spectral')
    assert shelf.heard.empty() and shelf.loaded == ['kmeans', 'spectral']


def test_another_one_is_loaded_beside_the_one_that_runs():
    shelf = Shelf()
    shelf.models.begin('kmeans')
    shelf.gate.clear()
    shelf.models.switch('spectral')
    assert shelf.models.running.part == 'kmeans' and shelf.models.loading == 'spectral'
    shelf.gate.set()
    assert shelf.heard.get(timeout=30) == 'spectral'
    assert shelf.models.running.part == 'spectral' and shelf.models.loading == ''
    # It was not kept: it is loaded again.
    shelf.models.switch('kmeans')
    assert shelf.heard.get(timeout=30) == 'kmeans'
    assert shelf.loaded == ['kmeans', 'spectral', 'kmeans']


def test_the_last_wish_counts():
    shelf = Shelf()
    shelf.models.begin('kmeans')
    shelf.gate.clear()
    shelf.models.switch('spectral')
    shelf.models.switch('mean-shift')
    shelf.gate.set()
    assert shelf.heard.get(timeout=30) == 'mean-shift'
    # Back to the one that runs, while another is being loaded.
    shelf.gate.clear()
    shelf.models.switch('spectral')
    shelf.models.switch('mean-shift')
    shelf.gate.set()
    shelf.models.clear()
    assert shelf.heard.empty() and shelf.models.running is None


def test_what_cannot_be_loaded_leaves_the_old_one_running():
    shelf = Shelf()
    shelf.models.begin('kmeans')
    shelf.models.switch('grabcut')
    assert shelf.heard.get(timeout=30) == 'grabcut is broken'
    assert shelf.models.running.part == shelf.models.name == 'kmeans' and not shelf.models.loading
    with pytest.raises(CheckpointError, match='no checkpoint or method "nowhere"'):
        shelf.models.check('nowhere')
    with pytest.raises(CheckpointError, match='broken'):
        shelf.models.begin('kmeans', ['grabcut'])


def test_what_is_loaded_for_nobody_is_dropped():
    shelf = Shelf()
    shelf.models.begin('kmeans')
    shelf.gate.clear()
    shelf.models.switch('spectral')
    threading.Timer(0.1, shelf.gate.set).start()
    shelf.models.clear()
    assert shelf.models.running is None and shelf.heard.empty() and 'spectral' in shelf.loaded


def test_colour_is_waited_for_where_any_kept_one_looks_at_it():
    shelf = Shelf()
    shelf.models.begin('kmeans', ['graphcut'])
    assert shelf.models.needs_colour
    shelf.models.begin('kmeans')
    assert not shelf.models.needs_colour


def test_each_model_brings_its_own_mesh_and_one_without_does_not_run(robot):
    values = {'model': 'piles-nut', 'mesh': 'own'}
    node = SegmenterNode(parameter_overrides=[Parameter(n, value=v) for n, v in values.items()])
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.segmenter.mesh.path.parent.name == 'piles-nut'
        node._load('piles-bolt')
        with pytest.raises(ConfigError, match='cutpaste-nut knows no mesh of its part'):
            node._load('cutpaste-nut')
    finally:
        node.destroy_node()


def test_a_model_that_is_ready_when_the_node_has_been_cleaned_up_harms_nothing(robot):
    node = SegmenterNode()
    node.models.switched('spectral', Named('spectral'))
    assert node.models.running is None and not node.models.name
    node.destroy_node()


@pytest.mark.slow
def test_the_model_is_switched_while_frames_go_on(robot, tmp_path, root):
    """Frames are answered all the time, and what cannot be loaded is said in a line."""
    damaged = tmp_path / 'damaged'
    shutil.copytree(root / 'checkpoints/cutpaste-nut', damaged)
    (damaged / 'weights.safetensors').write_bytes(b'garbage' * 100)
    process = segmenter_node(
        tmp_path / 'log',
        model='kmeans',
        models="['cutpaste-bolt', 'cutpaste-nut']",
        instances=2,
        floor=FLOOR,
    )
    try:
        process.wait_for('listening on')
        assert_boxes(robot.answer(box_depth()))
        took_ms = []
        for index in range(20):
            name = ('cutpaste-nut', 'cutpaste-bolt')[index % 2]
            begun = time.monotonic()
            assert set_parameter(robot, 'model', name).successful
            took_ms.append(1000 * (time.monotonic() - begun))
            assert process.text().count(f'ready: {name}') == index // 2 + 1
            robot.answer(box_depth())
        print(f'20 switches: {np.median(took_ms):.1f} ms in the median, {max(took_ms):.1f} at most')
        # Not kept any more: they are loaded beside.
        assert set_parameter(robot, 'model', 'kmeans').successful
        robot.until(lambda: process.text().count('ready: kmeans') == 2)
        assert_boxes(robot.answer(box_depth()))
        assert set_parameter(robot, 'model', 'cutpaste-cone').successful
        process.wait_for('ready: cutpaste-cone', lambda: robot.answer(box_depth()))
        answer = set_parameter(robot, 'model', 'nowhere')
        assert not answer.successful and 'no checkpoint or method "nowhere"' in answer.reason
        assert set_parameter(robot, 'model', str(damaged)).successful
        process.wait_for('cutpaste-cone stays in use', lambda: robot.answer(box_depth()))
        robot.until(lambda: get_parameter(robot, 'model') == 'cutpaste-cone')
        answer = set_parameter(robot, 'model', 'irnet-mixed')
        process.wait_for('irnet-mixed looks at colour', lambda: robot.answer(box_depth()))
        assert state(robot, 'segmenter') == 'active'
    finally:
        assert process.stop() == 0
    assert 'Traceback' not in process.text()


@pytest.fixture(scope='module')
def node(robot, tmp_path_factory):
    """A segmenter that is told the number of parts, and waits for colour."""
    process = segmenter_node(
        tmp_path_factory.mktemp('log') / 'log',
        'shy',
        colour=True,
        model='kmeans',
        instances=2,
        use_colour=True,
        floor=FLOOR,
    )
    process.wait_for(
        'listening on /cam/depth/image and /cam/depth/camera_info and /cam/color/image'
    )
    yield process
    assert process.stop() == 0
    assert 'Traceback' not in process.text()


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('model', ''),
        ('model', 'x' * 300),
        ('model', '~nosuchuser/x'),
        ('picks.gripper_file', '~nosuchuser/x.yaml'),
        ('picks.gripper_file', 'a/' * 3000),
        ('picks.full_height_m', float('nan')),
        ('max_frame_s', 1e-9),
        ('floor', [0.0, 0.0, -1.0, 401.0]),
    ],
)
def test_a_value_that_cannot_be_is_refused_while_the_node_runs(robot, name, value):
    """An error of any other kind in that callback ends the process."""
    one = SegmenterNode(
        context=robot.context, parameter_overrides=[Parameter('model', value='kmeans')]
    )
    try:
        one.trigger_configure()
        before = one.get_parameter(name).value
        (answer,) = one.set_parameters([Parameter(name, value=value)])
        assert not answer.successful and 'expected' in answer.reason
        assert one.get_parameter(name).value == before and one.models.name == 'kmeans'
    finally:
        one.destroy_node()


@pytest.mark.slow
def test_nothing_is_segmented_while_nobody_listens_and_colour_is_waited_for(robot, node):
    colour = robot.create_publisher(Image, '/cam/color/image', 5)
    pictures: list[Image] = []
    heard: list[DiagnosticArray] = []
    robot.create_subscription(DiagnosticArray, '/diagnostics', heard.append, 10)

    def send() -> None:
        header = robot.header()
        robot.info.publish(camera_info_message(CAMERA, header))
        colour.publish(
            image_message(np.full((240, 320, 3), (10, 200, 30), np.uint8), 'rgb8', header)
        )
        robot.depth.publish(image_message(box_depth(), '16UC1', header))
        robot.spin(0.05)

    def counts() -> dict[str, int]:
        own = [one for array in heard for one in array.status if one.name == '/shy']
        return (
            {
                pair.key: int(pair.value)
                for pair in own[-1].values
                if pair.key.startswith('frames ') and pair.value.isdigit()
            }
            if own
            else {}
        )

    robot.until(lambda: send() is None and counts().get('frames idle', 0) > 3)
    assert counts()['frames out'] == 0
    subscription = robot.create_subscription(Image, '/shy/overlay', pictures.append, 10)
    robot.until(lambda: send() is None and pictures)
    picture = np.frombuffer(pictures[-1].data, np.uint8).reshape(240, 320, 3)
    assert tuple(picture[5, 5]) == (10, 200, 30) and tuple(picture[80, 80]) != (10, 200, 30)
    robot.destroy_subscription(subscription)
    # Depth goes on, colour does not.
    node.wait_for(
        'but no colour within 0.02 s of it on /cam/color/image',
        lambda: (robot.send(box_depth(), '16UC1', CAMERA), robot.spin(0.05)),
    )


def give(robot: Robot, **parameters: Any) -> bool:
    """Clean the node up, give it other parameters, and configure it; whether it could be."""
    if state(robot, 'shy') == 'active':
        assert change(robot, Transition.TRANSITION_DEACTIVATE, 'shy')
        assert change(robot, Transition.TRANSITION_CLEANUP, 'shy')
    for name, value in parameters.items():
        answer = set_parameter(robot, name, value, 'shy')
        assert answer.successful, answer.reason
    return change(robot, Transition.TRANSITION_CONFIGURE, 'shy')


def labels_in_colour(robot: Robot, scene: Scene) -> np.ndarray:
    """Labels that the node makes of a scene's depth and colour, sent until it answers."""
    assert change(robot, Transition.TRANSITION_ACTIVATE, 'shy')
    colours, masks = robot.create_publisher(Image, '/cam/color/image', 5), []
    subscription = robot.create_subscription(Image, '/shy/instances', masks.append, 10)
    millimetres = np.nan_to_num(1000 * scene.frame.depth_m).round().astype(np.uint16)

    def send() -> None:
        header = robot.header()
        robot.info.publish(camera_info_message(scene.frame.intrinsics, header))
        colours.publish(image_message(scene.frame.colour, 'rgb8', header))
        robot.depth.publish(image_message(millimetres, '16UC1', header))
        robot.spin(0.1)

    robot.until(lambda: send() is None and masks, 60)
    robot.destroy_publisher(colours)
    robot.destroy_subscription(subscription)
    return labels_from_message(masks[-1])


def simulated(**values: Any) -> tuple[Scene, dict[str, list[float]]]:
    """A scene in colour, and where its bin is, as parameters."""
    setup = SimulateConfig(size='320x240', colour=True, seed=91, **values)
    scene = next(scene_stream(setup.setup(setup.parts())))
    floor, bounds = scene.workspace.floor, scene.workspace.bounds
    return scene, {'floor': [float(v) for v in floor], 'bounds': [float(v) for v in bounds]}


@pytest.mark.slow
def test_a_filter_that_looks_at_colour_shuts_out_what_it_does_not_find(robot, node):
    left, top, right, bottom = BOXES[0]
    picture = np.full((240, 320, 3), 110, np.uint8)
    picture[top:bottom, left:right] = 220, 30, 30
    frame = Frame((box_depth() / 1000).astype(np.float32), CAMERA, picture)
    assert give(
        robot,
        model='kmeans',
        instances=1,
        roi_filter='grabcut-colour',
        use_colour=False,
        bounds=[],
        floor=FLOOR,
    )
    found = labels_in_colour(robot, Scene(frame, None, None)) > 0
    inside = np.zeros_like(found)
    inside[top:bottom, left:right] = True
    assert (found & inside).sum() / (found | inside).sum() > 0.85


@pytest.mark.slow
def test_masks_with_classes_run_in_the_node_like_any_other_model(robot, node):
    """A bin of several kinds, colour and depth on real topics, and irnet-mixed: most parts have a
    mask of their own."""
    scene, bin_ = simulated(part='nut,bolt,cone', instances='4', fill=0.4)
    assert give(robot, model='irnet-mixed', segmenter='', roi_filter='', **bin_)
    found = labels_in_colour(robot, scene)
    own = [found == label for label in range(1, int(found.max()) + 1)]
    best = [
        max((mask & one).sum() / (mask | one).sum() for one in own)
        for mask in scene.labelled().masks()
    ]
    assert len(own) >= 2 and sum(iou > 0.5 for iou in best) >= 2


@pytest.mark.slow
def test_the_pose_encoder_runs_in_the_node_like_any_other_model(robot, node):
    scene, bin_ = simulated(part='nut')
    assert give(
        robot,
        model='insegan-generator-nut',
        segmenter='insegan',
        roi_filter='',
        use_colour=True,
        **bin_,
    )
    found = labels_in_colour(robot, scene)
    assert 3 <= found.max() <= 5 and honest_miou(scene.labelled().labels, found) > 0.3


@pytest.mark.slow
def test_a_model_replaced_by_garbage_while_running_changes_nothing_until_it_is_loaded_again(
    robot, node, root, tmp_path
):
    model = tmp_path / 'model'
    shutil.copytree(root / 'checkpoints/cutpaste-nut', model)
    assert give(robot, model=str(model), segmenter='', roi_filter='')
    assert change(robot, Transition.TRANSITION_ACTIVATE, 'shy')
    (model / 'weights.safetensors').write_bytes(b'garbage' * 100)
    for way in ('DEACTIVATE', 'ACTIVATE', 'DEACTIVATE', 'CLEANUP'):
        assert change(robot, getattr(Transition, f'TRANSITION_{way}'), 'shy')
    assert not change(robot, Transition.TRANSITION_CONFIGURE, 'shy')
    node.wait_for('cut short or damaged')
    assert state(robot, 'shy') == 'unconfigured'
    shutil.copy(root / 'checkpoints/cutpaste-nut/weights.safetensors', model)
    assert give(robot) and change(robot, Transition.TRANSITION_ACTIVATE, 'shy')


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_said_and_the_node_stays(robot, node, tmp_path):
    (tmp_path / 'weights.safetensors').write_bytes(b'\x10\0\0\0\0\0\0\0{"a"')
    for model, words in (
        ('nowhere', 'no checkpoint or method "nowhere"'),
        (
            str(tmp_path),
            f'{tmp_path}/weights.safetensors cannot be read, it is cut short or damaged',
        ),
    ):
        assert not give(robot, model=model, segmenter='', roi_filter='')
        node.wait_for(words)
        assert state(robot, 'shy') == 'unconfigured' and node.popen.poll() is None
    assert give(robot, model='kmeans')


@pytest.mark.slow
def test_after_a_kill_the_next_start_is_clean(robot, tmp_path):
    first = segmenter_node(tmp_path / 'first', 'victim', model='kmeans')
    first.wait_for('listening on')
    first.popen.kill()
    assert first.popen.wait(timeout=30) == -signal.SIGKILL
    second = segmenter_node(tmp_path / 'second', 'victim', model='kmeans')
    second.wait_for('listening on')
    second.popen.send_signal(signal.SIGTERM)
    assert second.popen.wait(timeout=30) == 0 and 'Traceback' not in second.text()


@pytest.mark.slow
def test_values_that_cannot_be_are_said_at_the_start_and_the_node_stays(robot, tmp_path):
    process = segmenter_node(
        tmp_path / 'log', 'other', model='kmeans', floor=[1.0, 2.0], bounds=[0.0, 0.0, 1.0, 1.0]
    )
    try:
        process.wait_for('parameter floor has 2 values: expected 4 or none')
        assert process.popen.poll() is None and state(robot, 'other') == 'unconfigured'
        answer = set_parameter(robot, 'floor', [], 'other')
        assert not answer.successful
        assert 'parameter bounds is given without floor' in answer.reason
        # What was refused has changed nothing.
        assert not change(robot, Transition.TRANSITION_CONFIGURE, 'other')
        assert process.text().count('parameter floor has 2 values') >= 2
        # It can be set right, and then all that is wrong is the new value.
        assert set_parameter(robot, 'floor', FLOOR, 'other').successful
        answer = set_parameter(robot, 'picks.gripper', 'magnet', 'other')
        assert not answer.successful and 'expected suction or parallel' in answer.reason
        assert change(robot, Transition.TRANSITION_CONFIGURE, 'other')
    finally:
        assert process.stop() == 0
    assert 'Traceback' not in process.text()
