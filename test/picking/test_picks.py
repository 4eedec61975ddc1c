"""Which part is taken first, where and how: on boxes whose answer is known, and on simulated bins
with perfect masks."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from insegan_ros.data.scene import visible_fractions
from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.picking.picks import (
    MAX_TRIED,
    BinState,
    PickConfig,
    Surface,
    bin_state,
    rank_picks,
)
from insegan_ros.workspace import Workspace
from insegan_sim.scenes import bin_setup, scene_stream

FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


CAMERA = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120)


def scene(*boxes: tuple[int, int, int, int, float], tilt: float = 0.0) -> tuple[Frame, Instances]:
    """Boxes (left, top, right, bottom, height in m), the later ones on the earlier; a tilted top
    rises along x by `tilt` m a px."""
    depth, labels = np.full((120, 160), 0.5, np.float32), np.zeros((120, 160), np.uint16)
    for number, (left, top, right, bottom, height) in enumerate(boxes, start=1):
        depth[top:bottom, left:right] = 0.5 - height - tilt * np.arange(right - left)
        labels[top:bottom, left:right] = number
    return Frame(depth, CAMERA), Instances(labels, np.full(len(boxes), 0.9, np.float32))


def test_what_lies_on_top_comes_first_and_what_is_covered_is_impossible():
    frame, found = scene((30, 40, 70, 80, 0.02), (55, 50, 90, 70, 0.05), (110, 30, 140, 60, 0.02))
    picks = rank_picks(Surface(frame, FLOOR), found)
    assert [pick.label for pick in picks] == [2, 3, 1]
    assert [pick.possible for pick in picks] == [True, True, False]
    assert picks[0].uncovered == 1 and picks[0].height_m == pytest.approx(0.05, abs=1e-3)
    # A quarter of the covered box's border runs below the one that lies on it.
    assert picks[2].uncovered == pytest.approx(0.75, abs=0.1)


def test_of_very_many_instances_the_highest_are_tried():
    places = [(left, top) for top in range(4, 116, 10) for left in range(4, 154, 10)]
    heights = np.random.default_rng(0).permutation(len(places)) / 1000 + 0.01
    frame, found = scene(
        *((left, top, left + 6, top + 6, h) for (left, top), h in zip(places, heights))
    )
    picks = rank_picks(Surface(frame, FLOOR), found)
    highest = np.argsort(-heights)[:MAX_TRIED] + 1
    assert len(places) > MAX_TRIED and {pick.label for pick in picks} == set(highest.tolist())


def test_where_hidden_parts_are_known_what_is_seen_of_them_counts():
    frame, found = scene((30, 40, 70, 80, 0.02), (100, 40, 140, 80, 0.02))
    whole = found.masks()
    # A third of the first box lies, by the method's account, under something that stands no higher.
    whole[0, 40:80, 70:90] = True
    picks = rank_picks(Surface(frame, FLOOR), Instances(found.labels, found.scores, amodal=whole))
    assert [(pick.label, pick.possible) for pick in picks] == [(2, True), (1, False)] and picks[
        1
    ].uncovered == pytest.approx(2 / 3)


def test_a_cup_sits_on_the_middle_of_a_flat_top():
    frame, found = scene((60, 40, 100, 60, 0.04))
    (pick,) = rank_picks(Surface(frame, FLOOR), found)
    # Column 79.5 and row 49.5 at a depth of .46 m, z into the part, x along its longer side.
    assert np.allclose(pick.pose[:3, 3], (0, -10 / 200 * 0.46, 0.46), atol=0.005)
    assert np.allclose(pick.pose[:3, 2], (0, 0, 1), atol=1e-3) and abs(pick.pose[0, 0]) > 0.99
    assert (
        np.linalg.det(pick.pose[:3, :3]) == pytest.approx(1, abs=1e-5) and pick.roughness_m < 1e-4
    )


def test_the_cup_meets_a_tilted_top_at_a_right_angle():
    frame, found = scene((60, 40, 100, 80, 0.02), tilt=0.0008)
    (pick,) = rank_picks(Surface(frame, FLOOR), found)
    metre_a_px = (0.46) / 200
    expected = np.array([0.0008 / metre_a_px, 0, 1])
    assert pick.pose[:3, 2] @ expected / np.linalg.norm(expected) > 0.99


def test_a_ring_is_not_held_at_its_hole():
    frame, found = scene((50, 30, 110, 90, 0.04))
    y, x = np.mgrid[:120, :160]
    hole = np.hypot(x - 79.5, y - 59.5) < 12
    frame.depth_m[hole] = 0.5
    labels = np.where(hole, 0, found.labels).astype(np.uint16)
    (pick,) = rank_picks(Surface(frame, FLOOR), Instances(labels, found.scores))
    u, v = pick.pose[:2, 3] / pick.pose[2, 3] * 200 + (79.5, 59.5)
    assert np.hypot(u - 79.5, v - 59.5) > 12 + 2 and pick.possible
    # A cup as wide as the part has no place on it.
    assert not rank_picks(
        Surface(frame, FLOOR), Instances(labels, found.scores), PickConfig(cup_radius_m=0.04)
    )[0].possible


def test_a_rough_top_cannot_be_sucked():
    frame, found = scene((60, 40, 100, 80, 0.04))
    frame.depth_m[40:80, 60:100] += (
        np.random.default_rng(0).normal(0, 0.005, (40, 40)).astype(np.float32)
    )
    (pick,) = rank_picks(Surface(frame, FLOOR), found)
    assert not pick.possible and pick.roughness_m > 0.002


def test_fingers_close_across_the_part_and_need_room():
    frame, found = scene((50, 54, 110, 64, 0.03))
    config = PickConfig(gripper='parallel')
    (pick,) = rank_picks(Surface(frame, FLOOR), found, config)
    assert (
        pick.possible
        and abs(pick.pose[1, 1]) > 0.99
        and np.allclose(pick.pose[:3, 2], (0, 0, 1), atol=1e-3)
    )
    # Fingertips are reach_m below the top.
    assert pick.pose[2, 3] == pytest.approx(
        0.47 + 0.01, abs=1e-3
    ) and pick.clearance_m == pytest.approx(0.02, abs=2e-3)
    walled, both = scene((50, 54, 110, 64, 0.03), (40, 40, 120, 54, 0.05), (40, 64, 120, 78, 0.05))
    assert not next(
        one for one in rank_picks(Surface(walled, FLOOR), both, config) if one.label == 1
    ).possible
    assert not rank_picks(
        Surface(frame, FLOOR), found, PickConfig(gripper='parallel', opening_m=0.01)
    )[0].possible


def test_the_bins_wall_is_kept_away_from():
    frame, found = scene((60, 40, 100, 80, 0.04))
    near = Workspace(FLOOR.floor, (-0.01, -0.2, 0.2, 0.2))
    assert (
        rank_picks(Surface(frame, FLOOR), found)[0].possible
        and not rank_picks(Surface(frame, near), found)[0].possible
    )


def test_a_mask_of_two_parts_is_suspected():
    frame, found = scene(
        (20, 20, 40, 40, 0.03),
        (60, 20, 80, 40, 0.03),
        (100, 20, 140, 40, 0.03),
        (20, 80, 40, 100, 0.03),
    )
    assert {pick.label for pick in rank_picks(Surface(frame, FLOOR), found) if pick.double} == {3}
    assert {
        pick.label
        for pick in rank_picks(Surface(frame, FLOOR), found, part_area_m2=1.0)
        if pick.double
    } == set()


def test_the_bin_in_words():
    empty = Frame(np.full((120, 160), 0.5, np.float32), CAMERA)
    assert bin_state(Surface(empty, FLOOR), []) is BinState.EMPTY
    assert (
        bin_state(Surface(Frame(np.full((120, 160), np.nan, np.float32), CAMERA), FLOOR), [])
        is BinState.NO_READING
    )
    frame, found = scene((60, 40, 100, 80, 0.04))
    picks = rank_picks(Surface(frame, FLOOR), found)
    assert bin_state(Surface(frame, FLOOR), picks) is BinState.PICKABLE
    assert bin_state(Surface(frame, FLOOR), []) is BinState.OCCUPIED_NOT_PICKABLE
    assert (
        bin_state(Surface(frame, FLOOR), picks, PickConfig(full_height_m=0.03))
        is BinState.OVERFILLED
    )
    # Noise of the camera is no part.
    noisy = Frame(
        (0.5 + np.random.default_rng(0).normal(0, 0.003, (120, 160))).astype(np.float32), CAMERA
    )
    assert bin_state(Surface(noisy, FLOOR), []) is BinState.EMPTY


def test_parts_without_a_reading_and_no_parts_make_no_pick():
    frame, found = scene((60, 40, 100, 80, 0.04))
    frame.depth_m[:] = np.nan
    assert (
        rank_picks(Surface(frame, FLOOR), found) == []
        and rank_picks(Surface(frame, FLOOR), Instances.none((120, 160))) == []
    )


@pytest.mark.parametrize(
    'bad',
    [{'cup_radius_m': 0.0}, {'gripper': 'magnet'}, {'min_uncovered': 2.0}, {'opening_m': 5.0}],
)
def test_values_that_no_gripper_has_are_refused(bad):
    with pytest.raises(ConfigError, match='picks'):
        PickConfig(**bad)


@pytest.mark.parametrize('gripper', ['suction', 'parallel'])
def test_the_first_pick_of_a_bin_lies_free(gripper):
    first = []
    for part in ('nut', 'bolt'):
        for one in islice(scene_stream(bin_setup(part, seed=78)), 15):
            truth, visible = one.labelled(), visible_fractions(one.labelled())
            if (visible > 0.95).any():
                first.append(
                    visible[
                        rank_picks(
                            Surface(one.frame, one.workspace), truth, PickConfig(gripper=gripper)
                        )[0].label
                        - 1
                    ]
                )
    assert len(first) > 20 and np.mean(np.array(first) > 0.95) > 0.95
