"""The `page` node: a page for a screen beside the cell, in any browser, without RViz.

    inputs   ~/overlay, ~/instances, ~/bin_state, ~/pick_table and, where somebody publishes it,
             ~/fill_level of a segmenter, and /diagnostics
    serves   http://127.0.0.1:8080, GET alone

It knows the segmenter by its topics alone, and listens to the costly ones only while a browser asks
for them: nobody looks, nothing is worked out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32, String

from insegan_ros.errors import ConfigError
from insegan_ros.files import shipped_file
from insegan_ros.nodes.declared import at_start, declare
from insegan_ros.nodes.page_server import Content, PageServer
from insegan_ros.nodes.page_view import PageView
from insegan_ros.nodes.runtime import run_node

# So long after the last browser has asked, the outputs are listened to.
WATCHED_S = 5.0
LOOK_EVERY_S = 0.25
QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE)
FILES = {
    '/': ('page.html', 'text/html; charset=utf-8'),
    '/page.css': ('page.css', 'text/css; charset=utf-8'),
    '/page.js': ('page.js', 'text/javascript; charset=utf-8'),
}


PARAMETERS = (
    at_start('segmenter', '/segmenter', "the segmenter's full name"),
    at_start('address', '127.0.0.1', 'where it listens; 0.0.0.0: on every network of this machine'),
    at_start('port', 8080, 'TCP port; 0: any that is free', 0, 65535),
    at_start(
        'hosts',
        '',
        'host names by which browsers may ask besides localhost and addresses, separated by commas',
    ),
    at_start(
        'picks',
        True,
        'show picks, and with them the state of the bin; where nobody else asks for picks they slow'
        ' the segmenter down while the page is looked at',
    ),
)


class PageNode(Node):
    """Hears a segmenter and shows it."""

    def __init__(self, **options: Any) -> None:
        """options: rclpy's of a node. Raises ConfigError where the page cannot be served."""
        # Before anything can fail: rclpy destroys half-made nodes too.
        self.server: PageServer | None = None
        super().__init__('page', **options)
        values = declare(self, PARAMETERS)
        address = values['address']
        self.view = PageView(self._full_name(values['segmenter']))
        self.asked_s = -WATCHED_S
        self.heard: list[Subscription] = []
        self.topics: list[tuple[type, str, Callable[[Any], None]]] = [
            (Image, 'overlay', self.view.on_overlay),
            (Image, 'instances', self.view.on_instances),
            (Float32, 'fill_level', self.view.on_fill_level),
        ]
        if values['picks']:
            self.topics += [
                (String, 'bin_state', self.view.on_bin_state),
                (PointCloud2, 'pick_table', self.view.on_pick_table),
            ]
        self.create_subscription(DiagnosticArray, '/diagnostics', self.view.on_diagnostics, 10)
        # By a clock of its own: a recording's may stand still.
        self.create_timer(LOOK_EVERY_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.files = {path: _file(*about) for path, about in FILES.items()}
        names = [name for one in values['hosts'].split(',') if (name := one.strip())]
        self.server = PageServer(address, values['port'], self.content, names)
        self.server.start()
        shown = f'[{address}]' if ':' in address else address
        self.get_logger().info(
            f'{self.view.segmenter} is shown on http://{shown}:{self.server.port}'
        )

    def _full_name(self, segmenter: str) -> str:
        """A node's name with its namespace, this node's where it is given without. Raises
        ConfigError."""
        try:
            return expand_topic_name(segmenter, self.get_name(), self.get_namespace())
        except (InvalidTopicNameException, ValueError) as error:
            raise ConfigError(
                f'parameter segmenter is "{segmenter}": expected the name of a node, such as'
                ' /segmenter'
            ) from error

    def destroy_node(self) -> None:
        """Close the page before what it shows goes."""
        if self.server is not None:
            self.server.stop()
        super().destroy_node()

    def content(self, path: str) -> Content | None:
        """What a browser that asks for a path gets; None where there is nothing."""
        if path in self.files:
            return self.files[path]
        if path == '/status.json':
            self.asked_s = time.monotonic()
            return Content('application/json', json.dumps(self.view.status()).encode())
        picture = self.view.picture() if path == '/overlay.jpg' else None
        return None if picture is None else Content('image/jpeg', picture)

    def _look(self) -> None:
        """Listen while somebody looks."""
        watched = time.monotonic() - self.asked_s < WATCHED_S
        if watched and not self.heard:
            self.heard = [
                self.create_subscription(kind, f'{self.view.segmenter}/{name}', callback, QOS)
                for kind, name, callback in self.topics
            ]
        elif not watched and self.heard:
            for subscription in self.heard:
                self.destroy_subscription(subscription)
            self.heard = []


def _file(name: str, kind: str) -> Content:
    path = shipped_file('web', name)
    if path is None:
        raise ConfigError(
            f'web/{name} is not installed: expected the files of the page beside the package; was'
            ' it built whole?'
        )
    return Content(kind, path.read_bytes())


def main() -> int:
    """Entry point of `ros2 run insegan_ros page`."""
    return run_node(PageNode)


if __name__ == '__main__':
    raise SystemExit(main())
