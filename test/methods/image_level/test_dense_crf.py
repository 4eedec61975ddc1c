"""Labels follow the picture's edges."""

from __future__ import annotations

import numpy as np
import torch
from mask_pictures import mask_iou
from scipy.ndimage import gaussian_filter

from insegan_ros.methods.image_level.box_refinement import RefinementConfig, cut_masks
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, dense_crf, edges_of
from insegan_ros.methods.image_level.label_synthesis import SynthesisConfig, synthesise

H, W = 40, 60


def test_labels_follow_the_pictures_edges():
    """A ring, as a nut lies in a bin: at a quarter of the picture its hole is a blur; the dense CRF
    brings it back, for either method's labels."""
    y, x = np.mgrid[: 4 * H, : 4 * W]
    far = np.hypot(y - 80, x - 100)
    ring = (far < 24) & (far > 9)
    picture = np.where(ring[..., None], (200, 60, 50), (60, 120, 60)).astype(np.uint8)
    soft = gaussian_filter(ring.astype(np.float32), 6)[2::4, 2::4][None]
    edges = edges_of(picture, DenseCrfConfig())
    assert edges_of(picture, DenseCrfConfig(labels=False)) is None
    boxes = [(1, 0.9, np.array([76.0, 56, 124, 104], np.float32))]
    scores = torch.from_numpy(np.concatenate([0 * soft, soft / soft.max() * 0.9]))
    for make in (
        lambda how: synthesise(
            soft,
            np.array([1]),
            np.zeros((H, W), np.float32),
            None,
            ring.shape,
            SynthesisConfig(boundaries=False),
            edges=how,
        )[0],
        lambda how: cut_masks(scores, boxes, ring.shape, RefinementConfig(), how),
    ):
        (rough,), (fine,) = make(None), make(edges)
        assert fine.kind == 1 and mask_iou(fine.pixels(), ring) > 0.95 > 0.87 > mask_iou(
            rough.pixels(), ring
        )
    # Nothing in the picture tells what is where: the labels stay.
    shares = np.zeros((2, 20, 20), np.float32)
    shares[0], shares[1, 5:15, 5:15] = 0.3, 0.9
    assert (
        mask_iou(
            dense_crf(np.zeros((20, 20, 3), np.uint8), shares, DenseCrfConfig(reach=0.001)) == 1,
            shares[1] > 0.5,
        )
        > 0.9
    )
