"""InSeGAN's generator as a label factory: singles rendered alone, composed by z-order, masks exact
by construction."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from insegan_ros.errors import ConfigError
from insegan_ros.heights import above_floor
from insegan_ros.methods.insegan.generator import Generator
from insegan_ros.nn.composition import centres, compose, present, sizes
from insegan_ros.offsets.labels import LabelledBatch


class InSeGANFactory:
    """Samples latents, renders every instance alone, leaves out the misshapen ones, composes the
    rest.

    `instances` slots an image, of which a random number stays empty, so that what learns from it
    needs no known n. candidates: layouts drawn for every image, of which the least crowded is
    taken.
    """

    def __init__(self, generator: Generator, instances: int, candidates: int = 1) -> None:
        self.generator, self.instances = generator.eval(), instances
        self.candidates = candidates
        self.device = next(generator.parameters()).device
        self.median_area, self.median_radius = self._measure()

    @torch.no_grad()
    def _singles(self, batch: int, count: int) -> Tensor:
        """Instances of random codes, each rendered alone (B, n, 64, 64)."""
        z = self.generator.sample_latents(batch, count, self.candidates)
        return self.generator.render_alone(z, self.instances)

    def _measure(self) -> tuple[float, float]:
        """Median area (px) and radius of gyration (px) of single renders: the part's size, learnt
        without a label."""
        singles = self._singles(64, self.instances)
        area, radius = sizes(above_floor(singles).flatten(0, 1))
        seen = area > 4
        if not bool(seen.any()):
            raise ConfigError(
                'the generator renders nothing above the floor: it has collapsed; train it longer'
                ' or with another seed'
            )
        return float(area[seen].median()), float(radius[seen].median())

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """A batch of composites of well-formed single renders, with amodal masks."""
        slots = self.instances + 1
        rendered = self._singles(batch, slots)
        well_formed = self._well_formed(above_floor(rendered))
        keep = well_formed & present(batch, slots, self.device)
        singles = torch.where(keep[..., None, None], rendered, torch.full_like(rendered, -1.0))
        images, labels = compose(singles)
        amodal = above_floor(singles)
        return LabelledBatch(images, labels, centres(amodal), amodal)

    def _well_formed(self, masks: Tensor) -> Tensor:
        """Which of the masks (B, n, H, W) look like one part, (B, n) bool: not those of which more
        than a fifth hangs apart, or whose size is far from the part's."""
        flat = masks.flatten(0, 1).cpu().numpy().astype(np.uint8)
        good = np.zeros(len(flat), bool)
        for index, mask in enumerate(flat):
            area = mask.sum()
            if 0.25 * self.median_area < area < 3 * self.median_area:
                _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
                largest = stats[1:, cv2.CC_STAT_AREA].max()
                good[index] = largest > 0.8 * area
        return torch.from_numpy(good).to(masks.device).reshape(masks.shape[:2])
