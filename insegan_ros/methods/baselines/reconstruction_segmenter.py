"""Slot Attention, IODINE and Wu et al.'s point template as segmenters: a pixel belongs to the slot
that explains it best."""

from __future__ import annotations

import torch
from torch import Tensor

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.baselines.reconstructions import RECONSTRUCTIONS
from insegan_ros.segmenters.square import Division, SquareSegmenter


class ReconstructionSegmenter(SquareSegmenter):
    """Runs the one of the three that the checkpoint holds. Seeded: equal input, equal output.
    min_height: what stands higher is foreground, as a share of the training's height scale."""

    def __init__(
        self, checkpoint: Checkpoint, device: str = 'auto', min_height: float = 0.08
    ) -> None:
        super().__init__(checkpoint, device, min_height)
        checkpoint.require('network')
        kind, config = RECONSTRUCTIONS[checkpoint.method]
        shape = checkpoint.settings(config, 'network')
        network = checkpoint.restore('network', lambda: kind(shape))
        self.network = network.to(self.device)

    @torch.no_grad()
    def divide(self, image: Tensor) -> Division:
        """image (1, 1, 64, 64) in [-1, 1] -> the slot of every pixel."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Division(self.network.divide(image))

    def smallest_px(self) -> float:
        """Pieces below this area, in square px of the network, are dropped: a few px, as these
        methods do not know how large a part is."""
        return 4.0
