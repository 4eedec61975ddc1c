"""Slot Attention (Locatello et al., NeurIPS 2020), a baseline of InSeGAN's Table 1, on height
maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from insegan_ros.methods.baselines.slots import BroadcastDecoder, coordinates, mix


@dataclass(frozen=True)
class SlotAttentionConfig:
    """Shape of the network."""

    slots: int = 6
    """Number of slots: one for each part and one for the floor."""
    width: int = 32
    """Channels of encoder, slots and decoder; the paper's size is 64."""
    rounds: int = 3
    """Iterations of attention."""


class SlotAttention(nn.Module):
    """Slots compete for the features of a height map (Algorithm 1); each is decoded to a picture
    and a mask."""

    def __init__(self, config: SlotAttentionConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        # The first convolution has stride 2: the paper's encoder, at full resolution, costs ten
        # times as much.
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2),
            nn.ReLU(),
            *(layer for _ in range(3) for layer in (nn.Conv2d(width, width, 5, 1, 2), nn.ReLU())),
        )
        self.position = nn.Conv2d(4, width, 1)
        self.features = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.mean = nn.Parameter(torch.randn(width) * 0.2)
        self.log_spread = nn.Parameter(torch.zeros(width))
        self.norm_input = nn.LayerNorm(width)
        self.norm_slots = nn.LayerNorm(width)
        self.norm_update = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.gru = nn.GRUCell(width, width)
        self.update = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
        self.decoder = BroadcastDecoder(width, width)

    def slots(self, image: Tensor, start: Tensor) -> Tensor:
        """Algorithm 1: image (B, 1, S, S) and initial slots (B, K, width) -> slots (B, K,
        width)."""
        x = self.encoder(image)
        where = coordinates(x.shape[2], x.shape[3], x.device)
        x = x + self.position(torch.cat([1 + where, 1 - where])[None] / 2)
        x = self.norm_input(self.features(x.flatten(2).transpose(1, 2)))
        key, value, slots = self.key(x), self.value(x), start
        for _ in range(self.config.rounds):
            logits = key @ self.query(self.norm_slots(slots)).transpose(1, 2) / key.shape[-1] ** 0.5
            share = logits.softmax(-1) + 1e-8
            found = (share / share.sum(1, keepdim=True)).transpose(1, 2) @ value
            slots = self.gru(found.flatten(0, 1), slots.flatten(0, 1)).reshape(slots.shape)
            slots = slots + self.update(self.norm_update(slots))
        return slots

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 1, 64, 64) in [-1, 1] -> its reconstruction (B, 1, 64, 64) and the slots' masks
        (B, K, 64, 64)."""
        shape = len(image), self.config.slots, self.config.width
        start = self.mean + self.log_spread.exp() * torch.randn(shape, device=image.device)
        decoded = self.decoder(self.slots(image, start).flatten(0, 1))
        pictures, logits = (one.reshape(*shape[:2], *image.shape[2:]) for one in decoded)
        return mix(pictures, logits)

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """The mean squared error of the reconstruction of images (B, 1, 64, 64), a scalar."""
        return {'reconstruction': mse_loss(self(image)[0], image)}

    def divide(self, image: Tensor) -> Tensor:
        """image (1, 1, 64, 64) -> the slot with the largest mask at every pixel, (64, 64)
        int64."""
        return self(image)[1][0].argmax(0)
