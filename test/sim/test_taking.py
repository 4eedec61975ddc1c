"""Parts taken out of a simulated bin."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from insegan_ros.data.scene import visible_fractions
from insegan_sim.scenes import bin_setup, scene_stream
from insegan_sim.taking import BinToEmpty


@pytest.fixture
def six() -> BinToEmpty:
    setup = bin_setup('cylinder', 6, seed=4, fill=1.5)
    with closing(scene_stream(setup)) as stream:
        return BinToEmpty(setup, next(stream))


def top_of(bin_: BinToEmpty, part: int) -> np.ndarray:
    """The point of the camera's frame at the middle of what is seen of a part."""
    scene = bin_.photograph()
    truth, frame = scene.labelled(), scene.frame
    rows, columns = np.nonzero(truth.labels == part + 1)
    row, column = rows[len(rows) // 2], columns[len(rows) // 2]
    return frame.intrinsics.rays()[row, column] * frame.depth_m[row, column]


def test_the_part_at_the_tool_is_taken_and_the_others_lie_on(six):
    before = six.photograph().labelled()
    part = int(visible_fractions(before).argmax())
    taken = six.take(top_of(six, part))
    assert (taken.part, taken.left) == (part, 5) and taken.free and taken.distance_m < 1e-4
    after = six.photograph().labelled()
    others = np.delete(before.require_poses(), part, axis=0)
    moved = np.linalg.norm(after.require_poses()[:, :3, 3] - others[:, :3, 3], axis=1)
    assert len(after) == 5 and np.median(moved) < 0.002, 'nothing lay on it'


def test_what_lies_on_a_part_falls_when_it_is_taken(six):
    before = six.photograph().labelled()
    seen = visible_fractions(before)
    part = int(np.where(seen > 0.05, seen, 2).argmin())
    assert seen[part] < 0.95
    taken = six.take(top_of(six, part))
    assert taken.part == part and not taken.free and taken.seen == pytest.approx(seen[part])
    heights = six.photograph().labelled().require_poses()[:, 2, 3]
    assert heights.max() >= np.delete(before.require_poses()[:, 2, 3], part).max() - 1e-3


def test_where_nothing_is_nothing_is_taken_until_the_bin_is_empty(six):
    nowhere = np.array([0.0, 0.0, 0.05])
    assert six.take(nowhere).part is None and len(six.photograph().labelled()) == 6
    for left in range(5, -1, -1):
        part = int(visible_fractions(six.photograph().labelled()).argmax())
        assert six.take(top_of(six, part)).left == left
    empty = six.take(nowhere)
    assert empty.part is None and empty.distance_m == np.inf and not empty.free
    scene = six.photograph()
    floor = scene.require_workspace().floor_depth(scene.frame.intrinsics)
    inside = np.s_[100:124, 100:124]
    assert np.allclose(scene.frame.depth_m[inside], floor[inside], atol=1e-3)
