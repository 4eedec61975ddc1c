"""The `segmenter` lifecycle node: depth in, instance masks out.

    inputs   depth/image (sensor_msgs/Image, 16UC1 mm or 32FC1 m), depth/camera_info
    (sensor_msgs/CameraInfo), and with `use_colour`
             or a method that looks at colour color/image (Image, aligned to depth)
    outputs  those of `outputs.py`, and /diagnostics (diagnostic_msgs/DiagnosticArray)
    service  ~/segment_once (std_srvs/Trigger)

Callbacks only keep the newest frame; a worker thread segments it, so a slow network drops frames
instead of growing old. Frames are worked on only while somebody listens to what comes of them, or
asks once.
"""

from __future__ import annotations

import importlib
import threading
import time
from types import ModuleType
from typing import Any

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.task import Future
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from insegan_ros.camera.messages import stamp_ns
from insegan_ros.camera.pairing import Pairing
from insegan_ros.errors import InputError, InseganError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.nodes.conversions import frame_from_messages
from insegan_ros.nodes.diagnostics import Meter, memory, status
from insegan_ros.nodes.outputs import Output, Result, outputs
from insegan_ros.nodes.parameters import declare, refuse_unless_unconfigured, settings
from insegan_ros.nodes.runtime import Warner, run_node
from insegan_ros.tasks.segmenter import Segmenter
from insegan_ros.workspace import Workspace, resolve_workspace

# REP 2003: take any publisher, hold one frame. Results are reliable.
INPUT_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
OUTPUT_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
)
LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
WATCH_EVERY_S = 1.0


