"""Which part is taken first, where and how: on boxes whose answer is known, and on simulated bins
with perfect masks."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from insegan_ros.data.scene import visible_fractions
from insegan_ros.errors import ConfigError, InputError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.picking.picks import (
    MAX_TRIED,
    BinState,
    Blocked,
    Pick,
    PickConfig,
    Surface,
    bin_state,
    load_tooling,
    rank_picks,
)
from insegan_ros.picking.tool import NO_TOOLING, BoxBody, Tooling
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


def test_a_cup_finds_its_place_on_a_part_of_many_readings():
    frame, found = scene((20, 10, 130, 110, 0.05))
    (pick,) = rank_picks(Surface(frame, FLOOR), found)
    assert pick.possible and pick.roughness_m == pytest.approx(0, abs=1e-6)


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


def test_the_floor_of_a_surface_is_the_bins_without_the_room_around_it():
    frame, _ = scene((60, 40, 100, 80, 0.04))
    frame.depth_m[:] += np.arange(120 * 160, dtype=np.float32).reshape(120, 160) * 1e-7
    bin_ = Workspace(FLOOR.floor, (-0.1, -0.06, 0.05, 0.09))
    surface = Surface(frame, bin_)
    left, top, right, bottom = bin_.window(CAMERA, 0.0)
    assert np.array_equal(surface.depth, frame.depth_m[surface.inside])
    assert np.array_equal(surface.depth[surface.floor], frame.depth_m[top:bottom, left:right])
    assert surface.depth.shape == surface.height.shape == surface.read.shape
    assert surface.depth.size > 1.5 * (right - left) * (bottom - top)


@pytest.mark.parametrize('config', [{'tool_radius_m': 0.03}, {'wall_m': 0.04}], ids=str)
@pytest.mark.parametrize('gripper', ['suction', 'parallel'])
def test_where_nobody_says_where_walls_are_there_are_none(gripper, config):
    """They were taken to stand as far off as other things are looked for."""
    frame, found = scene((60, 40, 100, 80, 0.04))
    far = Workspace(FLOOR.floor, (-0.5, -0.5, 0.5, 0.5))
    there, none = (
        rank_picks(
            Surface(frame, one), found, PickConfig(gripper=gripper, opening_m=0.2, **config)
        )[0]
        for one in (far, FLOOR)
    )
    assert there.possible and none.possible and none.clearance_m == there.clearance_m


@pytest.mark.parametrize('gripper', ['suction', 'parallel'])
def test_a_window_of_the_picture_gives_the_same_picks(gripper):
    """The bin fills a part of the picture that does not begin in its corner."""
    frame, found = scene((30, 45, 60, 60, 0.03), (66, 50, 80, 70, 0.05))
    window = Workspace(FLOOR.floor, (-0.16, -0.1, 0.05, 0.1))
    rows, columns = Surface(frame, window).inside
    assert rows.start > 0 and columns.start > 0 and columns.stop < 130
    # Reaches over the first box's neighbour, but not turned away from it.
    body = BoxBody(np.array([[-0.004, -0.01, -0.03]]), np.array([[0.03, 0.01, -0.012]]))
    config = PickConfig(gripper=gripper, tool_radius_m=0.008)
    for tooling in (NO_TOOLING, Tooling(body)):
        whole, some = (
            rank_picks(Surface(frame, one), found, config, tooling=tooling)
            for one in (FLOOR, window)
        )
        assert len(whole) == 2 and all(one.possible for one in whole)
        for one, other in zip(whole, some):
            assert np.allclose(one.pose, other.pose, atol=1e-6)
            assert one.clearance_m == pytest.approx(other.clearance_m)
            assert (one.label, one.possible) == (other.label, other.possible)


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
    # Of the masks, those that have readings are compared.
    labels = np.where(found.labels == 4, 3, found.labels).astype(np.uint16)
    labels[:1, :4] = 4, 5, 6, 7
    frame.depth_m[0] = np.nan
    seen = Instances(labels, np.full(7, 0.9, np.float32))
    assert {pick.label for pick in rank_picks(Surface(frame, FLOOR), seen) if pick.double} == {3}


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
    assert bin_state(Surface(frame, FLOOR), picks, overfilled=True) is BinState.OVERFILLED
    # What cannot be taken is there all the same, however small.
    (none,) = (replace(one, possible=False) for one in picks)
    assert bin_state(Surface(empty, FLOOR), [none]) is BinState.OCCUPIED_NOT_PICKABLE
    # Two square centimetres, less a pixel all around: a pixel is 2.5 mm wide.
    for side, state in ((8, BinState.OCCUPIED_NOT_PICKABLE), (7, BinState.EMPTY)):
        small, _ = scene((60, 40, 60 + side, 40 + side, 0.006))
        assert bin_state(Surface(small, FLOOR), []) is state
    for wide, tall in ((9, 6), (6, 9)):
        small, _ = scene((60, 40, 60 + wide, 40 + tall, 0.006))
        assert bin_state(Surface(small, FLOOR), []) is BinState.EMPTY
    small, _ = scene((60, 40, 80, 60, 0.006))
    assert bin_state(Surface(small, FLOOR), [], min_height_m=0.01) is BinState.EMPTY
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


def test_picks_are_ordered_as_one_asks():
    # In the middle and low; high at the rim; the surest one between.
    frame, found = scene((70, 50, 90, 70, 0.02), (14, 14, 34, 34, 0.06), (110, 50, 130, 70, 0.04))
    found = Instances(found.labels, np.array([0.1, 0.1, 1.0], np.float32))
    surface = Surface(frame, FLOOR)

    def order(name) -> list[int]:
        return [one.label for one in rank_picks(surface, found, PickConfig(order=name))]

    assert order('highest') == [2, 3, 1] and order('middle') == [1, 3, 2]
    assert order('score')[0] != order('middle')[0]
    turned = Workspace(FLOOR.floor, (-0.25, -0.2, -0.05, 0.2))
    (first, *_) = rank_picks(Surface(frame, turned), found, PickConfig(order='middle'))
    assert first.label == 2, "the middle is the bin's"


@pytest.mark.parametrize('middle, first', [((-0.13, 0.0), 1), ((0.13, 0.0), 2), ((0.0, 0.12), 3)])
def test_the_middle_is_that_of_the_bounds(middle, first):
    frame, found = scene((24, 50, 44, 70, 0.02), (116, 50, 136, 70, 0.04), (70, 96, 90, 116, 0.03))
    x, y = middle
    bin_ = Workspace(FLOOR.floor, (x - 0.3, y - 0.3, x + 0.3, y + 0.3))
    assert rank_picks(Surface(frame, bin_), found, PickConfig(order='middle'))[0].label == first


def test_a_score_is_what_lies_free_high_and_sure():
    """Each alone makes it smaller: half the height, a neighbour at a centimetre, a score of none,
    something on it, a second part."""
    frame, found = scene((60, 40, 100, 80, 0.04), (10, 90, 30, 110, 0.02))
    high, low = rank_picks(Surface(frame, FLOOR), found, part_area_m2=1.0)
    assert (high.label, low.label) == (1, 2)
    assert high.score == pytest.approx(0.98) and low.score == pytest.approx(0.8 * 0.98)
    unsure = replace(found, scores=np.array([0.0, 0.9], np.float32))
    assert rank_picks(Surface(frame, FLOOR), unsure)[0].score == pytest.approx(0.8, rel=1e-4)
    near, both = scene((60, 40, 100, 80, 0.04), (103, 40, 120, 80, 0.06))
    config = PickConfig(tool_radius_m=0.005, cup_radius_m=0.06)
    pick = next(one for one in rank_picks(Surface(near, FLOOR), both, config) if one.label == 1)
    assert not pick.possible and pick.clearance_m > 0.02
    assert pick.score == pytest.approx(0.98 * 0.1 * (0.6 + 0.4 * 0.04 / 0.06), rel=1e-4)
    for doubles, share in (('last', 0.5), ('any', 1.0), ('never', 0.1 * 0.5)):
        config = PickConfig(doubles=doubles)
        two = rank_picks(Surface(frame, FLOOR), found, config, part_area_m2=1e-3)
        assert next(one for one in two if one.label == 1).score == pytest.approx(0.98 * share)


@pytest.mark.parametrize('room_px', [6, 7])
def test_little_room_lowers_a_score(room_px):
    """A small box with a wall beside it, so near that its cup has so many pixels to it."""
    frame, found = scene((70, 50, 77, 57, 0.04))
    frame.depth_m[:, 74 + room_px :] = 0.45
    config = PickConfig(cup_radius_m=0.002, tool_radius_m=0.002)
    (pick,) = rank_picks(Surface(frame, FLOOR), found, config)
    assert pick.clearance_m == pytest.approx((room_px + 1) * 0.46 / 200, rel=0.01)
    clear = 0.7 + 0.3 * min(pick.clearance_m / 0.02, 1)
    assert pick.score == pytest.approx(pick.uncovered**4 * clear * 0.98, rel=1e-4)


def test_two_parts_in_one_mask_are_behind_impossible_or_as_good():
    frame, found = scene((20, 20, 40, 40, 0.03), (60, 20, 80, 40, 0.03), (100, 20, 140, 40, 0.05))
    by = {
        doubles: rank_picks(
            Surface(frame, FLOOR), found, PickConfig(doubles=doubles, order='highest')
        )
        for doubles in ('last', 'never', 'any')
    }
    assert by['any'][0].label == 3 and by['last'][-1].label == 3 and by['last'][-1].possible
    assert [one.possible for one in by['never']] == [True, True, False]
    never = by['never'][-1]
    assert (never.label, never.possible, never.blocked) == (3, False, Blocked.TWO_PARTS)


def test_a_second_part_between_the_fingers_is_seen():
    # The fingers close across the narrow side, over both of the bars that lie side by side.
    frame, found = scene((50, 54, 110, 64, 0.03), (50, 64, 110, 67, 0.03))
    config = PickConfig(gripper='parallel')
    alone, single = scene((50, 54, 110, 64, 0.03))
    (pick,) = rank_picks(Surface(alone, FLOOR), single, config)
    assert not pick.double and pick.opening_m == pytest.approx(9 / 200 * 0.47 + 0.006, abs=2e-3)
    # A sliver within the part's own outline, as a small part that lies in a ring.
    labels = single.labels.copy()
    labels[57:61, 76:84] = 2
    both = Instances(labels, np.array([0.9, 0.5], np.float32))
    # As large as it is: by its area alone it would not be two.
    picks = rank_picks(Surface(alone, FLOOR), both, config, part_area_m2=600 * (0.47 / 200) ** 2)
    assert next(one for one in picks if one.label == 1).double


def test_a_gripper_that_would_touch_is_turned_or_the_pick_is_impossible(tmp_path):
    # A flange that reaches out to one side of the cup, and a wall of boxes on that side.
    shape = tmp_path / 'gripper.yaml'
    shape.write_text('boxes: [{size: [0.06, 0.01, 0.02], center: [0.03, 0, -0.02]}]')
    config = PickConfig(gripper_file=str(shape), tool_radius_m=0.006, approach_m=0.05)
    tooling = load_tooling(config)
    frame, found = scene((60, 50, 90, 70, 0.03), (97, 20, 120, 110, 0.07))
    surface = Surface(frame, FLOOR)

    def pick(tooling) -> Pick:
        picks = rank_picks(surface, found, config, tooling=tooling)
        return next(one for one in picks if one.label == 1)

    plain, turned = pick(NO_TOOLING), pick(tooling)
    assert plain.possible and turned.possible
    assert plain.pose[0, 0] > 0.99 and turned.pose[0, 0] < 0.5, 'away from the wall'
    assert np.allclose(plain.pose[:3, 2:], turned.pose[:3, 2:])
    walled = np.full((120, 160), 0.5, np.float32)
    walled[5:115, 15:145] = 0.42
    walled[45:75, 55:95] = 0.5
    walled[50:70, 60:90] = 0.47
    labels = np.where(found.labels == 1, 1, 0).astype(np.uint16)
    blocked = rank_picks(
        Surface(Frame(walled, CAMERA), FLOOR),
        Instances(labels, found.scores[:1]),
        config,
        tooling=tooling,
    )[0]
    assert (blocked.possible, blocked.blocked) == (False, Blocked.COLLISION)


def test_a_taught_grasp_is_laid_on_the_parts_pose(tmp_path):
    file = tmp_path / 'grasps.yaml'
    file.write_text(
        """
