"""The layered GAN as a label factory: a picture of random codes comes with the mask of its
foreground."""

from __future__ import annotations

import torch

from insegan_ros.methods.foreground.layered import LayeredGenerator
from insegan_ros.nn.composition import centres
from insegan_ros.offsets.labels import LabelledBatch


class LayeredFactory:
    """Perturbed composites of a trained generator, which is put into evaluation mode and frozen."""

    def __init__(self, generator: LayeredGenerator) -> None:
        self.generator = generator.eval().requires_grad_(False)

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """A batch of generated pictures (batch, 3, S, S) in [-1, 1] with one instance each, the
        foreground."""
        layers = self.generator.sample(batch)[1]
        masks = layers.moved > 0.5
        return LabelledBatch(layers.image, masks[:, 0].long(), centres(masks), masks)
