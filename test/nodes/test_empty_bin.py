"""The example of a cell that empties a bin."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from live_nodes import OTHER, insegan
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from insegan_ros.errors import ConfigError, InseganError
from insegan_ros.nodes.demo_config import DemoConfig
from insegan_ros.nodes.empty_bin import TRIES, Cell, Look, empty_bin, summed
from insegan_ros.nodes.empty_bin_config import EmptyBinConfig
from insegan_ros.nodes.parameters import PARAMETERS


class Scripted:
    """A cell that sees and takes what a script says: (state, number of picks, what comes of each
    pick), the last line for good."""

    def __init__(self, *script) -> None:
        self.script, self.tried = list(script), []

    def look(self) -> Look:
        self.now = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return Look(self.now[0], f'{self.now[1]} picks', np.zeros(self.now[1]), None)

    def take(self, look: Look, number: int) -> dict:
        self.tried.append(number)
        return {'came': self.now[2], 'left': 5}

    def get_logger(self) -> SimpleNamespace:
        return SimpleNamespace(info=lambda text: None)


def test_the_first_pick_is_taken_until_the_bin_is_empty():
    cell = Scripted(('pickable', 2, 'free'), ('pickable', 1, 'not free'), ('empty', 0, ''))
    day = empty_bin(cell).summary()
    assert cell.tried == [0, 0] and (day['ended'], day['looks'], day['picks']) == ('empty', 3, 2)
    assert (day['free'], day['not free'], day['nothing'], day['left']) == (1, 1, 0, 5)


def test_where_a_pick_brings_nothing_the_next_best_is_tried_and_then_no_more():
    cell = Scripted(('pickable', 9, 'nothing'), ('pickable', 9, 'free'), ('pickable', 9, 'nothing'))
    day = empty_bin(cell).summary()
    assert cell.tried == [0, 1, 0, 1, 2]
    assert (day['nothing'], day['free']) == (4, 1)
    assert day['ended'] == f'pickable, {TRIES} picks brought nothing'


def test_a_bin_from_which_nothing_can_be_taken_is_looked_at_some_times():
    cell = Scripted(('occupied_not_pickable', 0, ''))
    day = empty_bin(cell).summary()
    assert (day['ended'], day['looks'], day['picks']) == ('occupied_not_pickable', TRIES, 0)
    assert day['left'] is None and day['said'] == '0 picks'
    both = summed(EmptyBinConfig(instances=7), 'kmeans', [day, {**day, 'left': 2}])
    assert (both['parts'], both['left'], both['bins said to be empty']) == (14, 9, 0)


def test_a_pick_that_the_next_look_shows_is_taken():
    nothing = ('occupied_not_pickable', 0, '')
    cell = Scripted(*(TRIES - 1) * [nothing], ('pickable', 1, 'free'), ('empty', 0, ''))
    day = empty_bin(cell).summary()
    assert (day['ended'], day['looks'], day['picks']) == ('empty', TRIES + 1, 1)


def test_pictures_of_before_the_last_pick_are_waited_for_and_no_longer():
    answered = SimpleNamespace(success=True, message='3 picks')
    asked = SimpleNamespace(done=lambda: True, result=lambda: answered)
    behind = SimpleNamespace(
        once=SimpleNamespace(
            service_is_ready=lambda: True, srv_name='once', call_async=lambda request: asked
        ),
        timeout_s=0.2,
        changed_ns=2 * 10**9,
        pictures=0,
    )

    def wait(condition, what):
        behind.pictures += 1
        behind.table, behind.state = PointCloud2(header=Header(stamp=Time(sec=1))), 'pickable'

    behind.wait = wait
    with pytest.raises(InseganError, match="no picture had a later stamp .* camera's clock behind"):
        Cell.look(behind)
    assert behind.pictures > 3


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match='bins is 0: expected 1 or more'):
        EmptyBinConfig(bins=0)


@pytest.mark.parametrize('config', [EmptyBinConfig, DemoConfig])
def test_waiting_times_are_such_that_the_segmenter_takes(config):
    (silence,) = (one for one in PARAMETERS if one.name == 'silence_s')
    for timeout_s in (float('nan'), 0.0, 2 * silence.high):
        with pytest.raises(ConfigError, match='timeout_s is .*: expected 0.1 to 3600 s'):
            config(timeout_s=timeout_s)
    longest = config(timeout_s=float(silence.high))
    assert getattr(longest, 'silence_s', longest.timeout_s) == silence.high


def test_a_demo_that_never_ends_is_refused():
    for seconds in (float('nan'), float('inf'), 0.0):
        with pytest.raises(ConfigError, match='seconds is .*: expected a positive time'):
            DemoConfig(seconds=seconds)


@pytest.mark.slow
def test_a_simulated_bin_is_emptied(tmp_path):
    done = insegan(
        'empty', '--part', 'cylinder', '--instances', 3, '--fill', 0.5, '--sensor', 'ideal',
        '--out', tmp_path, domain=OTHER,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / 'empty.json').read_text())
    (day,) = numbers['bins']
    assert (day['ended'], day['free'], day['left']) == ('empty', 3, 0)
    assert [one['left'] for one in day['tries']] == [2, 1, 0]
    assert all(one['distance_mm'] < 3 and one['seen'] > 0.95 for one in day['tries'])
    assert json.loads(done.stdout)['bins said to be empty'] == 1
