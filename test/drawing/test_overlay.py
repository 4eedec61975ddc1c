"""Depth as a picture, and instances on it."""

from __future__ import annotations

import numpy as np

from insegan_ros.drawing.overlay import depth_picture, overlay, palette


def test_near_is_bright_and_no_reading_is_black():
    depth = np.tile(np.linspace(0.4, 0.6, 50, dtype=np.float32), (40, 1))
    depth[:5] = np.nan
    picture = depth_picture(depth)
    assert (picture[:5] == 0).all() and picture[20, 2, 0] > 230 and 30 < picture[20, 47, 0] < 60
    assert (depth_picture(np.full((4, 4), np.nan, np.float32)) == 0).all()


def test_every_instance_has_a_colour_of_its_own():
    depth = np.full((40, 40), 0.5, np.float32)
    labels = np.zeros((40, 40), np.uint16)
    labels[5:15, 5:15], labels[5:15, 20:30] = 1, 2
    picture = overlay(depth, labels)
    one = picture[10, 10].astype(int)
    two = picture[10, 25].astype(int)
    floor = picture[30, 30].astype(int)
    assert np.abs(one - two).max() > 60 and floor.max() == floor.min()
    assert (picture[5, 10] == 255).all(), 'outlined'


def test_colours_differ_for_many_instances():
    colours = palette(20).astype(int)
    distance = np.abs(colours[:, None] - colours[None]).sum(-1) + 999 * np.eye(21, dtype=int)
    assert colours.shape == (21, 3) and distance.min() > 15


def test_numbers_stand_on_their_parts_where_there_is_room():
    depth = np.full((120, 160), 0.5, np.float32)
    labels = np.zeros((120, 160), np.uint16)
    labels[40:90, 20:100], labels[100:105, 150:155], labels[5:30, 120:150] = 1, 2, 3
    written = (overlay(depth, labels) != overlay(depth, labels, numbers=True)).any(-1)
    assert written[55:75, 50:70].any() and written[5:30, 120:150].any()
    assert not written[100:105, 150:155].any(), 'too small for a number'
    assert not written[labels == 0].any()
    both = overlay(depth, labels, classes=('nut', '', ''), numbers=True)
    assert (both != overlay(depth, labels, classes=('nut', '', ''))).any()


def test_names_stand_on_what_they_name_and_stay_within_the_picture():
    depth = np.full((120, 160), 0.5, np.float32)
    labels = np.zeros((120, 160), np.uint16)
    labels[40:90, 20:100], labels[0:10, 140:160] = 1, 2
    plain, named = overlay(depth, labels), overlay(depth, labels, classes=('connector', 'nut'))
    written = (plain != named).any(-1)
    assert (
        written[40:90, 20:100].any()
        and not written[95:].any()
        and named[written].min(-1).min() < 60
        and named[written].min(-1).max() > 190
    )
    # The second one's name is longer than what is left of the picture to its right.
    assert written[:16, 120:].any() and (overlay(depth, labels, classes=('', '')) == plain).all()
