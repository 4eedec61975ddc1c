"""The heap baselines on disks whose masks are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.baselines.heaps import (
    ClustersSegmenter,
    RegionsSegmenter,
    TemplateSegmenter,
    WatershedSegmenter,
)
from insegan_ros.methods.registry import load_segmenter, ready
from insegan_ros.metrics.masks import foreground_iou, iou_matrix
from insegan_ros.workspace import Workspace


def disks(dark: bool = False) -> tuple[Frame, np.ndarray]:
    """Thirty-six bright disks of 24 px on a grid, neighbours touching in pairs, shaded and noisy;
    nearer than the floor."""
    rng = np.random.default_rng(0)
    labels = np.zeros((216, 216), np.uint16)
    colour = np.full((216, 216), 40.0)
    depth = np.full((216, 216), 0.6, np.float32)
    y, x = np.mgrid[:216, :216]
    for index in range(36):
        row, column = 18 + 36 * (index // 6), 18 + 36 * (index % 6)
        column += 6 if index % 2 == 0 else -6
        inside = np.hypot(x - column, y - row) <= 12
        labels[inside] = index + 1
        colour[inside] = 150 + 60 * rng.random()
        depth[inside] = 0.58 - 0.004 * rng.random()
    colour = np.clip(colour + rng.normal(0, 3, colour.shape), 0, 255)
    picture = np.repeat((255 - colour if dark else colour)[..., None], 3, -1).astype(np.uint8)
    return Frame(depth, Intrinsics(216, 216, 107.5, 107.5, 216, 216), picture), labels


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize(
    'kind, least',
    [
        (WatershedSegmenter, 0.95),
        (RegionsSegmenter, 0.7),
        (TemplateSegmenter, 0.6),
        (ClustersSegmenter, 0.6),
    ],
)
def test_disks_in_colour_are_found(kind, least, dark):
    frame, truth = disks(dark)
    found = kind(modality='colour', size_px=24, dark=dark).segment(frame)
    assert (
        iou_matrix(truth, found.labels).max(1) > 0.5
    ).mean() >= least and found.labels.shape == truth.shape


@pytest.mark.parametrize('name', ready('heaps'))
def test_they_run_by_name_on_depth_and_estimate_the_size(name):
    frame, truth = disks()
    segmenter = load_segmenter(name)
    assert not segmenter.needs_colour
    found = segmenter.segment(frame, Workspace((0.0, 0.0, -1.0, 0.6)))
    assert len(found) == found.labels.max() >= 12 and foreground_iou(truth, found.labels) > (
        0.8 if name != 'template-heap' else 0.3
    )


def test_what_is_all_alike_has_no_object():
    flat = np.full((100, 100, 3), 0.3, np.float32)
    for kind in (WatershedSegmenter, RegionsSegmenter, TemplateSegmenter, ClustersSegmenter):
        labels, scores = kind(modality='colour', size_px=20).divide(flat)
        assert labels.shape == (100, 100) and not labels.any() and not len(scores), kind.__name__


def test_a_template_is_found_again_where_it_was_turned():
    rng, picture = np.random.default_rng(1), np.full((240, 240), -1.0, np.float32)
    places = [(40 + 53 * (i // 4), 40 + 53 * (i % 4)) for i in range(16)]
    for row, column in places:
        box = cv2.boxPoints(((column, row), (30, 10), float(rng.uniform(0, 180)))).astype(int)
        cv2.fillPoly(picture, [box], 1.0)
    labels, _ = TemplateSegmenter(modality='depth', size_px=32, min_correlation=0.4).divide(
        picture[..., None]
    )
    assert sum(labels[row, column] > 0 for row, column in places) >= 13 and 12 <= labels.max() <= 20


@pytest.mark.parametrize(
    'kind', [WatershedSegmenter, RegionsSegmenter, TemplateSegmenter, ClustersSegmenter]
)
def test_a_picture_without_objects_is_one_frame_that_cannot_be_used(kind):
    """An InputError, after which `segment` and the node go on with the next frame."""
    with pytest.raises(InputError, match='no object shows in the picture: expected'):
        kind().divide(np.zeros((96, 96, 1), np.float32))
