"""The image distance grows with what is wrong."""

from __future__ import annotations

import torch

from insegan_ros.methods.foreground.random_features import RandomFeatures, frechet, kernel_distance


def test_the_image_distance_grows_with_what_is_wrong():
    torch.manual_seed(6)
    features, base = RandomFeatures(), torch.rand(400, 3, 32, 32) * 0.4
    noisy, dark = base + 0.3 * torch.randn_like(base), base - 0.5
    same = frechet(features(base[:200]), features(base[200:]))
    assert same < 0.1 * frechet(features(base), features(noisy)) and same < 0.1 * frechet(
        features(base), features(dark)
    )


def test_the_kernel_distance_has_no_bias():
    torch.manual_seed(7)
    features, base = RandomFeatures(), torch.rand(400, 3, 32, 32) * 0.4
    few, many = base[:180].split(20), features(base[200:])
    with_few = [kernel_distance(features(some), many) for some in few]
    apart = kernel_distance(features(base[:200]), features(base[:200] - 0.5))
    assert min(with_few) < 0 < apart and max(map(abs, with_few)) < 0.05 * apart
