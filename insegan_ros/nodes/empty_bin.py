"""An example of a cell: look, take the first pick, look again, until the bin is empty.

It knows the segmenter and the simulated camera by their public topics and services alone:
~/segment_once, ~/pick_table and ~/bin_state of the one, ~/take and ~/taken of the other, which
stands for the robot. `ros2 run insegan_ros empty_bin` empties a bin that is shown already; `insegan
empty` starts both nodes too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from std_srvs.srv import Trigger

from insegan_ros.camera.messages import stamp_ns
from insegan_ros.errors import InputError, InseganError
from insegan_ros.files import make_folder, write_json
from insegan_ros.nodes.declared import at_start, declare
from insegan_ros.nodes.empty_bin_config import EmptyBinConfig
from insegan_ros.nodes.pick_messages import table_rows
from insegan_ros.nodes.processes import CAMERA, start_node, start_segmenter, wait_for, watching
from insegan_ros.nodes.simulated_bin import SimulatedBin
from insegan_ros.picking.picks import BinState

# The noise of each picture is another: what cannot be done in so many is not done.
TRIES = 3
# A bin that is not empty after so many looks never will be.
MAX_LOOKS = 1000


@dataclass(frozen=True)
class Look:
    """One look at the bin: its state, what was said of it, and what can be picked as rows of
    ~/pick_table, with the table's message."""

    state: str
    said: str
    picks: np.ndarray
    table: PointCloud2


@dataclass
class Day:
    """What became of a bin. tries: each pick that was tried, as the camera judged it; ended: how it
    ended, and said: what the segmenter said at last, in words; left: parts that lie in it still,
    None where nothing was ever taken."""

    ended: str = ''
    said: str = ''
    looks: int = 0
    left: int | None = None
    tries: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Counts: picks of free parts, of parts on which something lay, and of nothing."""
        counts = Counter(one['came'] for one in self.tries)
        return {
            'ended': self.ended,
            'said': self.said,
            'looks': self.looks,
            'picks': len(self.tries),
            **{came: counts[came] for came in ('free', 'not free', 'nothing')},
            'left': self.left,
            'tries': self.tries,
        }


PARAMETERS = (
    at_start('segmenter', '/segmenter', "the segmenter's full name"),
    at_start('camera', CAMERA, "the simulated camera's full name"),
    at_start('timeout_s', 60.0, 'how long to wait for an answer, in seconds'),
)


class Cell(Node):
    """The robot's side. spin: serves its callbacks for a moment. timeout_s: how long it waits for
    an answer."""

    def __init__(self) -> None:
        super().__init__('empty_bin')
        values = declare(self, PARAMETERS)
        segmenter, camera = values['segmenter'], values['camera']
        self.timeout_s: float = values['timeout_s']
        self.spin: Callable[[], None] = lambda: None
        self.table: PointCloud2 | None = None
        self.state = ''
        self.answer: DiagnosticStatus | None = None
        self.changed_ns = 0
        self.once: Any = self.create_client(Trigger, f'{segmenter}/segment_once')
        self.create_subscription(PointCloud2, f'{segmenter}/pick_table', self._on_table, 5)
        self.create_subscription(String, f'{segmenter}/bin_state', self._on_state, 5)
        self.judge = self.create_subscription(
            DiagnosticStatus, f'{camera}/taken', self._on_taken, 10
        )
        self.tool = self.create_publisher(PoseStamped, f'{camera}/take', 10)

    def _on_table(self, message: PointCloud2) -> None:
        self.table = message

    def _on_state(self, message: String) -> None:
        self.state = message.data

    def _on_taken(self, message: DiagnosticStatus) -> None:
        self.answer = message

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Until the condition holds. Raises InseganError after timeout_s, which names `what`."""
        end = time.monotonic() + self.timeout_s
        while not condition():
            if time.monotonic() > end:
                raise InseganError(
                    f'{self.timeout_s:.0f} s passed without {what}: expected it by then'
                )
            self.spin()

    def look(self) -> Look:
        """Have one frame segmented that was taken since the bin was last changed. Raises
        InseganError where that cannot be."""
        self.wait(self.once.service_is_ready, f'the service {self.once.srv_name}')
        end = time.monotonic() + self.timeout_s
        while time.monotonic() < end:
            self.table, self.state = None, ''
            asked = self.once.call_async(Trigger.Request())
            self.wait(asked.done, f'an answer of {self.once.srv_name}')
            if not (answer := asked.result()).success:
                raise InputError(answer.message)
            self.wait(lambda: self.table is not None and bool(self.state), 'picks and the state')
            table: Any = self.table
            if stamp_ns(table.header) > self.changed_ns:
                return Look(self.state, answer.message, table_rows(table), table)
        raise InseganError(
            f'for {self.timeout_s:.0f} s no picture had a later stamp than the last change of the'
            " bin: expected one; is the camera's clock behind, or use_sim_time not set?"
        )

    def take(self, look: Look, number: int) -> dict[str, Any]:
        """Try a pick of a look; what came of it. Raises InseganError where nobody answers."""
        row = look.picks[number]
        position = Point(**{name: float(row[name]) for name in 'xyz'})
        turn = Quaternion(**{name: float(row[f'q{name}']) for name in 'xyzw'})
        pose = PoseStamped(header=look.table.header, pose=Pose(position=position, orientation=turn))
        self.wait(
            lambda: bool(self.tool.get_subscription_count() and self.judge.get_publisher_count()),
            f'anybody who takes parts on {self.tool.topic}',
        )
        self.answer = None
        self.tool.publish(pose)
        self.wait(lambda: self.answer is not None, 'word of what a pick brought')
        self.changed_ns = self.get_clock().now().nanoseconds
        answer: Any = self.answer
        values = {pair.key: pair.value for pair in answer.values}
        if not values:
            raise InputError(answer.message)
        came = {'True': 'free', 'False': 'not free'}[values['free']]
        return {
            'came': came if values['part'] != 'None' else 'nothing',
            'score': round(float(row['score']), 3),
            'seen': round(float(values['seen']), 3),
            'distance_mm': round(1000 * float(values['distance_m']), 1),
            'left': int(values['left']),
        }


