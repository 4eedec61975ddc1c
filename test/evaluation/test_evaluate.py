"""Average precision, whether first picks are truly free, and both in an evaluation, on answers that
are known."""

import numpy as np
import pytest

from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.picks import first_pick_is_free, free_parts
from insegan_ros.picking.picks import Surface
from insegan_ros.tasks.instances import evaluate
from insegan_ros.workspace import Workspace

CAMERA, FLOOR = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120), Workspace((0.0, 0.0, -1.0, 0.5))


def boxes(*places: tuple[int, int, int, int], scores: tuple[float, ...] = ()) -> Instances:
    labels = np.zeros((120, 160), np.uint16)
    for number, (left, top, right, bottom) in enumerate(places, start=1):
        labels[top:bottom, left:right] = number
    return Instances(labels, np.array(scores or (1.0,) * len(places), np.float32))


def test_average_precision_counts_each_truth_once_and_knows_the_order_of_scores():
    truth = boxes((10, 10, 30, 30), (60, 60, 80, 80))
    assert average_precision([truth], [truth]) == {'ap25': 1.0, 'ap50': 1.0, 'ap75': 1.0}
    # One found, the other not; a wrong one less sure than the right one costs nothing, a surer one
    # does.
    after = average_precision(
        [truth], [boxes((10, 10, 30, 30), (100, 10, 120, 30), scores=(0.9, 0.2))]
    )['ap50']
    before = average_precision(
        [truth], [boxes((10, 10, 30, 30), (100, 10, 120, 30), scores=(0.2, 0.9))]
    )['ap50']
    assert after == pytest.approx(0.5, abs=0.01) and before == pytest.approx(0.25, abs=0.01)
    # Shifted by a quarter: IoU .6.
    shifted = average_precision([truth], [boxes((15, 10, 35, 30), (65, 60, 85, 80))])
    assert shifted['ap50'] == 1 and shifted['ap75'] == 0
    assert average_precision([truth], [Instances.none((120, 160))])['ap50'] == 0
    assert np.isnan(average_precision([Instances.none((120, 160))], [truth])['ap50'])


def scene(amodal: bool) -> Scene:
    """A low box and a high one that lies on its right end."""
    low, high = (30, 40, 80, 80), (65, 45, 110, 75)
    truth = boxes(low, high)
    depth = np.full((120, 160), 0.5, np.float32)
    depth[truth.labels == 1], depth[truth.labels == 2] = 0.47, 0.44
    whole = np.stack([boxes(one).labels > 0 for one in (low, high)]) if amodal else None
    return Scene(Frame(depth, CAMERA), Instances(truth.labels, truth.scores, amodal=whole), FLOOR)


@pytest.mark.parametrize('amodal', [True, False])
def test_a_covered_part_is_not_free_and_picking_it_first_is_noticed(amodal):
    one = scene(amodal)
    assert free_parts(one, Surface(one.frame, FLOOR)).tolist() == [False, True]
    assert first_pick_is_free(one, one.truth) is True
    # An answer that knows nothing of the high box.
    assert first_pick_is_free(one, boxes((30, 40, 64, 80))) is False
    assert first_pick_is_free(one, Instances.none((120, 160))) is False
    alone = Scene(
        one.frame,
        Instances((one.truth.labels == 1).astype(np.uint16), np.ones(1, np.float32)),
        FLOOR,
    )
    assert first_pick_is_free(alone, alone.truth) is None, 'nothing is free here'


class Truth:
    """A segmenter that knows the answers, frame by frame."""

    workspace = None

    def __init__(self, scenes: list[Scene]) -> None:
        self.answers = {id(one.frame): one.truth for one in scenes}

    def segment(self, frame: Frame) -> Instances:
        return self.answers[id(frame)]


def test_an_evaluation_reports_precision_and_picks_and_passes_over_frames_without_labels(nut_data):
    scenes = list(ShardDataset(nut_data))
    mixed = [Scene(scenes[0].frame, None, scenes[0].workspace), *scenes]
    found = evaluate(Truth(scenes), mixed, limit=10, progress=False).summary()
    assert (
        found['scenes'] == 6
        and found['honest_miou'] == 1
        and found['ap50'] == 1
        and found['ap75'] == 1
        and found['first_pick_free'] == 1
    )
    with pytest.raises(DatasetError, match='no labelled scenes'):
        evaluate(Truth(scenes), mixed[:1], progress=False)


@pytest.mark.slow
def test_the_benchmark_of_picks_has_a_row_a_gripper_and_kind_of_masks(monkeypatch):
    from insegan_ros.evaluation import benchmark

    monkeypatch.setattr(benchmark, '_shipped_parts', lambda: ['nut'])
    rows = benchmark.run_benchmark('picks', 'small')
    free = {
        (row['method'], row['protocol'].split(', ')[1].split()[0]): row['value']
        for row in rows
        if row['metric'] == 'first pick truly free'
    }
    assert set(free) == {
        (method, gripper)
        for method in ('true masks', 'insegan-nut')
        for gripper in ('suction', 'parallel')
    }
    assert free['true masks', 'suction'] == 1 and all(0 <= value <= 1 for value in free.values())
    assert sum(row['unit'] == 'ms' for row in rows) == 2 and all(
        row['command'] == 'insegan benchmark picks --budget small' for row in rows
    )


def test_the_benchmark_of_poses_has_rows_for_true_masks_and_for_ours(monkeypatch):
    from insegan_ros.evaluation import benchmark

    monkeypatch.setattr(benchmark, '_shipped_parts', lambda: ['nut'])
    rows = {
        (row['method'], row['metric']): row['value']
        for row in benchmark.run_benchmark('poses', 'small')
    }
    for method in ('true masks', 'insegan-nut'):
        assert (
            rows[method, 'ADD-S below .1 diameter'] > 0.8
            and rows[method, 'median MSSD'] < 0.1
            and rows[method, 'time'] > 0
        )
        assert rows[method, 'median ADD-S'] < 0.05
