"""How one gripper holds one part: on pictures whose answer can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import CAMERA, FLOOR
from scipy.spatial.transform import Rotation

from insegan_ros.frame import Frame, Instances
from insegan_ros.picking.holds import (
    BEYOND_M,
    NOISE_PX,
    STEP_M,
    Holds,
    _between,
    _grasp_frame,
    _main_direction,
    _room,
    uncovered_share,
)
from insegan_ros.picking.pick import PickConfig, Surface
from insegan_ros.picking.picks import rank_picks
from insegan_ros.picking.tool import NO_TOOLING, Grasp, Tooling


def seen(heights: np.ndarray, labels: np.ndarray) -> tuple[Surface, Instances]:
    """What stands so high (H, W) on a floor half a metre away, and whose it is."""
    frame = Frame((0.5 - heights).astype(np.float32), CAMERA)
    found = Instances(labels.astype(np.uint16), np.full(int(labels.max()), 0.9, np.float32))
    return Surface(frame, FLOOR), found


@pytest.mark.parametrize('degrees', [0, 30, 90, 200])
@pytest.mark.parametrize('middle', [(60.3, 80.2), (3.1, 150.4)])
def test_the_room_of_a_fingertip_is_what_is_free_above_its_footprint(degrees, middle):
    """Against the footprint's own points, one after another; some lie beyond the picture."""
    rng, (v, u) = np.random.default_rng(0), np.mgrid[:120, :160]
    for heights in (rng.uniform(0, 0.02, (120, 160)), 1e-4 * (v + u), 1e-4 * (v - u) + 0.01):
        check_room(heights.astype(np.float32), degrees, middle)


