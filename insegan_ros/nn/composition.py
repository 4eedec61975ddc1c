"""What all that put single things together share: z-order and alpha blending, when a pixel is a
part, centres, how many and where."""

from __future__ import annotations

import torch
from torch import Tensor

from insegan_ros.heights import above_floor

# So many pictures hold any number of parts, the others nearly all.
FEW = 0.3


def compose(singles: Tensor) -> tuple[Tensor, Tensor]:
    """Z-order of single renders (B, n, H, W): image (B, 1, H, W) and labels (B, H, W), 0 =
    background."""
    highest, winner = singles.max(1)
    labels = torch.where(above_floor(highest), winner + 1, torch.zeros_like(winner))
    return highest[:, None], labels


def blend(below: Tensor, colours: Tensor, alpha: Tensor) -> Tensor:
    """Lay colours (B, C, H, W) with their soft mask alpha (B, 1, H, W) on what lies below, (B, C,
    H, W): one step of the recursive alpha blending of the independence prior (Eq. 5) and of layered
    GANs (Eq. 2). What is laid later hides what is below."""
    return below + alpha * (colours - below)


def centres(masks: Tensor) -> Tensor:
    """Centres of gravity (x, y) in px of masks (..., H, W): (..., 2). (0, 0) for an empty one."""
    masks = masks.float()
    height, width = masks.shape[-2:]
    area = masks.sum((-1, -2)).clamp(min=1)
    x = (masks.sum(-2) * torch.arange(width, device=masks.device)).sum(-1) / area
    y = (masks.sum(-1) * torch.arange(height, device=masks.device)).sum(-1) / area
    return torch.stack([x, y], -1)


def sizes(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Areas (M,) in px and radii of gyration (M,) in px of masks (M, H, W)."""
    area = masks.sum((1, 2)).float()
    centre = centres(masks)
    y, x = torch.meshgrid(
        *(torch.arange(s, device=masks.device) for s in masks.shape[1:]), indexing='ij'
    )
    squared = ((torch.stack([x, y], -1) - centre[:, None, None]) ** 2).sum(-1)
    return area, ((masks * squared).sum((1, 2)) / area.clamp(min=1)).sqrt()


def present(batch: int, slots: int, device: torch.device, few_share: float = FEW) -> Tensor:
    """Which slots hold a part (B, slots), bool: mostly all but one or all, in a share of the
    pictures few, as a bin is emptied part by part."""
    few = torch.randint(1, slots + 1, (batch,), device=device)
    many = torch.randint(slots - 1 if slots > 1 else 1, slots + 1, (batch,), device=device)
    count = torch.where(torch.rand(batch, device=device) < few_share, few, many)
    return torch.arange(slots, device=device)[None] < count[:, None]


def least_crowded(places: Tensor) -> Tensor:
    """Of candidate layouts (B, K, n, 2) the index (B,) of the one whose nearest pair is farthest
    apart: parts in a bin exclude each other, independent draws do not."""
    distance = torch.cdist(places, places) + 10 * torch.eye(places.shape[2], device=places.device)
    return distance.amin((-1, -2)).argmax(1)
