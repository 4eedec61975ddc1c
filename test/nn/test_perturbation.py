"""Warps are exact, motions stay in their ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.errors import ConfigError
from insegan_ros.nn.perturbation import PerturbationConfig, draw_motions, motion, warp


def disk(x: float, y: float, radius: float, size: int = 64) -> torch.Tensor:
    """A soft disk (1, 1, size, size) around (x, y) px."""
    axis = torch.arange(size) + 0.0
    distance = ((axis - x)[None] ** 2 + (axis - y)[:, None] ** 2).sqrt()
    return (radius + 0.5 - distance).clamp(0, 1)[None, None]


def test_the_warp_is_the_exact_inverse():
    shifted = warp(
        disk(31.5, 31.5, 9),
        motion(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([[8 / 32, -4 / 32]])),
    )
    assert torch.allclose(shifted, disk(39.5, 27.5, 9), atol=1e-5)
    smaller = warp(
        disk(31.5, 31.5, 16), motion(torch.tensor([0.5]), torch.tensor([0.0]), torch.zeros(1, 2))
    )
    assert (
        abs(float(smaller.sum() / disk(31.5, 31.5, 8).sum()) - 1) < 0.03
        and float((smaller - disk(31.5, 31.5, 8)).abs().sum() / smaller.sum()) < 0.05
    )
    # A quarter turn moves what is right of the middle to below it, y pointing down.
    turned = warp(
        disk(47.5, 31.5, 6),
        motion(
            torch.tensor([1.0]), torch.tensor([np.pi / 2], dtype=torch.float32), torch.zeros(1, 2)
        ),
    )
    assert torch.allclose(turned, disk(31.5, 47.5, 6), atol=1e-3)


def test_motions_stay_in_their_ranges():
    torch.manual_seed(2)
    config = PerturbationConfig(scale=(-0.2, 0.0), shift=0.125, rotation_deg=15)
    drawn = draw_motions(config, 2000, torch.device('cpu'))
    scale = drawn[:, :, :2].det().sqrt()
    assert 2**-0.2 <= float(scale.min()) < 0.89 and 0.98 < float(scale.max()) <= 1.0001
    assert 0.24 < float(drawn[:, :, 2].abs().max()) <= 0.25
    with pytest.raises(ConfigError, match='expected minimum before maximum'):
        PerturbationConfig(scale=(0.2, 0.0))
