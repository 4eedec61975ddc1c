"""K-means on points: masks, and poses by principal axes."""

from __future__ import annotations

import numpy as np
import pytest
from box_scenes import FLOOR, box_scene

from insegan_ros.errors import ConfigError
from insegan_ros.geometry.clusters import cluster_heights, kmeans_instances
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


@pytest.mark.parametrize('tall', [False, True])
def test_clusters_of_a_small_map_are_the_same_places_in_the_large_one(tall):
    """A quarter as many columns, or rows, and as many of the others."""
    large = np.zeros((40, 160), np.float32)
    large[10:30, 10:50], large[10:30, 110:150] = 0.02, 0.03
    small = large[:, ::4]
    large, small = (large.T, small.T) if tall else (large, small)
    labels = cluster_heights(large, small, 0.002, 2)
    assert np.array_equal(labels > 0, large > 0) and labels.max() == 2
    assert len({*labels[large == large.max()]}) == 1 == len({*labels[(0 < large) & (large < 0.03)]})


@pytest.mark.parametrize('instances', [1, 2, 5])
def test_told_how_many_parts_there_are_it_finds_so_many(camera, instances):
    places = [(30 * at + 4, 20 * at + 4, 30 * at + 24, 20 * at + 19) for at in range(instances)]
    frame = box_scene(camera, places)
    found = kmeans_instances(frame, FLOOR, instances)
    assert len(found) == instances and (found.scores == 0.5).all()
    # But for the corners, which the filter rounds.
    assert ((found.labels > 0) ^ (frame.depth_m < 0.48)).sum() == 4 * instances
    assert {found.labels[top + 5, left + 5] for left, top, *_ in places} == {
        *range(1, instances + 1)
    }
    assert len(kmeans_instances(box_scene(camera, []), FLOOR, instances)) == 0
