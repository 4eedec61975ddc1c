"""Losses and penalties of adversarial training, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from insegan_ros.nn.adversarial import area_penalty, discriminator_loss, generator_loss


def logits(*values: float) -> list[torch.Tensor]:
    """One scale of judgements."""
    return [torch.tensor([values]).T]


def test_the_hinge_asks_no_more_than_one():
    real, fake = logits(2.0, 0.5), logits(-3.0, 0.0)
    # Real pictures are short of 1 by 0 and .5, generated ones of -1 by 0 and 1.
    assert float(discriminator_loss(real, fake, 'hinge')) == pytest.approx(0.25 + 0.5)
    assert float(generator_loss(fake, 'hinge')) == pytest.approx(1.5)


def test_cross_entropy_is_that_of_two_classes():
    real, fake = logits(0.0), logits(0.0)
    assert float(discriminator_loss(real, fake, 'cross_entropy')) == pytest.approx(2 * math.log(2))
    assert float(generator_loss(fake, 'cross_entropy')) == pytest.approx(math.log(2))
    sure = discriminator_loss(logits(9.0), logits(-9.0), 'cross_entropy')
    assert float(sure) < 1e-3 < 5 < float(generator_loss(logits(-9.0), 'cross_entropy'))


def test_judgements_of_several_scales_count_alike():
    real, fake = logits(0.0) + logits(2.0), logits(0.0) + logits(-2.0)
    one = discriminator_loss(logits(0.0), logits(0.0), 'hinge')
    other = discriminator_loss(logits(2.0), logits(-2.0), 'hinge')
    both = discriminator_loss(real, fake, 'hinge')
    assert float(both) == pytest.approx(float(one + other) / 2)


def test_the_area_penalty_is_of_every_instance():
    """Toy: the batch's mean. Two masks at a ± δ must cost δ²."""
    masks = torch.zeros(2, 1, 10, 10)
    masks[0, 0, :4], masks[1, 0, :2] = 1, 1
    assert float(area_penalty(masks, 0.3)) == pytest.approx(0.01)
