"""The classical methods: distant boxes are told apart, the floor stays free."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import box_scene

from insegan_ros.methods.baselines.kmeans import KMeansSegmenter
from insegan_ros.methods.registry import load_segmenter, ready
from insegan_ros.metrics.masks import honest_miou
from insegan_ros.workspace import Workspace
from insegan_sim.parts import Part
from insegan_sim.scenes import bin_setup, photograph

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


@pytest.mark.parametrize('method', ready('instances'))
def test_a_part_that_is_hardly_seen_at_the_working_resolution_is_no_error(camera, method):
    """Low and a few pixels wide: of its height little is left when the picture shrinks."""
    frame = box_scene(camera, [(51, 70, 57, 76)], height_m=0.007)
    found = load_segmenter(method, instances=1).segment(frame, FLOOR)
    assert len(found) <= 1


def test_a_flat_sheet_is_seen_and_an_upright_flange_stays_whole(bracket):
    """Of an angle of 3 mm that lies on its foot, the foot is nine tenths of what is seen."""
    part = Part('bracket', bracket.copy().apply_translation(-bracket.center_mass), ())
    setup = bin_setup(part)
    pose = np.eye(4)[None].copy()
    pose[0, 2, 3] = bracket.center_mass[2]
    scene = photograph(setup, [part], pose, np.random.default_rng(0))
    truth = scene.labelled().labels > 0
    found = load_segmenter('kmeans', instances=1).segment(scene.frame, scene.workspace)
    assert (found.labels > 0)[truth].mean() > 0.98 and not (found.labels > 0)[~truth].any()
    given = KMeansSegmenter(1, min_height_m=0.006).segment(scene.frame, scene.workspace)
    assert (given.labels > 0)[truth].mean() < 0.3
