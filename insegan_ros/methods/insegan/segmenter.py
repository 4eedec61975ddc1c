"""InSeGAN's own inference (section 3.5): encode, render every instance alone, depth-wise maximum,
threshold, filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.geometry.label_images import fill_foreground
from insegan_ros.heights import above_floor
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig, PoseEncoder
from insegan_ros.nn.composition import compose
from insegan_ros.segmenters.square import Division, SquareSegmenter

if TYPE_CHECKING:
    # It brings Open3D.
    from insegan_ros.geometry.registration import MeshRegistration


def owners(singles: Tensor) -> Tensor:
    """Which of the instances rendered alone (n, S, S), in [-1, 1], owns each pixel, (S, S) int64:
    the highest there, and where none stands above the floor the one that does nearest by. -1
    everywhere where none stands anywhere.

    What the floor is rendered at says nothing of who is nearest, though one instance's is always
    the highest.
    """
    return nearest_owners(compose(singles[None])[1][0])


def nearest_owners(labels: Tensor) -> Tensor:
    """Owners (S, S) int64 of all pixels from labels (S, S), 0 = none, i = instance i - 1: where
    there is none, the nearest; -1 everywhere where there is none at all."""
    everywhere = np.ones(labels.shape, bool)
    filled = fill_foreground(labels.cpu().numpy(), everywhere)
    return torch.from_numpy(filled.astype(np.int64) - 1)


class GeneratorSegmenter(SquareSegmenter):
    """What explains a picture by instances of a checkpoint's generator."""

    def __init__(
        self, checkpoint: Checkpoint, device: str = 'auto', min_height: float = 0.08
    ) -> None:
        super().__init__(checkpoint, device, min_height)
        checkpoint.require('generator')
        shape = checkpoint.settings(GeneratorConfig, 'insegan', 'generator')
        generator = checkpoint.restore('generator', lambda: Generator(shape))
        self.generator = generator.to(self.device).requires_grad_(False)
        self.slots = checkpoint.config['insegan']['instances']

    def template_rotation(self, registration: MeshRegistration) -> np.ndarray | None:
        """The rotation (3, 3) from a mesh to the learnt template: how the template is turned is
        what the encoder tells."""
        if self.generator.config.shape == '2d':
            return None
        from insegan_ros.methods.insegan.template import template_from_object

        return template_from_object(self.generator, self.slots, self.scales, registration)


class InSeGANSegmenter(GeneratorSegmenter):
    """The paper's segmenter: for every pixel the instance that is rendered highest, or nearest by
    where none is rendered."""

    def __init__(
        self, checkpoint: Checkpoint, device: str = 'auto', min_height: float = 0.08
    ) -> None:
        super().__init__(checkpoint, device, min_height)
        checkpoint.require('encoder')
        encoder = checkpoint.restore(
            'encoder',
            lambda: PoseEncoder(
                self.slots,
                self.generator.config.latent,
                self.generator.feature_channels,
                self.generator.feature_side,
                checkpoint.config['insegan']['encoder'].get('width', 64),
            ),
        )
        self.encoder = encoder.to(self.device).requires_grad_(False)

    @torch.no_grad()
    def divide(self, image: Tensor) -> Division:
        """An image (1, 1, 64, 64) by the instances that the generator renders of its latents. Each
        is rendered whole, so its hidden part is known too, and how its template is turned."""
        z = self.latents(image)
        singles = self.generator.render_alone(z)[0]
        turned = (
            self.generator.pose_decoder(z)[0][0] if self.generator.config.shape != '2d' else None
        )
        return Division(owners(singles), above_floor(singles), turned)

    def latents(self, image: Tensor) -> Tensor:
        """image (1, 1, 64, 64) -> the codes of its instances (1, n, latent)."""
        return self.encoder(image)[0]


class RefinedInSeGANSegmenter(InSeGANSegmenter):
    """Test-time refinement: gradient steps on Z lower the error between the rendered and the given
    height map.

    The encoder's answer is kept where no step improves it.
    """

    STEPS, RATE = 30, 0.05

    def latents(self, image: Tensor) -> Tensor:
        """image (1, 1, 64, 64) -> its latents (1, n, latent), refined."""
        return self.refine(super().latents(image), image)

    @torch.enable_grad()
    def refine(self, z: Tensor, image: Tensor) -> Tensor:
        """Latents (1, n, latent) whose composite is nearer to the image (1, 1, 64, 64) in L1, never
        farther."""
        z = z.detach().clone().requires_grad_()
        optimiser = torch.optim.Adam([z], self.RATE)
        best, best_error = z.detach().clone(), float('inf')
        for step in range(self.STEPS + 1):
            error = (self.generator(z).image - image).abs().mean()
            if float(error.detach()) < best_error:
                best, best_error = z.detach().clone(), float(error.detach())
            if step < self.STEPS:
                optimiser.zero_grad()
                error.backward()
                optimiser.step()
        return best
