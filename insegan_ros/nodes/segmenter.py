"""The `segmenter` lifecycle node: depth in, instance masks out.

    inputs   depth/image (sensor_msgs/Image, 16UC1 mm or 32FC1 m), depth/camera_info
    (sensor_msgs/CameraInfo), and with `use_colour`
             or a method that looks at colour color/image (Image, aligned to depth)
    outputs  those of `outputs.py`, and /diagnostics (diagnostic_msgs/DiagnosticArray)
    service  ~/segment_once (std_srvs/Trigger)
    action   ~/segment_bin (insegan_ros_interfaces/SegmentBin), where that package is installed

Callbacks only keep the newest frame; a worker thread segments it, so a slow network drops frames
instead of growing old. Frames are worked on only while somebody listens to what comes of them, or
asks once.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger
from threadpoolctl import threadpool_limits

from insegan_ros.camera.messages import lens_warning_of, stamp_ns
from insegan_ros.camera.pairing import Pairing
from insegan_ros.errors import ConfigError, InputError, InseganError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.limits import time_limit
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.nodes.conversions import frame_from_messages
from insegan_ros.nodes.declared import declare
from insegan_ros.nodes.diagnostics import Health, Meter, diagnostic_array, memory, summary
from insegan_ros.nodes.models import Models, load_error
from insegan_ros.nodes.parameters import (
    PARAMETERS,
    default_settings,
    misspelt,
    model_parameters,
    refuse_unless_unconfigured,
    settings,
)
from insegan_ros.nodes.publishers import Publishers
from insegan_ros.nodes.result import Result
from insegan_ros.nodes.runtime import Warner, run_node
from insegan_ros.nodes.segment_action import NOT_ACTIVE, SegmentAction, action_type
from insegan_ros.nodes.transforms import TargetFrame
from insegan_ros.nodes.watchdog import Watchdog
from insegan_ros.nodes.worker import DepthInput, FrameWorker
from insegan_ros.picking.carrier import Place
from insegan_ros.picking.tracks import Tracker
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace, resolve_workspace

# REP 2003: take any publisher, hold one frame.
INPUT_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
WATCH_EVERY_S = 1.0
# A frame answers all who wait for it at once, and a service of ROS 2 keeps the last ten requests
# and answers.
REQUESTS_KEPT = 100
# What a part is called whose name no model knows.
UNNAMED = 'part'


class SegmenterNode(LifecycleNode):
    """Segments the newest depth image in a worker thread and publishes what is subscribed to."""

    def __init__(self, **options: Any) -> None:
        """options: rclpy's of a node."""
        self.models = Models(self._load, self._on_switched, self._on_not_switched)
        self.subscriptions_by_input: dict[str, Subscription] = {}
        self.pairing = Pairing()
        # While the node is configured.
        self.target: TargetFrame | None = None
        # While the node is active.
        self.worker: FrameWorker | None = None
        self.action: SegmentAction | None = None
        self.input_timer: Timer | None = None
        self.uses_colour = False
        self.meter, self.health, self.tracker = Meter(), Health(), Tracker()
        super().__init__('segmenter', **options)
        self.warn = Warner(self)
        self.watchdog = Watchdog(self, self.health, self.warn)
        declare(self, PARAMETERS)
        for line in misspelt(self):
            self.get_logger().warning(line)
        # Those given at the start are read at configure, where a wrong one can be said.
        self.settings = default_settings()
        self.outputs = Publishers(self, _vision_messages())
        self.add_on_set_parameters_callback(self._on_parameters)
        self.add_post_set_parameters_callback(self._on_model)
        self.diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # By a clock of its own: a recording's may run slowly, and stands still at its end.
        self.create_timer(
            WATCH_EVERY_S, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        # A group of its own: while a request waits for its frame, the others' callbacks must go on.
        self.create_service(
            Trigger,
            '~/segment_once',
            self._on_once,
            qos_profile=QoSProfile(depth=REQUESTS_KEPT),
            callback_group=ReentrantCallbackGroup(),
        )
        if (kind := action_type()) is not None:
            self.action = SegmentAction(self, kind, lambda: self.worker)

    @property
    def segmenter(self) -> Segmenter:
        """The method that runs. Only while the node is configured."""
        if (running := self.models.running) is None:
            raise InseganError('the node has no model: configure it first')
        return running

    # Lifecycle. rclpy swallows exceptions in these callbacks, so each is caught and said in words.

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Load and warm up the model, make the publishers."""
        try:
            self.settings = settings(self)
            frame = self.get_parameter('target_frame').value
            self.target = TargetFrame(self, frame) if frame else None
            # The networks are small: a second thread on a CPU gains nothing and takes a core from
            # the camera. Those of NumPy's products spin while they wait.
            torch.set_num_threads(1)
            threadpool_limits(1)
            self.models.begin(*(self.get_parameter(name).value for name in ('model', 'models')))
        except Exception as error:  # rclpy would swallow it
            return self._cannot_configure(load_error(error))
        if self.outputs.vision is None:
            self.get_logger().info(
                'vision_msgs is not installed: ~/picks, ~/parts, ~/detections and ~/label_info'
                ' are not offered'
            )
        if self.action is None:
            self.get_logger().info(
                'insegan_ros_interfaces is not installed: ~/segment_bin is not offered'
            )
        if self.settings.workspace is None:
            self.get_logger().info(
                'no floor is given: it is fitted to every frame, and the whole image is looked at'
            )
        self.outputs.open()
        self._say_what_runs(self.models.name, self.segmenter)
        return TransitionCallbackReturn.SUCCESS

    def _cannot_configure(self, text: str) -> TransitionCallbackReturn:
        self._release()
        self.get_logger().error(text)
        self.health.fail(text)
        return TransitionCallbackReturn.FAILURE

    def _say_what_runs(self, name: str, one: Segmenter) -> None:
        self.get_logger().info(f'ready: {name} on {one.device}, runtime {one.runtime}')

    def _load(self, model: str) -> Segmenter:
        """A model, warmed up. Raises InseganError where it cannot be loaded, or needs what the node
        does not listen to."""
        segmenter = load_segmenter(**{**model_parameters(self), 'model': model})
        if self.worker is not None and segmenter.needs_colour and not self.uses_colour:
            raise ConfigError(
                f'{model} looks at colour, which this node does not listen to: expected it among'
                ' `models`, or use_colour, when the node is configured'
            )
        self._warm_up(segmenter)
        return segmenter

    def _warm_up(self, segmenter: Segmenter) -> None:
        """Segment a full bin, so that the first real frame is not the slow one."""
        camera = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)
        workspace = self.settings.workspace or Workspace((0.0, 0.0, -1.0, 0.5))
        try:
            depth = workspace.floor_depth(camera)
            (left, top, right, bottom) = workspace.window(camera)
            depth[top:bottom, left:right] -= 0.02
            segmenter.segment(Frame(depth, camera, np.zeros((480, 640, 3), np.uint8)), workspace)
        except InputError as refused:
            # A network for bins of one size, say: real frames tell whether the robot's is of that
            # size.
            self.get_logger().debug(f'not warmed up: {refused}')

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        self.uses_colour = bool(self.get_parameter('use_colour').value or self.models.needs_colour)
        try:
            self._subscribe()
        except Exception as error:  # an override that no policy knows
            self.get_logger().error(f'cannot subscribe: {error}')
            return TransitionCallbackReturn.FAILURE
        self.health.last_image_s = self.health.last_frame_s = time.monotonic()
        self.health.stopped = ''
        self.pairing, self.tracker = Pairing(), Tracker()
        self.worker = FrameWorker(
            self._process_in_time, self._wanted, lambda: self.settings.max_rate, self._refused
        )
        self.meter = self.worker.meter
        # By a clock of its own, too: where use_sim_time waits for a /clock that nobody publishes,
        # silence is to be said.
        self.input_timer = self.create_timer(
            WATCH_EVERY_S, self._watch_inputs, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.worker.start()
        topics = ' and '.join(one.topic_name for one in self.subscriptions_by_input.values())
        self.get_logger().info(f'listening on {topics}')
        done = super().on_activate(state)
        self._publish_latched(self.segmenter)
        return done

    def _subscribe(self) -> None:
        overrides = QoSOverridingOptions.with_default_policies()
        wanted: list[tuple[str, type, Callable[[Any], None]]] = [
            ('depth/image', Image, self._on_depth),
            ('depth/camera_info', CameraInfo, self._on_camera_info),
        ]
        if self.uses_colour:
            wanted.append(('color/image', Image, self._on_colour))
        for topic, kind, callback in wanted:
            self.subscriptions_by_input[topic] = self.create_subscription(
                kind, topic, callback, INPUT_QOS, qos_overriding_options=overrides
            )

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
        """Stop the worker, and what is being loaded, before its publishers go."""
        self._stop()
        if self.action is not None:
            self.action.destroy()
        self.models.clear()
        super().destroy_node()

    def _stop(self) -> None:
        if self.worker is not None and not self.worker.stop('the node was deactivated'):
            self.get_logger().warning(
                'a frame is still being worked on: nothing of it will be published'
            )
        self.worker = None
        if self.input_timer is not None:
            self.destroy_timer(self.input_timer)
            self.input_timer = None
        for subscription in self.subscriptions_by_input.values():
            self.destroy_subscription(subscription)
        self.subscriptions_by_input = {}

    def _release(self) -> None:
        self.outputs.close()
        self.models.clear()
        if self.target is not None:
            self.target.close()
            self.target = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _on_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        """Whether a change can be, and if not, why; what is live acts from the next frame on."""
        configured = self.models.running is not None
        reason = refuse_unless_unconfigured(self, changed) if configured else ''
        try:
            new = settings(self, changed)
            for one in changed:
                if configured and one.name == 'model':
                    self.models.check(one.value)
        except Exception as error:  # whatever it is: rclpy would end the node with it
            text = (
                str(error)
                if isinstance(error, InseganError)
                else f'{type(error).__name__}: {error}'
            )
            return SetParametersResult(successful=False, reason=text)
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        self.settings = new
        if new.waiting:  # rclpy drops the reason of what is accepted
            self.warn(new.waiting)
        return SetParametersResult(successful=True)

    def _on_model(self, changed: list[Parameter]) -> None:
        """Another model is asked for of a node that has one."""
        for one in changed:
            if self.models.running is not None and one.name == 'model':
                self.models.switch(one.value)

    def _on_switched(self, name: str, segmenter: Segmenter) -> None:
        self._say_what_runs(name, segmenter)
        if self.worker is not None:
            self._publish_latched(segmenter)

    def _publish_latched(self, segmenter: Segmenter) -> None:
        self.outputs.publish_latched(segmenter.part or UNNAMED, segmenter.classes)

    def _on_not_switched(self, reason: str) -> None:
        """The parameter says again what runs."""
        text = f'{reason}; {self.models.name} stays in use'
        self.get_logger().error(text)
        self.health.fail(text)
        self.set_parameters([Parameter('model', value=self.models.name)])

    # Frames.

    def _on_camera_info(self, info: CameraInfo) -> None:
        if self.worker is not None:
            self.worker.take_camera_info(info)

    def _on_depth(self, image: Image) -> None:
        self.health.last_image_s = time.monotonic()
        self.meter.counts['in'] += 1
        if not self.uses_colour:
            self._take(image, None)
        elif pair := self.pairing.depth(image, self.settings.sync_slop_s):
            self._take(*pair)

    def _on_colour(self, image: Image) -> None:
        if pair := self.pairing.colour(image, self.settings.sync_slop_s):
            self._take(*pair)

    def _take(self, depth: Image, colour: Image | None) -> None:
        self.health.last_frame_s = time.monotonic()
        if self.worker is not None:
            self.worker.take(depth, colour)

    def _wanted(self) -> bool:
        return self.settings.continuous and self.outputs.heard()

    def _refused(self, reason: str) -> None:
        self.health.fail(reason)
        self.warn(reason)

    def _process_in_time(
        self, worker: FrameWorker, newest: DepthInput, everything: bool
    ) -> tuple[str, Mapping[str, Any]]:
        with time_limit(self.settings.max_frame_s):
            return self._process(worker, newest, everything)

    def _process(
        self, worker: FrameWorker, newest: DepthInput, everything: bool
    ) -> tuple[str, Mapping[str, Any]]:
        """Segment a frame and publish what is subscribed to, or everything; what was found, in
        words, and what was published. Raises InputError."""
        # The worker's own: one that is disowned must not count for, or use, what came after it.
        meter, live, segmenter = worker.meter, self.settings, self.segmenter
        tracker = self.tracker
        header = newest.depth.header
        with meter.stage('convert'):
            frame = self._frame(newest, worker.camera_info)
            readable = bool(np.isfinite(frame.depth_m).any())
            workspace = resolve_workspace(live.workspace, frame) if readable else None
        with meter.stage('infer'):
            found = (
                segmenter.segment(frame, workspace)
                if workspace is not None
                else Instances.none(frame.depth_m.shape)
            )
            if live.min_score:
                found = found.only(found.scores >= live.min_score)
        area_m2, part = segmenter.scales.part_area_m2, segmenter.part or UNNAMED
        result = Result(
            frame,
            found,
            workspace,
            header,
            part,
            live.picking,
            area_m2,
            segmenter.mesh,
            live.tooling,
            self.target,
            tracker,
            segmenter.classes,
        )
        published = self._publish(worker, result, everything)
        meter.finish((self.get_clock().now().nanoseconds - stamp_ns(header)) / 1e9)
        self._warn_of_frame(frame, readable)
        return result.summary if everything else f'{len(found)} instances', published

    def _frame(self, newest: DepthInput, camera_info: CameraInfo | None) -> Frame:
        if camera_info is None:
            raise InputError(
                'depth arrives but no camera_info on'
                f' {self.resolve_topic_name("depth/camera_info")}: expected one beside the image;'
                ' is it remapped?'
            )
        frame = frame_from_messages(newest.depth, camera_info, newest.colour)
        if warning := lens_warning_of(camera_info):
            self.warn(warning)
        return frame

    def _publish(self, worker: FrameWorker, result: Result, everything: bool) -> Mapping[str, Any]:
        published, lost = self.outputs.publish(worker, result, everything)
        with worker.meter.stage('post-process'):
            self._tell_of_bin(result)
        if lost is not None and everything:
            raise lost
        if lost is not None:
            self._refused(str(lost))
        return published

    def _tell_of_bin(self, result: Result) -> None:
        """What nobody listens to is not found out for the diagnostics alone; but where parts are to
        be taken, a bin that has moved is said."""
        known = vars(result)
        self.health.bin_state = result.state.value if 'state' in known else 'not asked for'
        carrier = result.carrier if {'picks', 'carrier'} & set(known) else None
        self.health.bin_place = carrier.said if carrier is not None else 'not asked for'
        self.health.bin_moved = carrier is not None and carrier.place == Place.MOVED
        if self.health.bin_moved:
            self.warn(f'the bin is not where the workspace says: {self.health.bin_place}')

    def _warn_of_frame(self, frame: Frame, readable: bool) -> None:
        if not readable:
            self.warn(
                'the depth image has no reading at all: expected depth; is the lens covered or the'
                ' emitter off?'
            )
        if frame.stamp_ns == 0:
            self.warn(
                "the depth image's stamp is zero: expected the time of the picture; results carry"
                ' the same stamp, for which no transforms will be found'
            )

    # One frame on request.

    async def _on_once(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Segment the next frame that comes after the call and publish everything, whoever
        listens."""
        if self.worker is None:
            response.success = False
            response.message = NOT_ACTIVE
            return response
        answer: Future = Future()
        self.worker.ask(answer)
        response.success, response.message, _ = await answer  # type: ignore[misc]
        return response

    # What the node says of itself.

    def _watch_inputs(self) -> None:
        inputs, live = self.subscriptions_by_input, self.settings
        if self.worker is not None and self.worker.died:
            self._leave_active(self.worker.died)
        elif self.worker is not None and self.worker.busy_s() > 2 * live.max_frame_s > 0:
            self._leave_active(f'a frame takes longer than twice {live.max_frame_s:g} s')
        elif self.worker is not None and (
            reason := self.watchdog.check(
                inputs['depth/image'], inputs.get('color/image'), live.silence_s, live.sync_slop_s
            )
        ):
            self.worker.answer_all(reason)

    def _leave_active(self, reason: str) -> None:
        """A node that cannot work any more does not say that it is active."""
        self.get_logger().error(f'{reason}; the node is deactivated')
        self.health.stopped = reason
        self.trigger_deactivate()

    def _diagnose(self) -> None:
        """Once a second, whatever state the node is in."""
        if not self.diagnostics.get_subscription_count():
            return
        running = self.models.running
        configured = 'unconfigured' if running is None else 'inactive'
        state = configured if self.worker is None else 'active'
        model = self.models.name or str(self.get_parameter('model').value)
        device = str(running.device) if running is not None else 'cpu'
        values = {
            'state': state,
            'model': model,
            'device': device,
            'runtime': running.runtime if running is not None else 'torch',
            'loading': self.models.loading or 'nothing',
            'bin': self.health.bin_state,
            'bin place': self.health.bin_place,
            **self.meter.values(),
            **memory(device),
        }
        live = self.settings
        level, message = summary(
            self.health, self.meter, state, live.silence_s, self._wanted(), live.waiting
        )
        self.diagnostics.publish(diagnostic_array(self, model, level, message, values))


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
