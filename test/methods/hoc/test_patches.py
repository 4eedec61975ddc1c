"""Patches are of the picture."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from heap_pictures import heap_of_disks

from insegan_ros.data.heap import read_heap
from insegan_ros.methods.hoc.patches import cut_patches


def test_patches_are_of_the_picture(tmp_path):
    heap_of_disks(tmp_path / 'heap.png')
    pixels = read_heap(tmp_path / 'heap.png', 'colour').pixels
    patches = cut_patches(pixels, 32, 32, 50, 0)
    assert patches.shape == (50, 3, 32, 32) and not torch.equal(patches[0], patches[1])
    found = cv2.matchTemplate(
        pixels, np.ascontiguousarray(patches[0].permute(1, 2, 0).numpy()), cv2.TM_SQDIFF
    )
    assert found.min() < 1e-2
