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


@pytest.mark.parametrize(
    'pieces, good',
    [
        ([(10, 10)], True),
        ([(5, 5)], False),
        ([(2, 13)], True),
        ([(13, 23)], True),
        ([(15, 20)], False),
        # A fifth may hang apart, no more; what touches by a corner is one piece.
        ([(9, 9), (1, 19)], True),
        ([(8, 10), (1, 20)], False),
        ([(1, 20), (8, 10)], False),
        ([], False),
    ],
)
def test_a_render_is_a_part_where_it_is_of_its_size_and_of_one_piece(pieces, good):
    """A part covers 100 px: a quarter of it to three times as much."""
    factory = InSeGANFactory.__new__(InSeGANFactory)
    factory.median_area = 100.0
    mask, row = torch.zeros(40, 40, dtype=torch.bool), 2
    for tall, wide in pieces:
        mask[row : row + tall, 2 : 2 + wide] = True
        row += tall + 2
    found = factory._well_formed(mask.repeat(2, 3, 1, 1))
    assert found.shape == (2, 3) and (found == good).all()
    if len(pieces) == 2 and not good:
        corner = torch.zeros(40, 40, dtype=torch.bool)
        corner[2:10, 2:12], corner[10, 12:32] = True, True
        assert bool(factory._well_formed(corner[None, None]))