grasps:
  - {name: end, position: [0.03, 0, 0.01], rpy_deg: [180, 0, 0], opening_m: 0.03, priority: 1}
  - {name: middle, position: [0, 0, 0.01], rpy_deg: [180, 0, 0], opening_m: 0.03}
  - {name: from below, position: [0, 0, -0.01], rpy_deg: [0, 0, 0], opening_m: 0.03, priority: 9}
"""
    )
    config = PickConfig(gripper='parallel', grasps_file=str(file), approach_m=0.05)
    tooling = load_tooling(config)
    frame, found = scene((50, 54, 110, 64, 0.03))
    pose = np.eye(4)
    # The part's z points up, towards the camera; its middle is 1 cm below its top.
    pose[:3, :3], pose[:3, 3] = np.diag([1.0, -1.0, -1.0]), (0, 0, 0.48)
    found = Instances(found.labels, found.scores, poses=pose[None].astype(np.float32))
    (pick,) = rank_picks(Surface(frame, FLOOR), found, config, tooling=tooling)
    assert (pick.grasp, pick.possible, pick.opening_m) == ('end', True, 0.03)
    assert np.allclose(pick.pose[:3, 3], (0.03, 0, 0.47)) and np.allclose(
        pick.pose[:3, 2], (0, 0, 1)
    )
    # A pose of the points' own axes is none that a grasp was taught in.
    found_by = replace(found, registered=np.array([True]))
    assert len(rank_picks(Surface(frame, FLOOR), found_by, config, tooling=tooling)) == 1
    lost = replace(found, registered=np.array([False]))
    assert rank_picks(Surface(frame, FLOOR), lost, config, tooling=tooling) == []
    assert len(rank_picks(Surface(frame, FLOOR), lost)) == 1
    # Something stands where a finger would come down at that end.
    blocked = frame.depth_m.copy()
    row, column = round(0.02 / 0.45 * 200 + 59.5), round(0.03 / 0.45 * 200 + 79.5)
    blocked[row - 2 : row + 3, column - 2 : column + 3] = 0.45
    surface = Surface(Frame(blocked, CAMERA), FLOOR)
    (other,) = rank_picks(surface, found, config, tooling=tooling)
    assert (other.grasp, other.possible) == ('middle', True)
    (none,) = rank_picks(
        surface,
        found,
        replace(config, max_tilt_deg=1.0),
        tooling=Tooling(grasps=tooling.grasps[2:]),
    )
    assert (none.possible, none.blocked) == (False, Blocked.NO_GRASP)


def test_taught_grasps_need_poses(tmp_path):
    file = tmp_path / 'grasps.yaml'
    file.write_text('grasps: [{position: [0, 0, 0], rpy_deg: [0, 0, 0]}]')
    frame, found = scene((50, 54, 110, 64, 0.03))
    with pytest.raises(InputError, match='no poses'):
        rank_picks(
            Surface(frame, FLOOR), found, tooling=load_tooling(PickConfig(grasps_file=str(file)))
        )
