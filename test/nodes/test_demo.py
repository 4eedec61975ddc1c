"""The demonstration: it flows, scores and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time

import cv2
import psutil
import pytest

rclpy = pytest.importorskip('rclpy')

from live_nodes import OTHER, environment, insegan  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from shell import command  # noqa: E402


def test_a_domain_that_cannot_be_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('ROS_DOMAIN_ID', '4000')
    assert command('demo', '--out', tmp_path) == 2
    said = capsys.readouterr().err
    assert 'ROS_DOMAIN_ID between 0 and 232' in said and said.count('\n') == 1


@pytest.mark.slow
def test_the_demo_refuses_a_domain_in_use(robot, tmp_path):
    other = robot.create_publisher(Image, '/camera/camera/depth/image_rect_raw', 1)
    try:
        process = insegan('demo', '--out', tmp_path)
    finally:
        robot.destroy_publisher(other)
    assert process.returncode == 2 and 'is in use: somebody publishes /' in process.stderr


@pytest.mark.slow
def test_the_demo_flows_scores_and_leaves_nothing_behind(tmp_path):
    process = insegan('demo', '--out', tmp_path, '--seconds', '4', '--rate', '10', domain=OTHER)
    assert process.returncode == 0, process.stderr
    numbers = json.loads((tmp_path / 'demo.json').read_text())
    assert (
        set(numbers['stages_ms']) == {'wait', 'convert', 'infer', 'post-process', 'publish'}
        and numbers['frames_refused'] == 0
    )
    assert (
        numbers['frames'] > 10
        and numbers['latency_ms_median'] < 1000
        and numbers['honest_miou'] > 0.7
    )
    picture = cv2.imread(str(tmp_path / 'demo.png'))
    assert picture.shape == (2 * (480 + 30), 1280, 3) and picture.std() > 10
    camera = f'{sys.executable} -m insegan_ros.nodes.sim_camera'
    left = [one for one in psutil.process_iter() if camera in ' '.join(argv_of(one))]
    assert not left


def argv_of(process: psutil.Process) -> list[str]:
    """The words that a process was started by; none of one that has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def nodes_of(process: subprocess.Popen) -> list[str]:
    """The command lines of a process's children."""
    lines = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            lines.append(' '.join(child.cmdline()[:3]))
    return lines


# A process that starts one of our nodes, says its number, and waits.
PARENT = """
import time
from insegan_ros.nodes.processes import start_node
print(start_node('segmenter', {}).pid, flush=True)
time.sleep(60)
"""


def test_nodes_end_with_a_parent_that_was_killed():
    process = subprocess.Popen(
        [sys.executable, '-c', PARENT], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        node = psutil.Process(int(process.stdout.readline()))
    finally:
        process.kill()
    try:
        with contextlib.suppress(psutil.NoSuchProcess):
            node.wait(timeout=20)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            node.kill()


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


def test_where_nothing_can_be_written_is_said_before_anything_starts(capsys):
    assert command('demo', '--out', '/proc/nowhere') == 2
    assert '/proc/nowhere cannot be created' in capsys.readouterr().err
