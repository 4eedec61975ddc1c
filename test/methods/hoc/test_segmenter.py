"""Centres by the checkpoint's own rule; outlines that move to the picture's edges."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.hoc.segmenter import USUAL, HocSegmenter, snap_to_edges
from insegan_ros.methods.registry import find_checkpoint
from insegan_ros.metrics.masks import iou_matrix


def test_outlines_move_to_the_pictures_edges():
    y, x = np.mgrid[:120, :120]
    truth = np.zeros((120, 120), np.uint16)
    for number, (row, column) in enumerate(((40, 40), (40, 80), (85, 60)), start=1):
        truth[np.hypot(x - column, y - row) < 20] = number
    picture = np.where(truth > 0, 0.1 * truth, -1.0).astype(np.float32)[..., None]
    # As a network that sees it small has it: too large, and not quite in place.
    rough = np.roll(cv2.dilate(truth, np.ones((7, 7), np.uint8)), (2, -2), (0, 1))
    snapped = snap_to_edges(picture, rough, 7)
    before, after = (iou_matrix(truth, some).max(1) for some in (rough, snapped))
    assert (
        before.min() < 0.8
        and after.min() > 0.95
        and iou_matrix(truth, snapped).argmax(1).tolist() == [0, 1, 2]
    )
    # What is thinner than the reach stays as it is.
    line = np.zeros((120, 120), np.uint16)
    line[60:63, 20:100] = 1
    assert (snap_to_edges(picture, line, 7)[60:63, 20:100] == 1).all()


def test_the_rule_is_the_checkpoints_own_unless_another_is_asked_for():
    shipped = Checkpoint.load(find_checkpoint('hoc-nut'))
    own = HocSegmenter(shipped).rule
    assert (own.centre_radius, own.min_votes) == (1.1, 0.16)
    earlier = replace(shipped, config={k: v for k, v in shipped.config.items() if k != 'votes'})
    assert HocSegmenter(earlier).rule == USUAL != own
    assert HocSegmenter(shipped, rule=USUAL).rule == USUAL


def test_nothing_is_found_in_a_strip_thinner_than_the_networks_pixel():
    segmenter = HocSegmenter(Checkpoint.load(find_checkpoint('hoc-nut')))
    assert segmenter.zoom < 0.5
    for shape in ((1, 640), (480, 1), (1, 1)):
        labels, scores = segmenter.divide(np.zeros((*shape, 1), np.float32))
        assert labels.shape == shape and not labels.any() and not len(scores)
