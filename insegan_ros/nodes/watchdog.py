"""What the segmenter does not receive, and why that may be: silence is what users of such nodes
complain of most."""

from __future__ import annotations

import time

from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from insegan_ros.nodes.diagnostics import Health
from insegan_ros.nodes.runtime import Warner


class Watchdog:
    """Looks once in a while at the inputs of a node, and warns of what is wrong with them."""

    def __init__(self, node: Node, health: Health, warn: Warner) -> None:
        self.node, self.health, self.warn = node, health, warn

    def check(
        self, depth: Subscription, colour: Subscription | None, silence_s: float, sync_slop_s: float
    ) -> str:
        """Why no frame has come for silence_s seconds; empty while they come.

        depth, colour: the subscriptions, colour only where the node waits for it.
        """
        topic = depth.topic_name
        publishers = self.node.get_publishers_info_by_topic(topic)
        if len(publishers) > 1:
            self.warn(
                f'{len(publishers)} nodes publish {topic}'
                f' ({", ".join(sorted(one.node_name for one in publishers))}): expected one camera;'
                ' frames are mixed'
            )
        now, reason = time.monotonic(), ''
        if now - self.health.last_image_s >= silence_s:
            reason = why_silent(topic, publishers)
        elif colour is not None and now - self.health.last_frame_s >= silence_s:
            reason = (
                f'depth arrives on {topic}, but no colour within {sync_slop_s:g} s of it on'
                f" {colour.topic_name}: expected the same camera's colour; is it published and"
                ' remapped, or sync_slop_s too small?'
            )
        if reason:
            self.warn(reason)
            self.health.fail(reason)
        return reason


def why_silent(topic: str, publishers: list[TopicEndpointInfo]) -> str:
    """In words, why nothing may come on a depth topic that has these publishers."""
    if not publishers:
        return (
            f'nobody publishes {topic}: expected a depth camera there; is it running, is'
            ' depth/image remapped, is ROS_DOMAIN_ID the same?'
        )
    offers = {
        f'{one.node_name} ({one.topic_type}, {one.qos_profile.reliability.name.lower()})'
        for one in publishers
    }
    return (
        f'nothing is heard on {topic}, though it is published by {", ".join(sorted(offers))}:'
        ' expected sensor_msgs/msg/Image; a reliable subscription (qos_overrides) hears no'
        ' best-effort publisher, and large images need config/fastdds.xml on both sides'
    )
