"""Composing pictures of single parts: z-order and alpha blending; centres and sizes of masks; how
many parts, and where."""

from __future__ import annotations

import torch
from torch import Tensor

from insegan_ros.heights import above_floor

# The share of pictures that hold any number of parts; the others hold nearly all.
FEW = 0.3


def compose(singles: Tensor) -> tuple[Tensor, Tensor]:
    """Z-order of height maps of single parts (B, n, H, W) in [-1, 1] -> image (B, 1, H, W), at
    every pixel the highest of them, and labels (B, H, W) int64, 0 = background, i = part i - 1."""
    highest, winner = singles.max(1)
    labels = torch.where(above_floor(highest), winner + 1, torch.zeros_like(winner))
    return highest[:, None], labels


def blend(below: Tensor, colours: Tensor, alpha: Tensor) -> Tensor:
    """Alpha blending of colours (B, C, H, W) with their soft mask alpha (B, 1, H, W) over what lies
    below (B, C, H, W) -> (B, C, H, W): one step of the recursion of the independence prior (Eq. 5)
    and of layered GANs (Eq. 2)."""
    return below + alpha * (colours - below)


def centres(masks: Tensor) -> Tensor:
    """Centroids (..., 2) as (x, y) px of masks (..., H, W); (0, 0) for an empty one."""
    masks = masks.float()
    height, width = masks.shape[-2:]
    area = masks.sum((-1, -2)).clamp(min=1)
    x = (masks.sum(-2) * torch.arange(width, device=masks.device)).sum(-1) / area
    y = (masks.sum(-1) * torch.arange(height, device=masks.device)).sum(-1) / area
    return torch.stack([x, y], -1)


def sizes(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Areas (M,) in square px and radii of gyration (M,) in px of masks (M, H, W)."""
    area = masks.sum((1, 2)).float()
    centre = centres(masks)
    y, x = torch.meshgrid(
        *(torch.arange(s, device=masks.device) for s in masks.shape[1:]), indexing='ij'
    )
    squared = ((torch.stack([x, y], -1) - centre[:, None, None]) ** 2).sum(-1)
    return area, ((masks * squared).sum((1, 2)) / area.clamp(min=1)).sqrt()


def present(batch: int, slots: int, device: torch.device, few_share: float = FEW) -> Tensor:
    """Which slots hold a part, (batch, slots) bool: in a share `few_share` of the pictures the
    first few of them, any number being equally likely, as a bin is emptied part by part; in the
    others all, or all but one."""
    few = torch.randint(1, slots + 1, (batch,), device=device)
    many = torch.randint(slots - 1 if slots > 1 else 1, slots + 1, (batch,), device=device)
    count = torch.where(torch.rand(batch, device=device) < few_share, few, many)
    return torch.arange(slots, device=device)[None] < count[:, None]


def least_crowded(places: Tensor) -> Tensor:
    """The maximin choice among K candidate layouts of n parts, places (B, K, n, 2): the index (B,)
    of the layout whose smallest distance between two parts is largest. Parts in a bin keep each
    other away; independent draws do not."""
    distance = torch.cdist(places, places) + 10 * torch.eye(places.shape[2], device=places.device)
    return distance.amin((-1, -2)).argmax(1)
