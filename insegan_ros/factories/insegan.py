"""InSeGAN's generator as a label factory: singles rendered alone, composed by z-order, masks exact by construction."""
from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from insegan_ros.errors import ConfigError
from insegan_ros.factories import LabelledBatch
from insegan_ros.networks.insegan import Scene

# A pixel belongs to an instance where its render stands higher than this share of the height scale: one rule for all parts.
FOREGROUND_SHARE = 0.08


def single_masks(singles: Tensor) -> Tensor:
    """Where single renders (..., H, W) in [-1, 1] stand above the floor, bool."""
    return singles > 2 * FOREGROUND_SHARE - 1


def compose(singles: Tensor) -> tuple[Tensor, Tensor]:
    """Z-order of single renders (B, n, H, W): image (B, 1, H, W) and labels (B, H, W), 0 = background."""
    highest, winner = singles.max(1)
    labels = torch.where(single_masks(highest), winner + 1, torch.zeros_like(winner))
    return highest[:, None], labels


class InSeGANFactory:
    """Samples latents, renders every instance alone, leaves out the misshapen ones, composes the rest.

    `instances` slots an image, of which a random number stays empty, so that what learns from it needs no known n.
    """

    def __init__(self, generator: torch.nn.Module, instances: int) -> None:
        if generator.config.composition != 'z_order':
            raise ConfigError('a label factory needs single renders: expected composition z_order, found average')
        self.generator, self.instances = generator.eval(), instances
        self.device = next(generator.parameters()).device
        self.median_area, self.median_radius = self._measure()

    @torch.no_grad()
    def _singles(self, batch: int, count: int) -> Scene:
        return self.generator(torch.randn(batch, count, self.generator.config.latent, device=self.device))

    def _measure(self) -> tuple[float, float]:
        """Median area (px) and radius of gyration (px) of single renders: the part's size, learnt without a label."""
        masks = single_masks(self._singles(64, self.instances).singles).flatten(0, 1).float()
        area = masks.sum((1, 2))
        seen = area > 4
        if not bool(seen.any()):
            raise ConfigError('the generator renders nothing above the floor: it has collapsed; train it longer or with another seed')
        centre = centres(masks)
        grid = torch.stack(torch.meshgrid(*(torch.arange(s, device=masks.device) for s in masks.shape[1:]), indexing='ij')[::-1], -1)
        squared = ((grid - centre[:, None, None]) ** 2).sum(-1)
        radius = ((masks * squared).sum((1, 2)) / area.clamp(min=1)).sqrt()
        return float(area[seen].median()), float(radius[seen].median())

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """A batch of composites. See LabelledBatch."""
        scene = self._singles(batch, self.instances + 1)
        keep = self._well_formed(single_masks(scene.singles)) & self._present(batch)
        singles = torch.where(keep[..., None, None], scene.singles, torch.full_like(scene.singles, -1.0))
        images, labels = compose(singles)
        return LabelledBatch(images, labels, single_masks(singles), scene.rotation, scene.translation)

    def _present(self, batch: int) -> Tensor:
        """Mostly all slots but one, sometimes few: a bin is emptied part by part."""
        slots = self.instances + 1
        few = torch.randint(1, slots + 1, (batch,), device=self.device)
        many = torch.randint(slots - 1, slots + 1, (batch,), device=self.device)
        count = torch.where(torch.rand(batch, device=self.device) < 0.3, few, many)
        return torch.arange(slots, device=self.device)[None] < count[:, None]

    def _well_formed(self, masks: Tensor) -> Tensor:
        """Leaves out renders of which more than a fifth hangs apart, or whose size is far from the part's."""
        flat = masks.flatten(0, 1).cpu().numpy().astype(np.uint8)
        good = np.zeros(len(flat), bool)
        for index, mask in enumerate(flat):
            area = mask.sum()
            if 0.25 * self.median_area < area < 3 * self.median_area:
                largest = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_AREA].max()
                good[index] = largest > 0.8 * area
        return torch.from_numpy(good).to(masks.device).reshape(masks.shape[:2])


def centres(masks: Tensor) -> Tensor:
    """Centres of gravity (x, y) in px of masks (..., H, W): (..., 2). (0, 0) for an empty one."""
    masks = masks.float()
    height, width = masks.shape[-2:]
    area = masks.sum((-1, -2)).clamp(min=1)
    x = (masks.sum(-2) * torch.arange(width, device=masks.device)).sum(-1) / area
    y = (masks.sum(-1) * torch.arange(height, device=masks.device)).sum(-1) / area
    return torch.stack([x, y], -1)
