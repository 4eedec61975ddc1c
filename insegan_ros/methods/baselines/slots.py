"""What Slot Attention and IODINE share: the code of each slot is broadcast over the picture and
decoded to a height map and a mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def coordinates(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The coordinates x and y of every pixel, (2, H, W) from -1 to 1."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, device=device),
        torch.linspace(-1, 1, width, device=device),
        indexing='ij',
    )
    return torch.stack([x, y])


class BroadcastDecoder(nn.Module):
    """Spatial broadcast decoder (Watters et al., 2019): codes (M, D) -> pictures (M, 1, S, S) and
    mask logits (M, 1, S, S)."""

    def __init__(self, code: int, width: int, size: int = 64) -> None:
        super().__init__()
        self.side = size // 8
        layers: list[nn.Module] = []
        for index in range(3):
            inputs = code + 2 if index == 0 else width
            layers += [nn.ConvTranspose2d(inputs, width, 4, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 2, 3, 1, 1))

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """code (M, D) -> pictures (M, 1, S, S) and mask logits (M, 1, S, S)."""
        spread = code[..., None, None].expand(-1, -1, self.side, self.side)
        where = coordinates(self.side, self.side, code.device).expand(len(code), -1, -1, -1)
        out = self.layers(torch.cat([spread, where], 1))
        return out[:, :1], out[:, 1:]


def mix(pictures: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures and mask logits of slots (B, K, S, S) -> their mixture (B, 1, S, S) and masks (B, K,
    S, S) that sum to 1 over the slots."""
    masks = logits.softmax(1)
    return (masks * pictures).sum(1, keepdim=True), masks