def check_room(heights: np.ndarray, degrees: float, middle: tuple[float, float]) -> None:
    angle, finger, tips = np.radians(degrees), 12.0, 0.05
    close = np.array([np.sin(angle), np.cos(angle)])
    beside = np.array([close[1], -close[0]])
    under = []
    for along in np.arange(12) - 5.5:
        for across in np.arange(12) - 5.5:
            row, column = np.rint(middle + along * close + across * beside).astype(int)
            there = 0 <= row < 120 and 0 <= column < 160
            under.append(heights[row, column] if there else BEYOND_M)
    # All but a twentieth: those are noise.
    expected = tips - np.sort(under)[::-1][144 // 20]
    found = _room(heights, np.array(middle), close, beside, finger, tips)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize('degrees', [0, 90, 180, 270])
def test_what_stands_between_the_fingers_stands_on_their_way(degrees):
    """Fingers of 10 px that close from 20 px beside the middle on one side to 10 on the other."""
    angle = np.radians(degrees)
    close = np.array([np.sin(angle), np.cos(angle)])
    beside = np.array([close[1], -close[0]])
    for along, across, there in ((-17, 0, True), (7, 2, True), (-24, 0, False), (14, 0, False)):
        for sign in (1, -1):
            heights = np.zeros((100, 100))
            row, column = np.rint([50, 50] + along * close + sign * across * beside).astype(int)
            heights[row - 1 : row + 2, column - 1 : column + 2] = 0.03
            asked = np.array([50.0, 50.0]), angle, (-20.0, 10.0), 10.0
            assert _between(heights, *asked, 0.02) == there
            assert not _between(heights, *asked, 0.03), 'below the fingertips'
    aside = np.zeros((100, 100))
    row, column = np.rint([50, 50] + 8 * beside).astype(int)
    aside[row - 1 : row + 2, column - 1 : column + 2] = 0.03
    assert not _between(aside, np.array([50.0, 50.0]), angle, (-20.0, 10.0), 10.0, 0.02)
    noise = np.zeros((100, 100))
    noise[50, 50 : 50 + NOISE_PX] = 0.03
    assert not _between(noise, np.array([50.0, 50.0]), 0.0, (-20.0, 20.0), 10.0, 0.02)


@pytest.mark.parametrize('turns', range(4))
def test_the_border_is_two_pixels_wide_and_what_stands_a_step_higher_covers_it(turns):
    mask, heights = np.zeros((40, 30), bool), np.zeros((40, 30))
    mask[10:20, 8:18], heights[10:20, 8:18] = True, 0.02
    mask, heights = np.rot90(mask, turns), np.rot90(heights, turns)
    assert uncovered_share(mask, heights) == 1
    border = 14 * 14 - 100
    beside = np.rot90(np.pad(np.ones((40, 1), bool), ((0, 0), (6, 23))), turns)
    higher = np.where(beside, 0.02 + 1.1 * STEP_M, heights)
    assert uncovered_share(mask, higher) == pytest.approx(1 - 14 / border)
    assert uncovered_share(mask, np.where(beside, 0.02 + 0.9 * STEP_M, heights)) == 1
    # Two columns of the border, and a third beyond it.
    wide = beside | np.roll(beside, 1, (1, 0)[turns % 2]) | np.roll(beside, -1, (1, 0)[turns % 2])
    share = uncovered_share(mask, np.where(wide & ~mask, 0.05, heights))
    assert share == pytest.approx(1 - 28 / border)


@pytest.mark.parametrize('degrees', [0, 30, 75, 120, 170])
def test_the_main_direction_is_that_of_the_longest_axis(degrees):
    v, u = np.mgrid[:120, :160]
    angle = np.radians(degrees)
    along = (u - 80) * np.cos(angle) + (v - 60) * np.sin(angle)
    across = (v - 60) * np.cos(angle) - (u - 80) * np.sin(angle)
    rows, columns = np.nonzero((np.abs(along) < 40) & (np.abs(across) < 8))
    off = np.degrees(_main_direction(rows, columns)) - degrees
    assert abs((off + 90) % 180 - 90) < 1


def test_the_frame_of_a_grasp_points_into_the_part_and_lies_along_it():
    points = np.random.default_rng(0).normal(size=(500, 3)) * (0.001, 0.03, 0.01)
    for normal, sign in (((0, 0, -2), 1), ((0, 0, -1), -1), ((0.3, 0, -1), 1)):
        pose = _grasp_frame(np.array([1.0, 2, 3]), np.array(normal, float), sign * points)
        x, y, z = pose[:3, :3].T
        assert z == pytest.approx(-np.array(normal) / np.linalg.norm(normal))
        assert x == pytest.approx((0, 1, 0), abs=0.1) and np.cross(z, x) == pytest.approx(y)
        assert pose[:3, 3].tolist() == [1, 2, 3] and x @ z == pytest.approx(0, abs=1e-12)
    # Whichever way the axes come out, x points to where it points most.
    for seed in range(8):
        turned = points @ Rotation.random(rng=seed).as_matrix()
        x = _grasp_frame(np.zeros(3), np.array([0.0, 0, -1]), turned)[:3, 0]
        assert x[np.abs(x).argmax()] > 0
    # Looked at along its length, it lies along the next.
    ahead = _grasp_frame(np.zeros(3), np.array([0.0, -1, 0]), points)
    assert np.abs(ahead[:3, 0]) == pytest.approx((0, 0, 1), abs=0.1)


def test_an_area_is_what_its_readings_cover():
    labels, heights = np.zeros((120, 160), int), np.zeros((120, 160))
    labels[10:20, 10:30], labels[50:60, 50:60] = 1, 3
    heights[labels > 0] = 0.1
    heights[10:20, 10:15] = heights[0] = np.nan
    surface, found = seen(heights, labels)
    holds = Holds(surface, found.labels, PickConfig(), NO_TOOLING)
    pixel_m2 = (0.4 / 200) ** 2
    assert holds.areas(4) == pytest.approx([150 * pixel_m2, 0, 100 * pixel_m2, 0])


@pytest.mark.parametrize('readings', [7, 8])
def test_a_part_with_hardly_a_reading_is_not_held(readings):
    labels, heights = np.zeros((120, 160), int), np.zeros((120, 160))
    labels[50:70, 60:90], heights[50:70, 60:90] = 1, np.nan
    heights[60, 60 : 60 + readings] = 0.03
    assert len(rank_picks(*seen(heights, labels))) == (readings == 8)


@pytest.mark.parametrize('away_m, possible', [(0.045, False), (0.06, True)])
def test_a_wide_tool_looks_as_far_as_it_reaches(away_m, possible):
    """At a depth of .46 m a pixel is 2.3 mm; the cup stands in the part's middle."""
    labels, heights = np.zeros((120, 160), int), np.zeros((120, 160))
    labels[50:71, 40:61], heights[50:71, 40:61] = 1, 0.04
    first = 50 + int(np.ceil(away_m / 0.0023))
    heights[:, first : first + 20] = 0.08
    config = PickConfig(tool_radius_m=0.05)
    (pick,) = rank_picks(*seen(heights, labels), config)
    assert pick.possible == possible
    assert pick.clearance_m == pytest.approx(min((first - 50) * 0.0023, 0.05), abs=1e-3)


def test_fingers_close_on_what_lies_between_them_alone():
    """A dumbbell: 10 px wide in its middle, 30 at its ends."""
    labels = np.zeros((120, 160), int)
    labels[54:64, 50:110] = labels[44:74, 50:65] = labels[44:74, 95:110] = 1
    surface, found = seen(0.03 * labels, labels)
    (pick,) = rank_picks(surface, found, PickConfig(gripper='parallel'))
    assert pick.possible and pick.opening_m == pytest.approx(9 * 0.47 / 200 + 2 * STEP_M)
    assert abs(pick.pose[1, 1]) > 0.99


def test_of_grasps_of_one_priority_the_most_upright_is_taken():
    labels = np.zeros((120, 160), int)
    labels[54:64, 50:110] = 1
    surface, found = seen(0.03 * labels, labels)
    down = np.eye(4)

    def tilted(degrees: float) -> np.ndarray:
        pose = np.eye(4)
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        pose[:3, :3] = [[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]
        return pose

    grasps = [
        Grasp(str(degrees), tilted(degrees), 0.03, priority)
        for degrees, priority in ((30, 1), (10, 1), (0, 0), (60, 2), (20, 1))
    ]
    down[2, 3] = 0.47
    found = Instances(found.labels, found.scores, poses=down[None].astype(np.float32))

    def taken(max_tilt_deg: float) -> tuple[str, bool]:
        config = PickConfig(gripper='parallel', max_tilt_deg=max_tilt_deg, approach_m=0.05)
        (pick,) = rank_picks(surface, found, config, tooling=Tooling(grasps=tuple(grasps)))
        return pick.grasp, pick.possible

    assert taken(45.0) == ('10', True) and taken(5.0) == ('0', True)
    del grasps[2]
    assert taken(5.0) == ('10', False), 'the nearest to what is asked for is said'
