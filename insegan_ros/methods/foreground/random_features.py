"""A feature extractor without downloaded weights, for distances between sets of pictures:
convolutions with fixed random weights.

Random convolutions are a known substitute where no trained network is at hand. Distances computed
with them are called `random-conv distance`, never FID.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, leaky_relu

NAME, KERNEL = 'random-conv distance', 'random-conv kernel distance'
SEED = 20190101


class RandomFeatures(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] -> features (B, 123): mean colours in a 3x3 grid, and means
    and standard deviations of the channels of three layers of random convolutions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        for index, (a, b) in enumerate(((3, 16), (16, 16), (16, 16))):
            weight = torch.randn(b, a, 4, 4, generator=generator) / (a * 16) ** 0.5
            if index == 0:
                weight = weight - weight.mean((2, 3), keepdim=True)
            self.register_buffer(f'weight{index}', weight)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) in [-1, 1] -> features (B, 123)."""
        out, x = [3 * adaptive_avg_pool2d(images, 3).flatten(1)], images
        for index in range(3):
            x = conv2d(x, getattr(self, f'weight{index}'), stride=2, padding=1)
            x = leaky_relu(x, 0.2)
            out += [3 * x.mean((2, 3)), 3 * x.std((2, 3))]
        return torch.cat(out, 1)


def frechet(first: Tensor, second: Tensor) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of features (N, D) and (M, D)."""
    a, b = first.double().cpu().numpy(), second.double().cpu().numpy()
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(covariance_a @ covariance_b))
    squared = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(squared + np.trace(covariance_a + covariance_b - 2 * root))


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """What KID estimates (Binkowski et al., ICLR 2018), of two sets of features (N, D) and (M, D):
    the squared maximum mean discrepancy under a cubic kernel, without bias, so that it is near 0
    and may be below for pictures of one kind, however few."""
    a, b = first.double(), second.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        among = kernel(x, x)
        return (among.sum() - among.trace()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())
