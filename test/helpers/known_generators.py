"""A generator of which everything is known."""

from __future__ import annotations

import torch

from insegan_ros.methods.insegan.generator import GeneratorConfig


class TwoSquares(torch.nn.Module):
    """A generator of which everything is known: slot i is a square of 12 px at its own place,
    height by slot."""

    config = GeneratorConfig(width=8)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def sample_latents(self, batch, count, candidates=1):
        return torch.zeros(batch, count, 128)

    def render_alone(self, z, among=0):
        singles = torch.full((*z.shape[:2], 64, 64), -1.0)
        for slot in range(z.shape[1]):
            singles[:, slot, 10:22, 8 + 8 * slot : 20 + 8 * slot] = 0.2 * slot
        return singles
