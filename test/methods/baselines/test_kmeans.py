"""K-means on points: masks, and poses by principal axes."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import FLOOR, box_scene

from insegan_ros.errors import ConfigError
from insegan_ros.methods.baselines.kmeans import KMeansSegmenter
from insegan_ros.metrics.masks import honest_miou


def test_kmeans_separates_distant_boxes_and_poses_lie_on_them(camera):
    frame = box_scene(camera, [(20, 20, 40, 40), (100, 70, 130, 90)])
    found = KMeansSegmenter(2).segment(frame, FLOOR)
    truth = np.zeros((120, 160), int)
    truth[20:40, 20:40], truth[70:90, 100:130] = 1, 2
    assert honest_miou(truth, found.labels) > 0.95
    pose = found.poses[found.labels[30, 30] - 1]
    assert np.allclose(
        pose[:3, 3], ((29.5 - 79.5) / 200 * 0.46, (29.5 - 59.5) / 200 * 0.46, 0.46), atol=0.002
    )
    assert pose[2, 2] < -0.99 and np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-5)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


def test_the_long_axis_of_a_part_is_its_poses_x(camera):
    found = KMeansSegmenter(1).segment(box_scene(camera, [(40, 50, 110, 60)]), FLOOR)
    assert abs(found.poses[0, 0, 0]) > 0.99


def test_an_empty_bin_has_no_instance(camera):
    found = KMeansSegmenter(5).segment(box_scene(camera, []), FLOOR)
    assert len(found) == 0 and not found.labels.any()


def test_kmeans_needs_a_number():
    with pytest.raises(ConfigError, match='instances is 0'):
        KMeansSegmenter(0)
