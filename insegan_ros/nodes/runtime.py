"""What every node shares: start, spin, stop without a stack trace, and warnings that do not flood
the log."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from insegan_ros.errors import InseganError
from insegan_ros.nodes.dds import check_domain

SAME_MESSAGE_EVERY_S = 5.0
MAX_REMEMBERED = 100
POLL_S = 0.002
SIGNALS = signal.SIGINT, signal.SIGTERM
STOP_WITHIN_S = 0.1


class Warner:
    """Logs the same warning once in a while, not thirty times a second."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.said: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self.said.get(text, -SAME_MESSAGE_EVERY_S) < SAME_MESSAGE_EVERY_S:
            return
        if len(self.said) >= MAX_REMEMBERED:
            # Lines with numbers in them are never the same twice.
            self.said = {
                line: at for line, at in self.said.items() if now - at < SAME_MESSAGE_EVERY_S
            }
        self.said[text] = now
        self.node.get_logger().warning(text)


class ThreadedNode(Node):
    """A node whose work is a thread, from `start` until `running` is false."""

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
        """In the thread: wait until the condition holds or the node stops."""
        while self.running and not condition():
            self.stopping.wait(POLL_S)


class Interrupts:
    """While it lasts, SIGINT and SIGTERM are KeyboardInterrupt, held back where rclpy works: amid
    its own objects an interrupt leaves half-made ones, or is lost; and rclpy's handler, which must
    be off (init with SignalHandlerOptions.NO), takes the context from threads that still publish.
    ignored_after: for a process that then ends, which a second signal must not interrupt either."""

    def __init__(self, ignored_after: bool = False) -> None:
        self.got: list[int] = []
        self.held, self.ignored_after = False, ignored_after

    def __enter__(self) -> Interrupts:
        self.before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_IGN if self.ignored_after else handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        self.got.append(number)
        if not self.held:
            raise KeyboardInterrupt

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Raises at the end what came meanwhile."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
        if self.got:
            raise KeyboardInterrupt


class InterruptedExecutor(SingleThreadedExecutor):
    """A node's executor, whose making and spin_once are not interrupted, but end in
    KeyboardInterrupt where they were to be."""

    def __init__(self, interrupts: Interrupts, node: Node) -> None:
        self.interrupts = interrupts
        # A half-made one has a traceback to print when it is destroyed.
        with interrupts.hold():
            super().__init__()
            self.add_node(node)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Serve what is ready, as rclpy does, but not waiting for ever where no time is given: a
        signal alone does not wake it."""
        with self.interrupts.hold():
            super().spin_once(STOP_WITHIN_S if timeout_sec is None else timeout_sec)


def run_node(make: Callable[[], Node], args: list[str] | None = None) -> int:
    """Run one node until SIGINT or SIGTERM. Returns the process's exit status."""
    with Interrupts(ignored_after=True) as interrupts:
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
            executor = InterruptedExecutor(interrupts, node)
            while True:
                executor.spin_once()
        except (KeyboardInterrupt, ExternalShutdownException):
            return 0
        except (InseganError, ParameterException) as error:
            print(error, file=sys.stderr)
            return 2
        except Exception:
            # Stopped while it was being made: what rclpy's half-made objects raise then has many
            # types.
            if not interrupts.got:
                raise
            return 0
        finally:
            # A second Ctrl-C, or launch's beside the terminal's, must not interrupt the tidying up.
            interrupts.held = True
            if node is not None:
                node.destroy_node()
            rclpy.try_shutdown()
