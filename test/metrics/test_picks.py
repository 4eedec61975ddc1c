"""Whether first picks are truly free."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import box_masks

from insegan_ros.data.scene import Scene
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics
from insegan_ros.metrics.picks import first_pick_is_free, free_parts
from insegan_ros.picking.picks import Surface
from insegan_ros.workspace import Workspace

CAMERA, FLOOR = Intrinsics(200.0, 200.0, 79.5, 59.5, 160, 120), Workspace((0.0, 0.0, -1.0, 0.5))


def scene(amodal: bool) -> Scene:
    """A low box and a high one that lies on its right end."""
    low, high = (30, 40, 80, 80), (65, 45, 110, 75)
    truth = box_masks(low, high)
    depth = np.full((120, 160), 0.5, np.float32)
    depth[truth.labels == 1], depth[truth.labels == 2] = 0.47, 0.44
    whole = np.stack([box_masks(one).labels > 0 for one in (low, high)]) if amodal else None
    return Scene(Frame(depth, CAMERA), Instances(truth.labels, truth.scores, amodal=whole), FLOOR)


@pytest.mark.parametrize('amodal', [True, False])
def test_a_covered_part_is_not_free_and_picking_it_first_is_noticed(amodal):
    one = scene(amodal)
    assert free_parts(one, Surface(one.frame, FLOOR)).tolist() == [False, True]
    assert first_pick_is_free(one, one.truth) is True
    # An answer that knows nothing of the high box.
    assert first_pick_is_free(one, box_masks((30, 40, 64, 80))) is False
    assert first_pick_is_free(one, Instances.none((120, 160))) is False
    alone = Scene(
        one.frame,
        Instances((one.truth.labels == 1).astype(np.uint16), np.ones(1, np.float32)),
        FLOOR,
    )
    assert first_pick_is_free(alone, alone.truth) is None, 'nothing is free here'


def test_what_is_hidden_is_known_where_masks_are_whole_and_numbers_that_nobody_sees_are_not_free():
    """Two boxes side by side: by their borders both are free; by its whole mask the first is seen
    by nine tenths alone. The third lies below, and the fourth is seen whole."""
    depth, labels = np.full((120, 160), 0.5, np.float32), np.zeros((120, 160), np.uint16)
    labels[40:60, 20:38], labels[40:60, 60:80], labels[40:60, 100:120] = 1, 2, 4
    labels[:4] = IGNORE
    depth[(labels > 0) & (labels < 5)] = 0.47
    whole = labels == np.arange(1, 5)[:, None, None]
    whole[0, 40:60, 38:40] = True
    scores = np.ones(4, np.float32)
    plain, known = (
        Scene(Frame(depth, CAMERA), Instances(labels, scores, amodal=one), FLOOR)
        for one in (None, whole)
    )
    assert free_parts(plain, Surface(plain.frame, FLOOR)).tolist() == [True, True, False, True]
    assert free_parts(known, Surface(known.frame, FLOOR)).tolist() == [False, True, False, True]
    # Of a mask that lies mostly on the floor, and on what nobody knows, the part under it counts.
    for left, free in ((10, False), (50, True)):
        wide = box_masks((left, 42, left + 15, 58))
        wide.labels[0:2] = 1
        assert first_pick_is_free(known, wide) is free
    beside = box_masks((140, 42, 155, 58))
    assert first_pick_is_free(known, beside) is False, 'there is no part under it'
