"""Recordings, replayed into the live node and scored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from box_scenes import CAMERA, FLOOR, box_scene

from insegan_ros.data.convert import convert
from insegan_ros.data.scene import Scene, seen_instances
from insegan_ros.frame import IGNORE
from insegan_sim.generate import SimulateConfig, simulate

rclpy = pytest.importorskip('rclpy')

from geometry_msgs.msg import Point, Pose, PoseArray  # noqa: E402
from live_nodes import OTHER, insegan  # noqa: E402
from shell import command  # noqa: E402

from insegan_ros.nodes.replay import _first_pick_free  # noqa: E402


def test_a_first_pick_where_nobody_knows_what_lies_there_is_of_no_free_part():
    frame = box_scene(CAMERA, [(30, 40, 60, 80), (100, 40, 130, 80)])
    labels = np.zeros((120, 160), np.uint16)
    labels[40:80, 30:60], labels[40:80, 100:130] = 1, IGNORE
    scene = Scene(frame, seen_instances(labels), FLOOR)
    for column, free in ((45, True), (115, False), (80, False)):
        at = frame.intrinsics.rays()[60, column] * 0.46
        pick = Pose(position=Point(**{axis: float(one) for axis, one in zip('xyz', at)}))
        assert _first_pick_free(scene, PoseArray(poses=[pick])) is free


def test_where_nothing_can_be_written_is_said_before_anything_starts(nut_data, tmp_path, capsys):
    convert(nut_data, tmp_path / 'bag', 'recording')
    (tmp_path / 'file').write_text('')
    given = ('--recording', tmp_path / 'bag', '--model', 'kmeans', '--out', tmp_path / 'file')
    assert command('replay', *given) == 2
    assert 'file cannot be created' in capsys.readouterr().err


@pytest.mark.slow
def test_a_recording_is_replayed_into_the_live_node_and_scored(nut_data, tmp_path):
    convert(nut_data, tmp_path / 'bag', 'recording')
    replay = ('replay', '--recording', tmp_path / 'bag', '--out', tmp_path / 'out')
    process = insegan(*replay, '--model', 'cutpaste-nut', '--rate', '0.04', domain=OTHER)
    assert process.returncode == 0, process.stderr
    numbers = json.loads((tmp_path / 'out/replay.json').read_text())
    assert numbers['frames'] == numbers['answered'] == numbers['scored'] == 6
    assert numbers['unanswered'] == 0 and 'not answered' not in process.stderr
    assert (
        numbers['honest_miou'] > 0.7
        and numbers['ap50'] > 0.7
        and numbers['first_picks'] > 0
        and numbers['latency_ms_median'] < 2000
    )
    assert (tmp_path / 'out/replay.png').stat().st_size > 1000 and 'Traceback' not in process.stderr


@pytest.mark.slow
def test_frames_that_a_replay_too_quick_for_the_model_loses_are_said(nut_data, tmp_path):
    convert(nut_data, tmp_path / 'bag', 'recording')
    replay = ('replay', '--recording', tmp_path / 'bag', '--out', tmp_path / 'out')
    process = insegan(*replay, '--model', 'cutpaste-nut', '--rate', '100', domain=OTHER)
    assert process.returncode == 0, process.stderr
    numbers = json.loads((tmp_path / 'out/replay.json').read_text())
    lost = numbers['unanswered']
    assert 0 < lost < numbers['frames'] == numbers['answered'] + lost == 6
    assert numbers['scored'] == numbers['answered']
    (line,) = [one for one in process.stderr.splitlines() if 'not answered' in one]
    assert line.startswith(f'{lost} of 6 frames were not answered') and 'lower --rate' in line
    # Each for a reason that the segmenter knows of.
    assert 'segmenter counts' in line


@pytest.mark.slow
def test_a_recording_with_colour_is_replayed_into_a_model_of_classes(tmp_path):
    """Bins of several kinds, recorded as realsense-ros does with align_depth, through the player
    and the node on real DDS: masks of the shipped model."""
    data = simulate(
        SimulateConfig(
            part='nut,bolt,cone',
            scenes=4,
            instances='3',
            size='224',
            fill=0.4,
            colour=True,
            seed=5,
            workers=1,
            out=str(tmp_path / 'data'),
        )
    )
    convert(data, tmp_path / 'bag', 'recording')
    replay = ('replay', '--recording', tmp_path / 'bag', '--out', tmp_path / 'out')
    process = insegan(*replay, '--model', 'irnet-mixed', '--rate', '0.03', domain=OTHER)
    assert process.returncode == 0, process.stderr
    numbers = json.loads((tmp_path / 'out/replay.json').read_text())
    assert (
        numbers['frames'] == numbers['answered'] == numbers['scored'] == 4
        and numbers['honest_miou'] > 0.6
        and numbers['ap50'] > 0.6
    )
    # Without ROS the same recording gives masks with names.
    given = ('--model', 'irnet-mixed', '--out', tmp_path / 'masks')
    assert command('segment', tmp_path / 'bag', *given) == 0
    rows = json.loads((tmp_path / 'masks/results.json').read_text())
    assert (
        len(rows) == 4
        and {one['class'] for row in rows for one in row['instances']} & {'nut', 'bolt', 'cone'}
        and rows[0]['intrinsics']['width'] == 224
    )


@pytest.mark.slow
def test_a_replay_whose_model_cannot_be_loaded_ends_at_once(nut_data, tmp_path):
    convert(nut_data, tmp_path / 'bag', 'recording')
    replay = ('replay', '--recording', tmp_path / 'bag', '--out', tmp_path / 'out')
    process = insegan(*replay, '--model', tmp_path, domain=OTHER)
    assert (
        process.returncode == 2
        and 'no checkpoint at' in process.stderr
        and 'Traceback' not in process.stderr
    )
