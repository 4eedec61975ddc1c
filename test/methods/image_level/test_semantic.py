"""Semantic heads."""

from __future__ import annotations

import pytest
import torch
from small_image_level import SMALL_BACKBONE, random_pictures

from insegan_ros.methods.image_level.semantic import SemanticNet, class_probabilities


@pytest.mark.parametrize('head', ['aspp', 'pyramid'])
def test_semantic_heads_answer_at_a_quarter_and_their_shares_sum_to_one(head):
    network = SemanticNet(head, SMALL_BACKBONE, 3, 5).eval()
    assert network(random_pictures()).shape == (2, 6, 16, 16)
    shares = class_probabilities(network, random_pictures(1)[0])
    assert shares.shape == (6, 64, 64) and torch.allclose(
        shares.sum(0), torch.ones(64, 64), atol=1e-4
    )


@pytest.mark.parametrize('scale', [0.5, 1.0, 2.0])
def test_classes_lie_where_the_network_sees_them_and_in_mirror_images_too(scale):
    """Of a network that tells how bright the pixel is that each cell looks at, in a picture that
    grows brighter downwards and to the right."""

    def brightness(pictures: torch.Tensor) -> torch.Tensor:
        seen = pictures[:, :1, ::4, ::4].float() / 64
        return torch.cat([seen, torch.zeros_like(seen)], 1)

    rows = torch.arange(128)
    picture = (rows[:, None] + rows).expand(3, 128, 128).to(torch.uint8)
    found = 64 * class_probabilities(brightness, picture, (scale,))[0].logit()
    # At the rim nothing is seen beyond the last cell.
    inner = (slice(12, 116), slice(12, 116))
    assert (found[inner] - picture[0][inner]).abs().max() < 0.5
