"""Slot Attention, IODINE and Wu et al.'s point template as segmenters: the slot that explains a
pixel owns it."""

from __future__ import annotations

import torch
from torch import Tensor

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.baselines.reconstructions import RECONSTRUCTIONS
from insegan_ros.tasks.square import Division, SquareSegmenter
from insegan_ros.workspace import Workspace


class ReconstructionSegmenter(SquareSegmenter):
    """Runs whichever of them the checkpoint holds. Seeded: equal input, equal output."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        workspace: Workspace | None = None,
        device: str = 'auto',
        min_height: float = 0.08,
    ) -> None:
        super().__init__(checkpoint, workspace, device, min_height)
        checkpoint.require('network')
        network, config = RECONSTRUCTIONS[checkpoint.method]
        self.network = checkpoint.restore(
            'network', network(config(**checkpoint.config['network']))
        ).to(self.device)

    @torch.no_grad()
    def divide(self, image: Tensor) -> Division:
        """See SquareSegmenter."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Division(self.network.divide(image))

    def smallest_px(self) -> float:
        """They do not learn how large a part is."""
        return 4.0
