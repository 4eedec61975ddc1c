"""Images whose labels are given as a label factory: a segmenter's own pseudo-labels
(self_training.py), or the simulator's truth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from insegan_ros.offsets.labels import LabelledBatch


class LabelledImages:
    """Images (M, 1, S, S) in [-1, 1] with labels (M, S, S) and centres (M, n, 2) as (x, y) px,
    turned by a random number of quarter turns."""

    def __init__(self, images: Tensor, labels: np.ndarray, centres: np.ndarray) -> None:
        device = images.device
        self.images = images
        self.labels = torch.from_numpy(labels).to(device)
        self.centres = torch.from_numpy(centres).to(device)

    def sample(self, batch: int) -> LabelledBatch:
        """A batch of them, without amodal masks."""
        chosen = torch.randint(len(self.images), (batch,), device=self.images.device)
        turns, last = int(torch.randint(4, ())), self.images.shape[-1] - 1
        centres = self.centres[chosen]
        for _ in range(turns):
            centres = torch.stack([centres[..., 1], last - centres[..., 0]], -1)
        return LabelledBatch(
            torch.rot90(self.images[chosen], turns, (2, 3)),
            torch.rot90(self.labels[chosen], turns, (1, 2)),
            centres,
        )
