"""What every node's main shares: start, spin, stop without a stack trace."""
from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from insegan_ros.dds import check_domain
from insegan_ros.errors import InseganError


def run_node(make: Callable[[], Node], args: list[str] | None = None) -> int:
    """Run one node until SIGINT or SIGTERM. Returns the process's exit status."""
    try:
        check_domain()
        rclpy.init(args=args)
    except Exception as error:  # rcl reports malformed --ros-args with types of its own
        print(f'ROS 2 cannot start: {str(error).splitlines()[0]}', file=sys.stderr)
        return 2
    node = None
    try:
        node = make()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (InseganError, ParameterException) as error:
        print(error, file=sys.stderr)
        return 2
    except Exception:
        # Stopped while it was being made: what rclpy raises then has many types.
        if rclpy.ok():
            raise
    finally:
        # A second Ctrl-C, or launch's beside the terminal's, must not interrupt the tidying up.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
