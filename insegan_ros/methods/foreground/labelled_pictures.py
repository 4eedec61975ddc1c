"""Colour pictures whose masks are given as a label factory: a teacher's answers, or the truth for a
supervised ceiling."""

from __future__ import annotations

import torch
from torch import Tensor

from insegan_ros.nn.augmentation import in_range, random_views
from insegan_ros.nn.composition import centres
from insegan_ros.offsets.labels import LabelledBatch


class LabelledPictures:
    """Pictures (N, 3, S, S) uint8 with masks (N, S, S) bool as a label factory: drawn at random,
    flipped and cropped at random."""

    def __init__(self, images: Tensor, masks: Tensor) -> None:
        self.images, self.masks = images, masks

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """A batch of pictures (batch, 3, S, S) in [-1, 1] with one instance each, the object."""
        chosen = torch.randint(len(self.images), (batch,), device=self.images.device)
        masks = self.masks[chosen][:, None].float()
        views = random_views(torch.cat([in_range(self.images[chosen]), masks], 1))
        masks = views[:, 3:] > 0.5
        return LabelledBatch(views[:, :3], masks[:, 0].long(), centres(masks), masks)
