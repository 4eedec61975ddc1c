"""What every node shares: start, spin, stop without a stack trace, and warnings that do not flood the log."""
from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from insegan_ros.dds import check_domain
from insegan_ros.errors import InseganError


SAME_MESSAGE_EVERY_S = 5.0
MOST_REMEMBERED = 100
POLL_S = 0.002
SIGNALS = signal.SIGINT, signal.SIGTERM
STOP_WITHIN_S = 0.1


class Warner:
    """Logs the same warning once in a while, not thirty times a second."""

    def __init__(self, node: Node) -> None:
        self.node, self.said = node, {}

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self.said.get(text, -SAME_MESSAGE_EVERY_S) < SAME_MESSAGE_EVERY_S:
            return
        if len(self.said) >= MOST_REMEMBERED:
            # Lines with numbers in them are never the same twice.
            self.said = {line: at for line, at in self.said.items() if now - at < SAME_MESSAGE_EVERY_S}
        self.said[text] = now
        self.node.get_logger().warning(text)


class ThreadedNode(Node):
    """A node whose work is a thread: it begins with `start` and ends when `running` is no more."""

    def __init__(self, name: str, namespace: str) -> None:
        # Before anything can fail: rclpy destroys half-made nodes too.
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()
        super().__init__(name, namespace=namespace)

    @property
    def running(self) -> bool:
        """Whether the work is to go on."""
        return not self.stopping.is_set()

    def start(self, work: Callable[[], None]) -> None:
        """Begin to work."""
        self.thread = threading.Thread(target=work, name=type(self).__name__, daemon=True)
        self.thread.start()

    def destroy_node(self) -> None:
        """Stop the work before its publishers go."""
        self.stopping.set()
        if self.thread is not None:
            self.thread.join(timeout=10)
        super().destroy_node()

    def sleep_until(self, condition: Callable[[], bool]) -> None:
        """In the thread: wait until something is so, or the node stops."""
        while self.running and not condition():
            self.stopping.wait(POLL_S)


def run_node(make: Callable[[], Node], args: list[str] | None = None) -> int:
    """Run one node until SIGINT or SIGTERM. Returns the process's exit status."""
    # Signals are ours, not rclpy's: its handler takes the context from threads that still publish. A node that spins ends its callback and is destroyed in order;
    # before that, as while bins are simulated, it is interrupted at once.
    stops: list[int] = []
    spinning = False

    def stop(number: int, _: FrameType | None) -> None:
        stops.append(number)
        if not spinning:
            raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        check_domain()
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except KeyboardInterrupt:
        return 0
    except Exception as error:  # rcl reports malformed --ros-args with types of its own
        print(f'ROS 2 cannot start: {str(error).splitlines()[0]}', file=sys.stderr)
        return 2
    node = None
    try:
        node = make()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        spinning = True
        while not stops:
            executor.spin_once(timeout_sec=STOP_WITHIN_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (InseganError, ParameterException) as error:
        print(error, file=sys.stderr)
        return 2
    except Exception:
        # Stopped while it was being made: what rclpy's half-made objects raise then has many types.
        if not stops:
            raise
    finally:
        # A second Ctrl-C, or launch's beside the terminal's, must not interrupt the tidying up.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
