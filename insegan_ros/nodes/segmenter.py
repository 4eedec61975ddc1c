"""The `segmenter` lifecycle node: depth in, instance masks out.

    inputs   depth/image (sensor_msgs/Image, 16UC1 mm or 32FC1 m), depth/camera_info (sensor_msgs/CameraInfo)
    outputs  ~/instances (Image 16UC1 labels), ~/overlay (Image rgb8), ~/poses (geometry_msgs/PoseArray),
             ~/pick_candidates (geometry_msgs/PoseArray, the best first), ~/bin_state (std_msgs/String)

Callbacks only keep the newest frame; a worker thread segments it, so a slow network drops frames instead of growing old.
"""
from __future__ import annotations

import threading
import time

import numpy as np
import torch
from geometry_msgs.msg import PoseArray
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from insegan_ros.errors import InseganError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.nodes.conversions import frame_from_messages, image_message, pose_array_message
from insegan_ros.nodes.parameters import declare, pick_config, validate, workspace_from
from insegan_ros.nodes.runtime import run_node
from insegan_ros.overlay import overlay
from insegan_ros.picks import BinState, bin_state, rank_picks
from insegan_ros.segmenters.base import Segmenter, resolve_workspace
from insegan_ros.segmenters.registry import load_segmenter

# REP 2003: take any publisher, hold one frame. Results are reliable.
INPUT_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
OUTPUT_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE)
SAME_MESSAGE_EVERY_S = 5.0
WATCH_EVERY_S = 1.0


