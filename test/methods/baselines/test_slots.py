"""Slots share every pixel."""

from __future__ import annotations

import torch

from insegan_ros.methods.baselines.slots import mix


def test_slots_masks_share_every_pixel():
    image, masks = mix(torch.rand(2, 3, 8, 8), torch.randn(2, 3, 8, 8))
    assert image.shape == (2, 1, 8, 8) and torch.allclose(masks.sum(1), torch.ones(2, 8, 8))
