"""Foreground by colour or by a threshold of depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from box_scenes import CAMERA, FLOOR, blue_and_red

from insegan_ros.errors import InputError
from insegan_ros.frame import Frame
from insegan_ros.methods.registry import load_segmenter, ready


@pytest.mark.parametrize('name', ['grabcut-colour', 'kmeans-colour'])
def test_colour_methods_find_pieces_of_another_colour(name):
    frame, _ = blue_and_red()
    found = load_segmenter(name).segment(
        replace(
            frame, colour=np.where(frame.depth_m[..., None] < 0.48, np.uint8(230), frame.colour)
        )
    )
    assert len(found) == 2 and found.poses.shape == (2, 4, 4)
    for piece in (slice(30, 60), slice(100, 130)):
        own = found.labels[45:75, piece]
        assert (own > 0).mean() > 0.95 and len(np.unique(own[own > 0])) == 1
    assert (found.labels[:30] > 0).mean() < 0.02


def test_the_depth_threshold_finds_what_stands():
    frame, _ = blue_and_red()
    found = load_segmenter('depth-threshold').segment(frame, FLOOR)
    assert np.array_equal(found.labels > 0, frame.depth_m < 0.48)


@pytest.mark.parametrize('name', ['grabcut-colour', 'kmeans-colour'])
def test_a_frame_without_colour_is_refused_in_one_line(name):
    with pytest.raises(InputError, match='the frame has no colour: expected'):
        load_segmenter(name).segment(replace(blue_and_red()[0], colour=None))


@pytest.mark.parametrize('name', ready('foreground'))
def test_a_picture_of_nothing_gives_nothing(name):
    frame = Frame(
        np.full((120, 160), 0.5, np.float32), CAMERA, np.full((120, 160, 3), 120, np.uint8)
    )
    assert len(load_segmenter(name).segment(frame, FLOOR)) == 0