class SegmenterNode(LifecycleNode):
    """See the module's text."""

    def __init__(self) -> None:
        self.segmenter: Segmenter | None = None
        self.inputs: list = []
        self.made: list[tuple[Output, Any]] = []
        self.info: CameraInfo | None = None
        self.pairing = Pairing()
        # The newest frame: depth, colour or None, when it came, its number.
        self.newest: tuple[Image, Image | None, float, int] | None = None
        self.asked: list[tuple[int, Future]] = []
        self.arrived = threading.Condition()
        self.worker: threading.Thread | None = None
        self.watchdog: Timer | None = None
        self.running = False
        self.meter = Meter()
        self.heard = self.refused_at = 0.0
        self.complaint, self.bin_state, self.want_state = '', 'not known', False
        super().__init__('segmenter')
        self.warn = Warner(self)
        declare(self)
        self.settings = None
        self.vision = _vision_messages()
        self.add_on_set_parameters_callback(self._on_parameters)
        self.diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(WATCH_EVERY_S, self._diagnose)
        # A group of its own: while a request waits for its frame, the others' callbacks must go on.
        self.create_service(
            Trigger, '~/segment_once', self._on_once, callback_group=ReentrantCallbackGroup()
        )

    # Lifecycle. rclpy swallows exceptions in these callbacks, so each is caught and said in words.

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Load and warm up the model, make the publishers."""
        value = {
            name: self.get_parameter(name).value
            for name in ('model', 'segmenter', 'device', 'instances', 'mesh', 'mesh_scale', 'gate')
        }
        try:
            self.settings = settings(self)
            self.segmenter = load_segmenter(**value)
            # The networks are small: a second thread on a CPU gains nothing and takes a core from
            # the camera.
            torch.set_num_threads(1)
            self._warm_up()
        except InseganError as error:
            return self._cannot_configure(str(error))
        except Exception as error:  # rclpy would swallow it
            return self._cannot_configure(
                f'the model could not be made ready: {type(error).__name__}: {error}'
            )
        if self.vision is None:
            self.get_logger().info(
                'vision_msgs is not installed: ~/detections and ~/label_info are left out'
            )
        self.made = [
            (
                one,
                self.create_lifecycle_publisher(
                    one.kind, f'~/{one.name}', LATCHED_QOS if one.latched else OUTPUT_QOS
                ),
            )
            for one in outputs(self.vision)
        ]
        self.get_logger().info(
            f'ready: {value["model"]} on {getattr(self.segmenter, "device", "cpu")}'
        )
        return TransitionCallbackReturn.SUCCESS

    def _cannot_configure(self, text: str) -> TransitionCallbackReturn:
        self.segmenter = None
        self.get_logger().error(text)
        self.complaint, self.refused_at = text, time.monotonic()
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        overrides = QoSOverridingOptions.with_default_policies()
        wanted = [
            (Image, 'depth/image', self._on_image),
            (CameraInfo, 'depth/camera_info', self._on_info),
        ]
        if self.get_parameter('use_colour').value or getattr(self.segmenter, 'needs_colour', False):
            wanted.append((Image, 'color/image', self._on_colour))
        try:
            self.inputs = [
                self.create_subscription(
                    kind, topic, callback, INPUT_QOS, qos_overriding_options=overrides
                )
                for kind, topic, callback in wanted
            ]
        except Exception as error:  # an override that no policy knows
            self.get_logger().error(f'cannot subscribe: {error}')
            return TransitionCallbackReturn.FAILURE
        self.heard = time.monotonic()
        self.meter, self.pairing = Meter(), Pairing()
        self.watchdog = self.create_timer(WATCH_EVERY_S, self._watch)
        self.running = True
        self.worker = threading.Thread(target=self._work, name='segmenter-worker', daemon=True)
        self.worker.start()
        self.get_logger().info(
            f'listening on {" and ".join(one.topic_name for one in self.inputs)}'
        )
        done = super().on_activate(state)
        nothing = Result(
            Frame(np.full((1, 1), np.nan, np.float32), Intrinsics(1, 1, 0, 0, 1, 1)),
            Instances.none((1, 1)),
            None,
            Header(),
            self._part(),
        )
        for output, publisher in self.made:
            if output.latched:
                publisher.publish(output.make(nothing))
        return done

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Stop the worker and unsubscribe."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Free the model."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self._stop()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Stop the worker before its publishers go."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        with self.arrived:
            self.running = False
            self.newest = None
            self._answer_all(False, 'the node was deactivated')
            self.arrived.notify()
        if self.worker is not None:
            self.worker.join(timeout=10)
            self.worker = None
        if self.watchdog is not None:
            self.destroy_timer(self.watchdog)
            self.watchdog = None
        for subscription in self.inputs:
            self.destroy_subscription(subscription)
        self.inputs, self.info = [], None

    def _release(self) -> None:
        for _, publisher in self.made:
            self.destroy_publisher(publisher)
        self.made, self.segmenter = [], None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _warm_up(self) -> None:
        """A bin with one block, so that the first real frame is not the slow one."""
        camera = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)
        self.segmenter.workspace = workspace = self.settings.workspace or Workspace(
            (0.0, 0.0, -1.0, 0.5)
        )
        try:
            depth, (left, top, right, bottom) = (
                workspace.floor_depth(camera),
                workspace.window(camera),
            )
            row, column = (top + bottom) // 2, (left + right) // 2
            depth[row - 20 : row + 20, column - 20 : column + 20] -= 0.02
            self.segmenter.segment(Frame(depth, camera, np.zeros((480, 640, 3), np.uint8)))
        except InputError as refused:
            # A network for bins of one size, say: real frames tell whether the robot's is of that
            # size.
            self.get_logger().debug(f'not warmed up: {refused}')

    def _part(self) -> str:
        return getattr(self.segmenter, 'part', '') or 'part'

    def _on_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        """Whether a change can be, and if not, why; what is live acts from the next frame on."""
        reason = refuse_unless_unconfigured(changed) if self.segmenter is not None else ''
        try:
            new = settings(self, changed)
        except (InseganError, TypeError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        self.settings = new
        return SetParametersResult(successful=True)

    # Frames.

    def _on_info(self, info: CameraInfo) -> None:
        self.info = info

    def _on_image(self, image: Image) -> None:
        self.heard = time.monotonic()
        self.meter.counts['in'] += 1
        if len(self.inputs) < 3:
            self._take(image, None)
        elif pair := self.pairing.depth(image, self.settings.sync_slop_s):
            self._take(*pair)

    def _on_colour(self, image: Image) -> None:
        if pair := self.pairing.colour(image, self.settings.sync_slop_s):
            self._take(*pair)

    def _take(self, depth: Image, colour: Image | None) -> None:
        with self.arrived:
            self.meter.counts['dropped'] += self.newest is not None
            self.newest = depth, colour, time.monotonic(), self.meter.counts['in']
            self.arrived.notify()

    def _work(self) -> None:
        """The worker: newest frames, one after another, not more often than max_rate."""
        next_at = 0.0
        while True:
            with self.arrived:
                self.arrived.wait_for(
                    lambda: not self.running, timeout=max(next_at - time.monotonic(), 0)
                )
                self.arrived.wait_for(lambda: self.newest is not None or not self.running)
                if not self.running:
                    return
                (depth, colour, came, number), self.newest = self.newest, None
                answered = [future for asked_at, future in self.asked if number > asked_at]
            if not answered and not (self.settings.continuous and self._heard_by_somebody()):
                self.meter.counts['idle'] += 1
                continue
            if self.settings.max_rate:
                next_at = time.monotonic() + 1 / self.settings.max_rate
            self.meter.begin(came)
            try:
                success, text = True, self._process(depth, colour, bool(answered))
            except InseganError as error:
                success, text = False, str(error)
            except Exception as error:  # a frame may fail, the node may not
                if not self.context.ok():
                    return
                success, text = False, f'a frame was left out: {type(error).__name__}: {error}'
            if not success:
                self._refuse(text)
            self._answer(answered, success, text)

    def _heard_by_somebody(self) -> bool:
        return any(
            publisher.get_subscription_count()
            for output, publisher in self.made
            if not output.latched
        )

    def _process(self, image: Image, colour: Image | None, everything: bool) -> str:
        """Segment a frame and publish what is listened to, or everything; what was found, in words.
        Raises InputError."""
        meter, live = self.meter, self.settings
        with meter.stage('convert'):
            if self.info is None:
                raise InputError(
                    'depth arrives but no camera_info on'
                    f' {self.resolve_topic_name("depth/camera_info")}: expected one beside the'
                    ' image; is it remapped?'
                )
            frame = frame_from_messages(image, self.info, colour)
            readable = bool(np.isfinite(frame.depth_m).any())
            workspace = resolve_workspace(live.workspace, frame) if readable else None
        with meter.stage('infer'):
            self.segmenter.workspace = workspace
            found = (
                self.segmenter.segment(frame) if readable else Instances.none(frame.depth_m.shape)
            )
            if live.min_score:
                found = found.only(found.scores >= live.min_score)
        scales = getattr(self.segmenter, 'scales', None)
        result = Result(
            frame,
            found,
            workspace,
            image.header,
            self._part(),
            live.picking,
            scales.part_area_m2 if scales else 0.0,
        )
        for output, publisher in self.made:
            if not output.latched and (everything or publisher.get_subscription_count()):
                with meter.stage('post-process'):
                    message = output.make(result)
                with meter.stage('publish'):
                    publisher.publish(message)
        if self.want_state or 'state' in vars(result):
            self.bin_state, self.want_state = result.state.value, False
        meter.finish((self.get_clock().now().nanoseconds - stamp_ns(image.header)) / 1e9)
        if not readable:
            self.warn(
                'the depth image has no reading at all: expected depth; is the lens covered or the'
                ' emitter off?'
            )
        if frame.stamp_ns == 0:
            self.warn(
                "the depth image's stamp is zero: expected the time of the picture; results carry"
                ' it on, and transforms will not find them'
            )
        return f'{len(found)} instances' + (f', bin {result.state.value}' if everything else '')

    def _refuse(self, text: str) -> None:
        self.meter.counts['refused'] += 1
        self.bin_state = 'not known'
        self.complaint, self.refused_at = text, time.monotonic()
        self.warn(text)

    # One frame on request.

    async def _on_once(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Segment the next frame that comes after the call and publish everything, whoever
        listens."""
        if not self.running:
            response.success, response.message = (
                False,
                'the node is not active: configure and activate it first',
            )
            return response
        answer: Future = Future()
        with self.arrived:
            self.asked.append((self.meter.counts['in'], answer))
        response.success, response.message = await answer
        return response

    def _answer(self, futures: list[Future], success: bool, text: str) -> None:
        with self.arrived:
            self.asked = [
                (asked_at, future) for asked_at, future in self.asked if future not in futures
            ]
        for future in futures:
            future.set_result((success, text))

    def _answer_all(self, success: bool, text: str) -> None:
        waiting, self.asked = self.asked, []
        for _, future in waiting:
            future.set_result((success, text))

    # What the node says of itself.

    def _watch(self) -> None:
        """Say what is not heard, and why that may be: silence is what users of such nodes complain
        of most."""
        if not self.inputs:
            return
        topic = self.inputs[0].topic_name
        publishers = self.get_publishers_info_by_topic(topic)
        if len(publishers) > 1:
            self.warn(
                f'{len(publishers)} nodes publish {topic}'
                f' ({", ".join(sorted(one.node_name for one in publishers))}): expected one camera;'
                ' frames are mixed'
            )
        silent = time.monotonic() - self.heard
        if silent < self.settings.silence_s:
            if self.pairing.unpaired and self.pairing.waiting is not None:
                self.warn(
                    f'depth arrives on {topic}, but no colour within {self.settings.sync_slop_s:g}'
                    f" s of it on {self.inputs[2].topic_name}: expected the same camera's colour;"
                    ' is it published and remapped, or sync_slop_s too small?'
                )
            return
        reason = self._why_silent(topic, publishers)
        self.warn(reason)
        self.bin_state = 'not known'
        self.complaint, self.refused_at = reason, time.monotonic()
        with self.arrived:
            self._answer_all(False, reason)

    def _why_silent(self, topic: str, publishers: list) -> str:
        if not publishers:
            return (
                f'nobody publishes {topic}: expected a depth camera there; is it running, is'
                ' depth/image remapped, is ROS_DOMAIN_ID the same?'
            )
        offers = ', '.join(
            sorted(
                {
                    f'{one.node_name} ({one.topic_type},'
                    f' {one.qos_profile.reliability.name.lower()})'
                    for one in publishers
                }
            )
        )
        return (
            f'nothing is heard on {topic}, though it is published by {offers}: expected'
            ' sensor_msgs/msg/Image; a reliable subscription (qos_overrides) hears no best-effort'
            ' publisher, and large images need config/fastdds.xml on both sides'
        )

    def _diagnose(self) -> None:
        """Once a second, whatever state the node is in."""
        if not self.diagnostics.get_subscription_count():
            return
        device = str(getattr(self.segmenter, 'device', 'cpu'))
        past_s = self.get_parameter('silence_s').value
        recent = time.monotonic() - self.refused_at < past_s and self.complaint
        silent = self.running and time.monotonic() - self.heard > past_s
        level = (
            DiagnosticStatus.ERROR
            if silent
            else DiagnosticStatus.WARN
            if recent or not self.running
            else DiagnosticStatus.OK
        )
        words = (
            self.complaint
            if recent
            else (
                f'no depth image for {time.monotonic() - self.heard:.0f} s'
                if silent
                else f'{self.meter.rate():.1f} frames/s'
                if self.running
                else 'not active'
            )
        )
        values = {
            'state': (
                'active'
                if self.running
                else 'inactive'
                if self.segmenter is not None
                else 'unconfigured'
            ),
            'model': self.get_parameter('model').value,
            'device': device,
            'bin': self.bin_state,
            **self.meter.values(),
            **memory(device),
        }
        self.want_state = True
        array = DiagnosticArray(
            status=[
                status(
                    self.get_fully_qualified_name(),
                    self.get_parameter('model').value,
                    level,
                    words,
                    values,
                )
            ]
        )
        array.header.stamp = self.get_clock().now().to_msg()
        self.diagnostics.publish(array)


def _vision_messages() -> ModuleType | None:
    """vision_msgs.msg where it is installed."""
    try:
        return importlib.import_module('vision_msgs.msg')
    except ImportError:
        return None


def make_node() -> SegmenterNode:
    """The node; with the parameter autostart it configures and activates itself."""
    node = SegmenterNode()
    if node.get_parameter('autostart').value:
        if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            node.trigger_activate()
    return node


def main() -> int:
    """Entry point of `ros2 run insegan_ros segmenter`."""
    return run_node(make_node)


if __name__ == '__main__':
    raise SystemExit(main())
