"""The classical methods: distant boxes are told apart, the floor stays free."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import box_scene

from insegan_ros.methods.registry import load_segmenter, ready
from insegan_ros.metrics.masks import honest_miou
from insegan_ros.workspace import Workspace

FLOOR = Workspace((0.0, 0.0, -1.0, 0.5))


@pytest.mark.parametrize('method', ready('instances'))
def test_every_classical_method_tells_distant_boxes_apart(camera, method):
    frame = box_scene(camera, [(20, 20, 44, 44), (100, 70, 130, 96)])
    truth = np.zeros((120, 160), int)
    truth[20:44, 20:44], truth[70:96, 100:130] = 1, 2
    found = load_segmenter(method, instances=2).segment(frame, FLOOR)
    assert len(found) == 2 and honest_miou(truth, found.labels) > 0.8
    again = load_segmenter(method, instances=2).segment(frame, FLOOR)
    assert (found.labels == again.labels).all()


@pytest.mark.parametrize('method', ready('instances'))
def test_an_empty_bin_has_no_instance(camera, method):
    assert len(load_segmenter(method).segment(box_scene(camera, []), FLOOR)) == 0
