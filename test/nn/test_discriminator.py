"""The discriminator."""

from __future__ import annotations

import pytest
import torch

from insegan_ros.nn.discriminator import Discriminator


@pytest.mark.parametrize('scope, shapes', [('image', [(2, 1)]), ('both', [(2, 1), (2, 1, 8, 8)])])
@pytest.mark.parametrize('norm', ['spectral', 'instance'])
def test_discriminator_judges_the_whole_and_its_parts(scope, shapes, norm):
    assert [
        tuple(logits.shape) for logits in Discriminator(8, norm, scope)(torch.randn(2, 1, 64, 64))
    ] == shapes
