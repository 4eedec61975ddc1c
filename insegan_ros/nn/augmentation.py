"""Random views and colours of pictures (B, 3, H, W) in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def in_range(pictures: Tensor) -> Tensor:
    """uint8 pictures as networks see them, float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def random_views(pictures: Tensor, least: float = 0.85) -> Tensor:
    """Mirrored by chance and cut at random to `least` of their side or more, brought back to their
    size."""
    count, device = len(pictures), pictures.device
    side = least + (1 - least) * torch.rand(count, device=device)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    room = (1 - side)[:, None] * (2 * torch.rand(count, 2, device=device) - 1)
    zero = torch.zeros(count, device=device)
    theta = torch.stack(
        [
            torch.stack([mirror * side, zero, room[:, 0]], -1),
            torch.stack([zero, side, room[:, 1]], -1),
        ],
        1,
    )
    return grid_sample(
        pictures,
        affine_grid(theta, list(pictures.shape), align_corners=False),
        padding_mode='border',
        align_corners=False,
    )


def random_colours(pictures: Tensor, strength: float = 0.4) -> Tensor:
    """Other brightness, contrast and saturation by up to `strength`, some blur of the hue, a little
    noise."""

    def draw(*shape: int) -> Tensor:
        return 1 + strength * (
            2 * torch.rand(len(pictures), *shape, 1, 1, device=pictures.device) - 1
        )

    shares = (pictures + 1) / 2 * draw(1)
    mean = shares.mean((1, 2, 3), keepdim=True)
    shares = mean + (shares - mean) * draw(1)
    grey = shares.mean(1, keepdim=True)
    shares = (grey + (shares - grey) * draw(1)) * (1 + 0.25 * (draw(3) - 1))
    noise = 0.02 * torch.rand(len(pictures), 1, 1, 1, device=pictures.device)
    return (shares + noise * torch.randn_like(shares)).clamp(0, 1) * 2 - 1
