"""How every node starts and ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time

import psutil
import pytest
from live_nodes import environment

# A node whose thread uses its publisher without pause, and says what it dies of.
BUSY = """
import sys
from std_msgs.msg import String
from insegan_ros.nodes.runtime import ThreadedNode, run_node

class Busy(ThreadedNode):
    def __init__(self):
        super().__init__('busy', '')
        self.publisher = self.create_publisher(String, '~/words', 10)
        self.start(self.work)

    def work(self):
        print('working', flush=True)
        while self.running:
            self.publisher.publish(String(data=str(self.publisher.get_subscription_count())))
        print('ended in order', flush=True)

sys.exit(run_node(Busy))
"""

# A node that takes long to be made, as a simulated camera does.
SLOW = """
import sys, time
from rclpy.node import Node
from insegan_ros.nodes.runtime import run_node

class Slow(Node):
    def __init__(self):
        super().__init__('slow')
        print('working', flush=True)
        time.sleep(60)

sys.exit(run_node(Slow))
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    'code, last', [(BUSY, 'ended in order'), (SLOW, 'working')], ids=['busy', 'slow']
)
def test_a_node_is_stopped_in_order_while_its_thread_publishes_and_while_it_is_made(
    code, last, number
):
    process = subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout.readline() == 'working\n'
        process.send_signal(number)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (
        process.returncode == 0
        and ('working\n' + said).splitlines()[-1] == last
        and 'Traceback' not in said
    ), said


def nodes_of(process: subprocess.Popen) -> list[str]:
    """The command lines of a process's children."""
    lines = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            lines.append(' '.join(child.cmdline()[:3]))
    return lines


@pytest.mark.slow
@pytest.mark.parametrize('begun', ['sim_camera', 'segmenter'])
def test_a_demo_that_is_interrupted_ends_at_once_and_leaves_no_node_behind(begun, tmp_path):
    """As soon as one of its nodes is there: the other may just be starting."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'insegan_ros.cli', 'demo', '--out', str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    try:
        end = time.monotonic() + 60
        while not any(f'insegan_ros.nodes.{begun}' in node for node in nodes_of(process)):
            assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(1)
        nodes = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130 and 'Traceback' not in said, said
    assert nodes and not any(
        node.is_running() and node.status() != psutil.STATUS_ZOMBIE for node in nodes
    )
