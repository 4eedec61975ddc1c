"""A feature extractor that needs no download: convolutions with fixed random weights, for distances
between sets of pictures.

Random convolutions are a known stand-in for a trained network where none is at hand. What is
computed with them is called `random-conv distance`, never FID.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

NAME = 'random-conv distance'
SEED = 20190101


class RandomFeatures(nn.Module):
    """(B, 3, S, S) in [-1, 1] -> (B, 123): colours in a 3x3 grid, and means and deviations of three
    layers of random convolutions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        for index, (a, b) in enumerate(((3, 16), (16, 16), (16, 16))):
            weight = torch.randn(b, a, 4, 4, generator=generator) / (a * 16) ** 0.5
            self.register_buffer(
                f'weight{index}', weight - weight.mean((2, 3), keepdim=True) * (index == 0)
            )

    def forward(self, images: Tensor) -> Tensor:
        """See RandomFeatures."""
        out, x = [3 * adaptive_avg_pool2d(images, 3).flatten(1)], images
        for index in range(3):
            x = leaky_relu(
                nn.functional.conv2d(x, getattr(self, f'weight{index}'), stride=2, padding=1), 0.2
            )
            out += [3 * x.mean((2, 3)), 3 * x.std((2, 3))]
        return torch.cat(out, 1)


def frechet(first: Tensor, second: Tensor) -> float:
    """Frechet distance of Gaussians fitted to two sets of features (N, D), (M, D)."""
    (mean_a, cov_a), (mean_b, cov_b) = (
        (x.mean(0), np.cov(x, rowvar=False))
        for x in (first.double().cpu().numpy(), second.double().cpu().numpy())
    )
    root = sqrtm(cov_a @ cov_b)
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * np.real(root)))
