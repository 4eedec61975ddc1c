"""Depth and colour of one moment."""

from __future__ import annotations

import pytest

from insegan_ros.camera.pairing import KEPT, Pairing

rclpy = pytest.importorskip('rclpy')

from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402


def image(stamp_ms: int, name: str = '') -> Image:
    message = Image(header=Header(frame_id=name))
    message.header.stamp.sec = stamp_ms // 1000
    message.header.stamp.nanosec = stamp_ms % 1000 * 10**6
    return message


def names(pair) -> tuple[str, str] | None:
    return pair and (pair[0].header.frame_id, pair[1].header.frame_id)


def test_depth_meets_the_colour_of_its_moment_whichever_comes_first():
    pairing = Pairing()
    assert pairing.colour(image(1000, 'c1'), 0.02) is None
    assert names(pairing.depth(image(1000, 'd1'), 0.02)) == ('d1', 'c1')
    assert pairing.depth(image(1033, 'd2'), 0.02) is None
    assert names(pairing.colour(image(1040, 'c2'), 0.02)) == ('d2', 'c2')
    # The nearest of several.
    pairing.colour(image(1066, 'c3'), 0.02), pairing.colour(image(1080, 'c4'), 0.02)
    assert names(pairing.depth(image(1069, 'd3'), 0.02)) == ('d3', 'c3')
    assert names(pairing.depth(image(1078, 'd4'), 0.02)) == ('d4', 'c4')


@pytest.mark.parametrize('apart_ms, meet', [(19, True), (20, True), (21, False)])
@pytest.mark.parametrize('later', [False, True])
def test_images_that_are_no_farther_apart_than_the_slop_are_of_one_moment(apart_ms, meet, later):
    colour_ms = 2000 + (apart_ms if later else -apart_ms)
    first, second = Pairing(), Pairing()
    first.colour(image(colour_ms), 0.02), second.depth(image(2000), 0.02)
    assert (first.depth(image(2000), 0.02) is not None) == meet
    assert (second.colour(image(colour_ms), 0.02) is not None) == meet


def test_a_few_colour_images_are_kept():
    pairing = Pairing()
    for number in range(KEPT + 1):
        pairing.colour(image(1000 + 33 * number, f'c{number}'), 0.02)
    assert pairing.depth(image(1000, 'd'), 0.02) is None
    assert names(pairing.depth(image(1033, 'd'), 0.02)) == ('d', 'c1')


def test_depth_without_colour_waits_and_a_clock_set_back_is_survived():
    pairing = Pairing()
    assert pairing.depth(image(1000), 0.02) is None and pairing.depth(image(1033), 0.02) is None
    assert pairing.colour(image(5000, 'late'), 0.02) is None
    assert pairing.colour(image(100, 'again'), 0.02) is None and len(pairing.colours) == 1
    assert names(pairing.depth(image(101, 'd'), 0.02)) == ('d', 'again')
