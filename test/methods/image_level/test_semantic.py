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
