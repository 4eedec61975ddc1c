"""What lies on what."""

from __future__ import annotations

import pytest
import torch
from known_generators import TwoSquares

from insegan_ros.nn.composition import blend, compose


def test_composites_carry_exact_visible_and_amodal_masks():
    singles = TwoSquares().render_alone(torch.zeros(1, 2, 128))
    image, labels = compose(singles)
    assert (
        (labels[0] == 2).sum() == 144
        and (labels[0] == 1).sum() == 96
        and (labels[0] == 0).sum() == 4096 - 240
    )
    assert image[0, 0, 15, 17] == pytest.approx(0.2) and image[0, 0, 15, 10] == 0


def test_what_is_laid_later_hides_what_is_below():
    red, blue, black = (
        torch.tensor(colour).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
        for colour in ((1.0, -1, -1), (-1.0, -1, 1), (-1.0, -1, -1))
    )
    whole = torch.ones(1, 1, 4, 4)
    assert torch.equal(blend(blend(black, red, whole), blue, whole), blue)
    assert torch.allclose(
        blend(red, blue, whole / 2),
        torch.tensor([0.0, -1, 0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4),
    )
    assert torch.equal(blend(red, blue, 0 * whole), red)
