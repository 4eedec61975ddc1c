"""How every node starts and ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

rclpy = pytest.importorskip('rclpy')

from live_nodes import Process, environment  # noqa: E402

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


# A node whose executor takes long to be made.
SPINNING = """
import sys, time
import rclpy.executors
from rclpy.node import Node
from insegan_ros.nodes.runtime import run_node

class Condition(rclpy.executors.GuardCondition):
    def __init__(self, *args, **options):
        print('working', flush=True)
        time.sleep(2)
        super().__init__(*args, **options)

rclpy.executors.GuardCondition = Condition
sys.exit(run_node(lambda: Node('spinning')))
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    'code, last',
    [(BUSY, 'ended in order'), (SLOW, 'working'), (SPINNING, 'working')],
    ids=['busy', 'slow', 'spinning'],
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


@pytest.mark.slow
@pytest.mark.parametrize(
    'module, parameter, words',
    [
        ('segmenter', 'min_score:=2.0', 'min_score'),
        ('realsense_camera', 'decimation:=9', 'decimation 9'),
        ('sim_camera', 'rate:=-1.0', 'rate'),
        ('empty_bin', 'timeout_s:=1', 'timeout_s'),
        ('empty_bin', 'nonsense', 'nonsense'),
    ],
)
def test_a_value_that_cannot_be_ends_a_start_with_one_line(tmp_path, module, parameter, words):
    process = Process(
        f'insegan_ros.nodes.{module}', ['--ros-args', '-p', parameter], tmp_path / 'log'
    )
    assert process.popen.wait(timeout=60) == 2
    assert (
        words in process.text()
        and 'Traceback' not in process.text()
        and words in process.text().strip().splitlines()[-1]
    )
