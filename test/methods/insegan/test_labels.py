"""The generator as a label factory."""

from __future__ import annotations

import pytest
import torch
from known_generators import TwoSquares

from insegan_ros.errors import ConfigError
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.labels import InSeGANFactory


def test_the_factory_measures_the_part_and_varies_the_number():
    factory = InSeGANFactory(TwoSquares(), 3)
    assert factory.median_area == 144 and factory.median_radius == pytest.approx(4.9, abs=0.1)
    torch.manual_seed(0)
    batch = factory.sample(64)
    counts = {int(row.flatten(1).any(1).sum()) for row in batch.amodal}
    assert counts == {1, 2, 3, 4}
    assert ((batch.labels > 0) == batch.amodal.any(1)).all()


def test_the_factory_may_keep_parts_apart():
    def overlapping(candidates: int) -> float:
        torch.manual_seed(0)
        generator = Generator(GeneratorConfig(width=8, patch=16))
        # Parts that cover their patch, so that no code makes a misshapen one.
        torch.nn.init.constant_(generator.render[-1].bias, 2.0)
        batch = InSeGANFactory(generator, 5, candidates).sample(64)
        return float((batch.amodal.sum(1) > 1).sum() / (batch.amodal.sum(1) > 0).sum())

    assert overlapping(8) < 0.7 * overlapping(1)


def test_a_generator_that_has_collapsed_is_named():
    class Empty(TwoSquares):
        def render_alone(self, z, among=0):
            return torch.full((*z.shape[:2], 64, 64), -1.0)

    with pytest.raises(ConfigError, match='it has collapsed'):
        InSeGANFactory(Empty(), 3)
