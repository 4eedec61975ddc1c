"""Whether first picks are truly free."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import box_masks

from insegan_ros.data.scene import Scene
from insegan_ros.frame import Frame, Instances, Intrinsics
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
