"""The publishers of a segmenter's outputs, each asked only while somebody listens."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.limits import check_time
from insegan_ros.nodes.outputs import Output, outputs
from insegan_ros.nodes.result import Result
from insegan_ros.nodes.transforms import UnknownFrame
from insegan_ros.nodes.worker import FrameWorker

OUTPUT_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
)
LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class Publishers:
    """One a line of `outputs()`, while the node is configured. vision: see there."""

    def __init__(self, node: LifecycleNode, vision: ModuleType | None) -> None:
        self.node, self.vision = node, vision
        self.all: list[tuple[Output, Any]] = []

    def open(self) -> None:
        """Make them."""
        for output in outputs(self.vision):
            qos = LATCHED_QOS if output.latched else OUTPUT_QOS
            made: Any = self.node.create_lifecycle_publisher(output.kind, f'~/{output.name}', qos)
            self.all.append((output, made))

    def close(self) -> None:
        """Take them away."""
        for _, publisher in self.all:
            self.node.destroy_publisher(publisher)
        self.all = []

    def heard(self) -> bool:
        """Whether somebody listens to what is made of frames."""
        return any(
            publisher.get_subscription_count()
            for output, publisher in self.all
            if not output.latched
        )

    def publish_latched(self, part: str, kinds: tuple[str, ...]) -> None:
        """What does not depend on a frame, such as the part's name; kinds: see Result."""
        camera = Intrinsics(1, 1, 0, 0, 1, 1)
        no_frame = Frame(np.full((1, 1), np.nan, np.float32), camera)
        nothing = Result(no_frame, Instances.none((1, 1)), None, Header(), part, kinds=kinds)
        for output, publisher in self.all:
            if output.latched:
                publisher.publish(output.make(nothing))

    def publish(
        self, worker: FrameWorker, result: Result, everything: bool
    ) -> tuple[dict[str, Any], UnknownFrame | None]:
        """What is listened to, or everything; by its name what was published, and why nothing was
        in the frame that poses are asked for in. Raises InputError where the worker was stopped
        meanwhile."""
        lost: UnknownFrame | None = None
        published: dict[str, Any] = {}
        for output, publisher in self.all:
            if output.latched or not (everything or publisher.get_subscription_count()):
                continue
            try:
                with worker.meter.stage('post-process'):
                    check_time()
                    message = output.make(result)
            except UnknownFrame as error:
                # What does not depend on where the camera is goes out all the same.
                lost = error
                continue
            with worker.meter.stage('publish'):
                if not worker.running:
                    raise InputError('the node was deactivated before the frame was finished')
                if message is not None:
                    publisher.publish(message)
                    published[output.name] = message
        return published, lost
