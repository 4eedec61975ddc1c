"""What is known about a picture."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import CAMERA, FLOOR, box_scene

from insegan_ros.data.scene import Scene, seen_instances, visible_fractions
from insegan_ros.errors import InputError
from insegan_ros.frame import IGNORE, Instances


def test_how_much_of_each_part_is_seen():
    """All, a half, a single pixel; the fourth lies below others, the fifth out of the picture."""
    labels = np.zeros((6, 8), np.uint16)
    labels[0, :4], labels[1, :2], labels[2, 0], labels[5] = 1, 2, 3, IGNORE
    amodal = labels == np.arange(1, 6)[:, None, None]
    amodal[1, 1, 2:4], amodal[3, 0:2, 0:2] = True, True
    truth = Instances(labels, np.ones(5, np.float32), amodal=amodal)
    assert visible_fractions(truth).tolist() == [1, 0.5, 1, 0, 0]
    assert visible_fractions(truth).dtype == np.float32
    none = Instances(np.zeros((6, 8), np.uint16), np.ones(0), amodal=np.zeros((0, 6, 8), bool))
    assert len(visible_fractions(none)) == 0
    with pytest.raises(InputError, match='have no amodal masks'):
        visible_fractions(Instances(labels, np.ones(5, np.float32)))


def test_of_labels_alone_those_are_parts_that_are_seen():
    labels = np.array([[0, 2, 2, 5], [IGNORE, 0, 9, 9]], np.uint16)
    truth = seen_instances(labels)
    assert len(truth) == 3 and truth.labels.tolist() == [[0, 1, 1, 2], [IGNORE, 0, 3, 3]]
    assert len(seen_instances(np.zeros((2, 3), np.uint16))) == 0


def test_what_is_not_known_of_a_picture_is_said():
    frame = box_scene(CAMERA, [])
    weak = Scene(frame, None, None, ('nut',))
    assert weak.known_labels().shape == (120, 160) and not weak.known_labels().any()
    with pytest.raises(InputError, match='image-level labels only'):
        weak.labelled()
    with pytest.raises(InputError, match='not known where the bin is'):
        weak.require_workspace()
    truth = seen_instances((frame.depth_m > 0).astype(np.uint16))
    whole = Scene(frame, truth, FLOOR)
    assert whole.labelled() is truth and whole.require_workspace() is FLOOR
    assert whole.known_labels() is truth.labels
