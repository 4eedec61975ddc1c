"""The image distance grows with what is wrong."""

from __future__ import annotations

import torch

from insegan_ros.methods.foreground.random_features import RandomFeatures, frechet


def test_the_image_distance_grows_with_what_is_wrong():
    torch.manual_seed(6)
    features, base = RandomFeatures(), torch.rand(400, 3, 32, 32) * 0.4
    noisy, dark = base + 0.3 * torch.randn_like(base), base - 0.5
    same = frechet(features(base[:200]), features(base[200:]))
    assert same < 0.1 * frechet(features(base), features(noisy)) and same < 0.1 * frechet(
        features(base), features(dark)
    )
