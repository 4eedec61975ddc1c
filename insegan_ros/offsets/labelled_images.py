"""Images whose labels are given as a label factory: a segmenter's own pseudo-labels
(self_training.py), or the simulator's truth."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from insegan_ros.offsets.labels import LabelledBatch

# Share of the images that are spun by less than a quarter turn, where they may be: what is sampled
# anew has jagged outlines.
SPUN = 0.7


class LabelledImages:
    """Images (M, 1, S, S) in [-1, 1] with labels (M, S, S) and centres (M, n, 2) as (x, y) px,
    turned by a random number of quarter turns.

    freely: whether they are mirrored and turned by any angle too, so that few images last for long.
    A mirrored pile is one of mirrored parts, which outlines and overlaps do not tell.
    """

    def __init__(
        self, images: Tensor, labels: np.ndarray, centres: np.ndarray, freely: bool = False
    ) -> None:
        device = images.device
        self.images, self.freely = images, freely
        self.labels = torch.from_numpy(labels).to(device)
        self.centres = torch.from_numpy(centres).to(device)

    def sample(self, batch: int) -> LabelledBatch:
        """A batch of them, without amodal masks."""
        chosen = torch.randint(len(self.images), (batch,), device=self.images.device)
        turns, last = int(torch.randint(4, ())), self.images.shape[-1] - 1
        centres = self.centres[chosen]
        for _ in range(turns):
            centres = torch.stack([centres[..., 1], last - centres[..., 0]], -1)
        turned = LabelledBatch(
            torch.rot90(self.images[chosen], turns, (2, 3)),
            torch.rot90(self.labels[chosen], turns, (1, 2)),
            centres,
        )
        return spun(mirrored(turned)) if self.freely else turned


def mirrored(batch: LabelledBatch) -> LabelledBatch:
    """The batch, or what a mirror shows of it."""
    if torch.rand(()) < 0.5:
        return batch
    x, y = batch.centres.unbind(-1)
    last = batch.labels.shape[-1] - 1
    return LabelledBatch(
        batch.images.flip(-1), batch.labels.flip(-1), torch.stack([last - x, y], -1)
    )


def spun(batch: LabelledBatch) -> LabelledBatch:
    """Most of a batch's images turned by angles of up to an eighth of a turn about their middle;
    what comes in from outside is floor."""
    count, device = len(batch.images), batch.images.device
    angle = (torch.rand(count, device=device) * 2 - 1) * math.pi / 4
    angle = angle * (torch.rand(count, device=device) < SPUN)
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)
    shift = rows.new_zeros(count, 2, 1)
    grid = affine_grid(torch.cat([rows, shift], 2), list(batch.images.shape), align_corners=True)
    both = torch.cat([batch.images + 1, batch.labels[:, None].to(batch.images)], 1)
    both = grid_sample(both, grid, mode='nearest', align_corners=True)
    middle = (batch.labels.shape[-1] - 1) / 2
    # A pixel shows what lies where its place is turned to, so places turn the other way.
    centres = (batch.centres - middle) @ rows.to(batch.centres) + middle
    return LabelledBatch(both[:, :1] - 1, both[:, 1].to(batch.labels.dtype), centres)
