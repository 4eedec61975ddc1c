"""Many frames through one node: none is lost, memory stays, no thread is left behind,
the work for a frame stays the same, drops are counted.

INSEGAN_SOAK_FRAMES says how many (`make soak`: 20,000).
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from live_nodes import FLOOR, segmenter_node  # noqa: E402

from insegan_ros.camera.messages import stamp_ns  # noqa: E402
from insegan_ros.frame import Intrinsics  # noqa: E402
from insegan_ros.nodes.conversions import camera_info_message, image_message  # noqa: E402

FRAMES = int(os.environ.get('INSEGAN_SOAK_FRAMES', 200))
CAMERA = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)


def status(pid: int) -> tuple[float, int]:
    """Resident memory in MB and number of threads."""
    text = dict(line.split(':', 1) for line in Path(f'/proc/{pid}/status').read_text().splitlines())
    return int(text['VmRSS'].split()[0]) / 1024, int(text['Threads'])


def work_s(pid: int) -> float:
    """Seconds of a processor that a process has used."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def counts_of(message: DiagnosticArray) -> dict[str, int]:
    """How many frames came in, and what became of them."""
    given = {pair.key: pair.value for pair in message.status[0].values}
    names = ('in', 'out', 'dropped', 'idle', 'refused')
    return {name: int(given[f'frames {name}']) for name in names}


def balanced(counts: dict[str, int]) -> bool:
    return 2 * counts['in'] == sum(counts.values())


@pytest.mark.slow
def test_many_frames(robot, tmp_path):
    process = segmenter_node(
        tmp_path / 'log',
        model='cutpaste-nut',
        device='cpu',
        floor=FLOOR,
        bounds=[-0.1, -0.08, 0.1, 0.08],
    )
    depth = np.full((480, 640), 600, np.uint16)
    rows, columns = np.mgrid[:480, :640]
    for x, y in ((270, 200), (340, 260), (290, 270)):
        ring = np.hypot(columns - x, rows - y)
        depth[(ring < 22) & (ring > 9)] = 588
    heard: list[DiagnosticArray] = []
    robot.create_subscription(DiagnosticArray, '/diagnostics', heard.append, 10)
    try:
        process.wait_for('listening on')
        # Until the processes have found each other.
        robot.until(
            lambda: (robot.send(depth, '16UC1', CAMERA), robot.spin(0.1))[0] and robot.masks, 30
        )
        for _ in range(20):
            robot.spin(0.05)
        seconds, work, memory, threads = [], [], {}, {}
        for number in range(FRAMES):
            header = robot.header()
            (
                robot.masks.clear(),
                robot.poses.clear(),
                robot.overlays.clear(),
                robot.picks.clear(),
                robot.states.clear(),
            )
            work.append(work_s(process.popen.pid))
            begun = time.monotonic()
            robot.info.publish(camera_info_message(CAMERA, header))
            robot.depth.publish(image_message(depth, '16UC1', header))
            stamp = stamp_ns(header)
            # Sent once: a frame that is lost would never be answered.
            robot.until(lambda: any(stamp_ns(one.header) == stamp for one in robot.masks), 10)
            seconds.append(time.monotonic() - begun)
            if number in (min(500, FRAMES // 2), FRAMES - 1):
                memory[number], threads[number] = status(process.popen.pid)
        (first, last), (before, after) = memory.values(), threads.values()
        assert last - first < 10, f'memory grew from {first:.0f} to {last:.0f} MB'
        assert after == before
        # Not of the clock, which other processes slow down.
        tenth = FRAMES // 10
        assert 0 < work[-1] - work[-tenth] < 2 * (work[2 * tenth - 1] - work[tenth])
        print(
            f'{FRAMES} frames: {1000 * np.median(seconds):.1f} ms median,'
            f' {1000 * np.percentile(seconds, 99):.1f} ms 99 %, memory {last - first:+.1f} MB'
        )
        # A camera faster than the network: the newest frames are answered, the others counted as
        # dropped.
        for _ in range(90):
            robot.depth.publish(image_message(depth, '16UC1', robot.header()))
            robot.spin(0.002)
        newest = robot.stamp * 10**9
        robot.until(lambda: any(stamp_ns(one.header) == newest for one in robot.masks), 10)
        heard.clear()
        # What is counted as out is counted after it was sent.
        robot.until(lambda: heard and balanced(counts_of(heard[-1])), 10)
        counts = counts_of(heard[-1])
        # At the very start depth may come before its camera_info.
        assert counts['dropped'] > 0 and counts['refused'] < 5 and balanced(counts)
    finally:
        assert process.stop() == 0
    assert 'Traceback' not in process.text()
