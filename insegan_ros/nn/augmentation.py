"""Random views and colours of pictures (B, 3, H, W) in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def in_range(pictures: Tensor) -> Tensor:
    """Pictures of any shape, uint8, as networks see them: float32 in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def random_views(
    pictures: Tensor, min_side: float = 0.85, max_side: float = 1.0, size: int = 0
) -> Tensor:
    """Random horizontal flips and square crops of pictures (B, C, H, W), resized to (B, C, H, W),
    or to `size` px.

    min_side, max_side: the smallest and the largest side of a crop, as shares of the picture's.
    """
    count, device = len(pictures), pictures.device
    side = min_side + (max_side - min_side) * torch.rand(count, device=device)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    room = (1 - side)[:, None] * (2 * torch.rand(count, 2, device=device) - 1)
    zero = torch.zeros(count, device=device)
    rows = (
        torch.stack([mirror * side, zero, room[:, 0]], -1),
        torch.stack([zero, side, room[:, 1]], -1),
    )
    height, width = (size, size) if size else pictures.shape[2:]
    shape = [*pictures.shape[:2], height, width]
    grid = affine_grid(torch.stack(rows, 1), shape, align_corners=False)
    return grid_sample(pictures, grid, padding_mode='border', align_corners=False)


def random_colours(pictures: Tensor, strength: float = 0.4) -> Tensor:
    """Pictures (B, 3, H, W) with brightness, contrast and saturation changed by up to `strength`,
    slightly different channel gains, and a little noise; clipped to [-1, 1]."""

    def draw(*shape: int) -> Tensor:
        """Random factors around 1."""
        uniform = torch.rand(len(pictures), *shape, 1, 1, device=pictures.device)
        return 1 + strength * (2 * uniform - 1)

    shares = (pictures + 1) / 2 * draw(1)
    mean = shares.mean((1, 2, 3), keepdim=True)
    shares = mean + (shares - mean) * draw(1)
    grey = shares.mean(1, keepdim=True)
    shares = (grey + (shares - grey) * draw(1)) * (1 + 0.25 * (draw(3) - 1))
    noise = 0.02 * torch.rand(len(pictures), 1, 1, 1, device=pictures.device)
    return (shares + noise * torch.randn_like(shares)).clamp(0, 1) * 2 - 1