class SegmenterNode(LifecycleNode):
    """See the module's text."""

    def __init__(self) -> None:
        self.segmenter: Segmenter | None = None
        self.inputs: list = []
        self.outputs: dict = {}
        self.info: CameraInfo | None = None
        self.newest: Image | None = None
        self.arrived = threading.Condition()
        self.worker: threading.Thread | None = None
        self.watchdog: Timer | None = None
        self.running = False
        self.said: dict[str, float] = {}
        self.counts = {'in': 0, 'out': 0, 'refused': 0}
        self.heard = 0.0
        super().__init__('segmenter')
        declare(self)
        self.add_on_set_parameters_callback(lambda changed: validate(self, changed))

    # Lifecycle. rclpy swallows exceptions in these callbacks, so each is caught and said in words.

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Load and warm up the model, make the publishers."""
        value = {name: self.get_parameter(name).value for name in ('model', 'segmenter', 'device', 'instances', 'mesh', 'mesh_scale')}
        try:
            pick_config(self)
            self.segmenter = load_segmenter(**value, workspace=workspace_from(self))
            # The networks are small: a second thread on a CPU gains nothing and takes a core from the camera.
            torch.set_num_threads(1)
            self._warm_up()
        except InseganError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy would swallow it
            self.get_logger().error(f'the model could not be made ready: {type(error).__name__}: {error}')
            return TransitionCallbackReturn.FAILURE
        self.outputs = {
            'instances': self.create_lifecycle_publisher(Image, '~/instances', OUTPUT_QOS),
            'overlay': self.create_lifecycle_publisher(Image, '~/overlay', OUTPUT_QOS),
            'poses': self.create_lifecycle_publisher(PoseArray, '~/poses', OUTPUT_QOS),
            'pick_candidates': self.create_lifecycle_publisher(PoseArray, '~/pick_candidates', OUTPUT_QOS),
            'bin_state': self.create_lifecycle_publisher(String, '~/bin_state', OUTPUT_QOS)}
        self.get_logger().info(f'ready: {value["model"]} on {getattr(self.segmenter, "device", "cpu")}')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        overrides = QoSOverridingOptions.with_default_policies()
        try:
            self.inputs = [
                self.create_subscription(Image, 'depth/image', self._on_image, INPUT_QOS, qos_overriding_options=overrides),
                self.create_subscription(CameraInfo, 'depth/camera_info', self._on_info, INPUT_QOS, qos_overriding_options=overrides)]
        except Exception as error:  # an override that no policy knows
            self.get_logger().error(f'cannot subscribe: {error}')
            return TransitionCallbackReturn.FAILURE
        self.heard = time.monotonic()
        self.watchdog = self.create_timer(WATCH_EVERY_S, self._watch)
        self.running = True
        self.worker = threading.Thread(target=self._work, name='segmenter-worker', daemon=True)
        self.worker.start()
        self.get_logger().info(f'listening on {self.inputs[0].topic_name} and {self.inputs[1].topic_name}')
        return super().on_activate(state)

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
        for publisher in self.outputs.values():
            self.destroy_publisher(publisher)
        self.outputs, self.segmenter = {}, None

    def _warm_up(self) -> None:
        """One empty bin of the usual size, so that the first real frame is not the slow one."""
        camera = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)
        given, self.segmenter.workspace = self.segmenter.workspace, None
        try:
            self.segmenter.segment(Frame(np.full((480, 640), 0.5, np.float32), camera))
        finally:
            self.segmenter.workspace = given

    # Frames.

    def _on_info(self, info: CameraInfo) -> None:
        self.info = info

    def _on_image(self, image: Image) -> None:
        with self.arrived:
            self.counts['in'] += 1
            self.heard = time.monotonic()
            self.newest = image
            self.arrived.notify()

    def _work(self) -> None:
        while True:
            with self.arrived:
                self.arrived.wait_for(lambda: self.newest is not None or not self.running)
                if not self.running:
                    return
                image, self.newest = self.newest, None
            try:
                self._process(image)
            except InseganError as error:
                self.counts['refused'] += 1
                self._say(str(error))
            except Exception as error:  # a frame may fail, the node may not
                if not self.context.ok():
                    return
                self.counts['refused'] += 1
                self._say(f'a frame was left out: {type(error).__name__}: {error}')

    def _process(self, image: Image) -> None:
        if self.info is None:
            self._say(f'depth arrives but no camera_info on {self.resolve_topic_name("depth/camera_info")}: expected one beside the image; is it remapped?')
            return
        frame = frame_from_messages(image, self.info)
        if not np.isfinite(frame.depth_m).any():
            self._say('the depth image has no reading at all: expected depth; is the lens covered or the emitter off?')
        found = self.segmenter.segment(frame) if np.isfinite(frame.depth_m).any() else Instances.none(frame.depth_m.shape)
        self.outputs['instances'].publish(image_message(found.labels, '16UC1', image.header))
        self.outputs['poses'].publish(pose_array_message(found.poses, image.header))
        if self.outputs['overlay'].get_subscription_count():
            self.outputs['overlay'].publish(image_message(overlay(frame.depth_m, found.labels), 'rgb8', image.header))
        if self.outputs['pick_candidates'].get_subscription_count() or self.outputs['bin_state'].get_subscription_count():
            self._publish_picks(frame, found, image.header)
        self.counts['out'] += 1

    def _publish_picks(self, frame: Frame, found: Instances, header: Header) -> None:
        """Possible picks, the best first, and the bin's state."""
        if not np.isfinite(frame.depth_m).any():
            picks, state = [], BinState.NO_READING
        else:
            config, workspace = pick_config(self), resolve_workspace(self.segmenter.workspace, frame)
            scales = getattr(self.segmenter, 'scales', None)
            picks = rank_picks(frame, workspace, found, config, scales.part_area_m2 if scales else 0.0)
            state = bin_state(frame, workspace, picks, config)
        poses = np.array([pick.pose for pick in picks if pick.possible]).reshape(-1, 4, 4)
        self.outputs['pick_candidates'].publish(pose_array_message(poses, header))
        self.outputs['bin_state'].publish(String(data=state.value))

    def _watch(self) -> None:
        """Say what is not heard, and why that may be: silence is what users of such nodes complain of most."""
        silent = time.monotonic() - self.heard
        if not self.inputs or silent < self.get_parameter('silence_s').value:
            return
        topic = self.inputs[0].topic_name
        publishers = self.get_publishers_info_by_topic(topic)
        if not publishers:
            self._say(f'nobody publishes {topic}: expected a depth camera there; is it running, is depth/image remapped, is ROS_DOMAIN_ID the same?')
            return
        offers = ', '.join(sorted({f'{one.node_name} ({one.topic_type}, {one.qos_profile.reliability.name.lower()})' for one in publishers}))
        self._say(f'nothing is heard on {topic}, though it is published by {offers}: expected sensor_msgs/msg/Image; a reliable subscription '
                  '(qos_overrides) hears no best-effort publisher, and large images need config/fastdds.xml on both sides')

    def _say(self, text: str) -> None:
        """The same warning once in a while, not thirty times a second."""
        now = time.monotonic()
        if now - self.said.get(text, -SAME_MESSAGE_EVERY_S) >= SAME_MESSAGE_EVERY_S:
            self.said[text] = now
            self.get_logger().warning(text)


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