def empty_bin(cell: Cell) -> Day:
    """Pick until the bin is said to be empty, or until nothing can be done in TRIES looks one after
    another. Where a pick brought nothing, the next best is tried. Raises InseganError where a node
    does not answer."""
    day, misses, stuck = Day(), 0, 0
    while day.looks < MAX_LOOKS:
        look = cell.look()
        day.looks, day.said = day.looks + 1, look.said
        if look.state == BinState.EMPTY:
            day.ended = look.state
            return day
        if misses == TRIES:
            break
        if misses >= len(look.picks):
            stuck += 1
            if stuck == TRIES:
                break
            continue
        tried = cell.take(look, misses)
        day.tries.append(tried)
        day.left, stuck = tried['left'], 0
        misses = misses + 1 if tried['came'] == 'nothing' else 0
        cell.get_logger().info(
            f'pick {len(day.tries)} of {len(look.picks)} possible: {tried["came"]},'
            f' {tried["left"]} parts left'
        )
    day.ended = f'{look.state}, {misses} picks brought nothing' if misses else look.state
    return day


def run_empty_bin(config: EmptyBinConfig) -> dict[str, Any]:
    """Camera, segmenter and cell, one bin after another; what empty.json holds. Raises InseganError
    where a node does not answer."""
    out = Path(config.out)
    make_folder(out)
    bins = SimulatedBin(config.part, instances=config.instances, fill=config.fill)
    workspace = bins.setup().camera.workspace
    model = config.model or f'piles-{config.part}'
    days = []
    with watching(Cell) as (cell, executor, processes):
        cell.spin, cell.timeout_s = partial(_spin, executor, processes), config.timeout_s
        processes.append(
            start_segmenter(
                model,
                config.instances,
                workspace,
                {'continuous': False, 'silence_s': config.silence_s},
            )
        )
        for seed in range(config.seed, config.seed + config.bins):
            camera = start_node('sim_camera', _camera(config, seed))
            processes.append(camera)
            wait_for(
                lambda: cell.count_publishers(f'{CAMERA}/taken') > 0,
                executor,
                processes,
                config.timeout_s,
                'a simulated bin',
            )
            days.append({'seed': seed, **empty_bin(cell).summary()})
            # Bins that are done are kept, whatever becomes of the next.
            numbers = summed(config, model, days)
            write_json(out / 'empty.json', numbers, 1)
            camera.terminate()
            camera.wait()
            processes.remove(camera)
    return numbers


def _spin(executor: SingleThreadedExecutor, processes: Sequence[subprocess.Popen]) -> None:
    executor.spin_once(timeout_sec=0.05)
    if any(process.poll() is not None for process in processes):
        raise InseganError("one of the nodes ended: see the nodes' messages above")


def _camera(config: EmptyBinConfig, seed: int) -> dict[str, Any]:
    """Parameters of a simulated camera that shows one bin for good."""
    shown = {name: getattr(config, name) for name in ('part', 'instances', 'fill', 'sensor')}
    return {**shown, 'fill': float(config.fill), 'seed': seed, 'scenes': 1, 'dwell_s': 1e6}


def summed(config: EmptyBinConfig, model: str, days: list[dict[str, Any]]) -> dict[str, Any]:
    """The bins' counts together, and each bin."""
    counted = ('looks', 'picks', 'free', 'not free', 'nothing')
    return {
        'part': config.part,
        'model': model,
        'sensor': config.sensor,
        'parts': len(days) * config.instances,
        **{name: sum(day[name] for day in days) for name in counted},
        'left': sum(config.instances if day['left'] is None else day['left'] for day in days),
        'bins said to be empty': sum(day['ended'] == BinState.EMPTY for day in days),
        'bins': days,
    }


def main() -> int:
    """Entry point of `ros2 run insegan_ros empty_bin`."""
    try:
        with watching(Cell, alone=False) as (cell, executor, _):
            cell.spin = partial(executor.spin_once, 0.05)
            print(json.dumps(empty_bin(cell).summary(), indent=1))
    except (InseganError, ParameterException) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
