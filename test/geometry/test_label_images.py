"""Label images: nearest labels, fragments."""

from __future__ import annotations

import numpy as np

from insegan_ros.geometry.label_images import drop_fragments, fill_foreground, nearest_resize


def test_spreading_gives_every_foreground_pixel_the_nearest_label():
    labels = np.zeros((4, 4), np.uint16)
    labels[0, 0], labels[3, 3] = 1, 2
    foreground = np.ones((8, 8), bool)
    foreground[0, :] = False
    out = fill_foreground(labels, foreground)
    assert (out[0] == 0).all() and out[1, 0] == 1 and out[7, 7] == 2 and (out[foreground] > 0).all()
    assert nearest_resize(labels, (8, 8))[7, 7] == 2


def test_fragments_go_and_numbers_close_up():
    labels = np.zeros((20, 20), np.uint16)
    labels[2:8, 2:8], labels[15, 15], labels[10:14, 2:8] = 1, 2, 3
    labels[18, 18] = 1
    clean = drop_fragments(labels, 4)
    assert set(np.unique(clean)) == {0, 1, 2}
    assert (clean == 1).sum() == 36 and (clean == 2).sum() == 24
