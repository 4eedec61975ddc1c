"""The few real pictures: bins under a camera tilted by 34 to 45 degrees, and a tote of boxes."""

from __future__ import annotations

import numpy as np
import pytest

from insegan_ros.benchmarks.real import BINS, benchmark_real, bin_pictures, real_folder
from insegan_ros.data.convert import open_dataset
from insegan_ros.picking.calibrate import calibrate


@pytest.mark.parametrize(('name', 'inside_mm'), zip(BINS, [(310, 425), (365, 545), (320, 430)]))
def test_real_bins_are_found_and_nearly_empty_where_they_are(name, inside_mm):
    """With bounds along the camera's axes several times as much of an empty bin was part."""
    empty, _ = bin_pictures(name)
    found, _ = calibrate([empty], in_use=True)
    x_min, y_min, x_max, y_max = found.workspace.bounds
    size_mm = 1000 * (x_max - x_min), 1000 * (y_max - y_min)
    assert np.allclose(size_mm, inside_mm, atol=25)
    assert 30 < np.degrees(np.arccos(-found.workspace.floor[2])) < 50
    points = empty.points()
    inside = found.workspace.contains(points).sum()
    invented = (found.workspace.height_map(empty) > 0.012).sum() / inside
    corners = found.workspace.floor_corners()[:, :2]
    box = ((points[..., :2] >= corners.min(0)) & (points[..., :2] <= corners.max(0))).all(-1)
    before = (box & (found.workspace.height_of(points) > 0.012)).sum() / inside
    print(name, size_mm, invented, before)
    assert invented < 0.06 and before > 4 * invented


def test_nine_boxes_are_labelled_in_a_real_tote():
    (scene,) = open_dataset(real_folder() / 'kpick')[1]
    heights = scene.workspace.height_of(scene.frame.points())
    tops = [float(np.nanmedian(heights[mask])) for mask in scene.labelled().masks()]
    # Two layers of boxes some 75 mm high.
    assert len(tops) == 9 and sum(0.06 < top < 0.11 for top in tops) == 5
    assert sum(0.13 < top < 0.18 for top in tops) == 4


@pytest.mark.slow
def test_the_table_of_real_pictures():
    rows = {
        (row['method'], row['part'], row['metric']): row['value'] for row in benchmark_real(True)
    }
    assert rows['depth-threshold', 'tote', 'foreground_iou'] > 0.9
    assert 0.2 < rows['spectral', 'boxes', 'honest_miou'] < 0.6
    assert all(rows[method, 'boxes', 'count_error'] == 0 for method in ('kmeans', 'spectral'))
