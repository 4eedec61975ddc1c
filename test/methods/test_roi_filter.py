"""A foreground method as a region-of-interest filter before another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from box_scenes import FLOOR, blue_and_red

from insegan_ros.errors import CheckpointError, ConfigError, InputError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.methods.roi_filter import RoiFilteredSegmenter
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace


class RedSegmenter(Segmenter):
    """Finds what is red."""

    task, modality = 'foreground', 'colour'
    given: Workspace | None = None

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """See Segmenter."""
        self.given = workspace
        if frame.colour is None:
            raise InputError('no colour')
        labels = ((frame.colour[..., 0] > 200) & (frame.colour[..., 2] < 100)).astype(np.uint16)
        return to_instances(frame, (0, 0, 160, 120), labels, np.ones(int(labels.max()), np.float32))


def test_the_filter_takes_from_the_other_what_it_does_not_find():
    frame, red = blue_and_red()
    alone = load_segmenter('kmeans', instances=2).segment(frame, FLOOR)
    assert (alone.labels[45:75, 35:55] > 0).all() and (alone.labels[45:75, 105:125] > 0).all()
    filtered = RoiFilteredSegmenter(load_segmenter('kmeans', instances=1), RedSegmenter())
    found = filtered.segment(frame, FLOOR)
    assert filtered.needs_colour and filtered.roi_filter.given is FLOOR
    assert (
        not (found.labels[:, :90] > 0).any() and ((found.labels > 0) & red).sum() / red.sum() > 0.9
    )
    with pytest.raises(InputError):
        filtered.segment(replace(frame, colour=None), FLOOR)
    # What it says of itself is what the other says.
    assert (filtered.task, filtered.modality) == ('instances', 'depth')
    assert len(filtered.told(2).segment(frame, FLOOR)) == 2


def test_a_filter_by_its_name_and_one_that_is_none():
    frame, _ = blue_and_red()
    filtered = load_segmenter('kmeans', instances=2, roi_filter='depth-threshold')
    assert not filtered.needs_colour and len(filtered.segment(frame, FLOOR)) == 2
    with pytest.raises(CheckpointError, match='no checkpoint or method "nobody"'):
        load_segmenter('kmeans', roi_filter='nobody')
    with pytest.raises(
        ConfigError, match='the region-of-interest filter is cutpaste-nut, which divides parts'
    ):
        load_segmenter('kmeans', roi_filter='cutpaste-nut')
    with pytest.raises(
        ConfigError, match='filter stands before irnet-mixed, which looks at colour alone'
    ):
        load_segmenter('irnet-mixed', roi_filter='depth-threshold')
    with pytest.raises(
        ConfigError, match='filter stands before grabcut-colour, which finds the foreground itself'
    ):
        load_segmenter('grabcut-colour', roi_filter='depth-threshold')
