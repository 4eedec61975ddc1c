"""The HOC generator as a label factory: composites of single objects, as dense as the picture that
it was trained on."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import label

from insegan_ros.methods.hoc.generator import CHANNELS, HocGenerator, lay
from insegan_ros.nn.composition import centres, sizes
from insegan_ros.offsets.labels import LabelledBatch

# Objects generated beforehand, which all composites are made of; a new one for every place would
# cost more than the network that learns from them.
BANK, BANK_BATCH = 2048, 256
# Objects whose masks are checked.
CHECKED = 256
# A generated mask is a single object if its largest connected piece holds this share of it, and its
# area is within these shares of the median.
ONE_PIECE, ONE_AREA = 0.95, (0.5, 1.6)
# The assumed size is doubted where a smaller share of masks is single, or the median area is beyond
# these shares of a disk of that size.
MIN_SINGLE, USUAL_AREA = 0.7, (0.3, 1.3)


@torch.no_grad()
def draw_masks(generator: HocGenerator, count: int) -> torch.Tensor:
    """Masks (count, S, S) bool of random objects."""
    codes = torch.randn(count, generator.config.z, device=generator.head.weight.device)
    return generator.provide(codes)[1][:, 0] > 0.5


def are_single(masks: np.ndarray) -> np.ndarray:
    """Which of the masks (M, S, S) bool are a single object, (M,) bool: one connected piece of an
    ordinary area."""
    areas = masks.sum((1, 2))
    usual = max(float(np.median(areas)), 1.0)
    largest = [np.bincount(label(mask)[0].ravel(), minlength=2)[1:].max() for mask in masks]
    ordinary = (areas >= ONE_AREA[0] * usual) & (areas <= ONE_AREA[1] * usual)
    return ordinary & (np.array(largest) >= ONE_PIECE * areas)


def mask_warning(masks: np.ndarray) -> str:
    """What generated masks (M, S, S) bool say against the size that patches were cut by, in one
    line; empty where nothing does."""
    share, size = float(are_single(masks).mean()), masks.shape[-1]
    filled = float(np.median(masks.sum((1, 2)))) / (np.pi * (size / 3) ** 2)
    if filled > USUAL_AREA[1]:
        return (
            f'objects fill {filled:.0%} of a disk of the size assumed: --instance_px is too small,'
            ' or more steps are needed; see contact.png'
        )
    if filled < USUAL_AREA[0]:
        return (
            f'objects fill {filled:.0%} of a disk of the size assumed: --instance_px is too large;'
            ' see contact.png'
        )
    if share < MIN_SINGLE:
        return (
            f'{share:.0%} of the generated masks are one connected object: --instance_px may be'
            ' wrong, or more steps are needed; see contact.png'
        )
    return ''


class HocFactory:
    """Composites of canvas x canvas px on black. A pixel is an object's where its mask is above one
    half and no other object covers it. The generator is put into evaluation mode and frozen.

    median_area, median_radius: of single objects, in square px and px; warning: what is wrong with
    their masks, in one line, empty where nothing is.
    """

    def __init__(self, generator: HocGenerator, canvas: int) -> None:
        self.generator, self.canvas = generator.eval().requires_grad_(False), canvas
        config = generator.config
        # As dense as the patches that the discriminator saw.
        reach = (canvas - config.size) / 2 / config.size + config.padding
        self.reach = reach
        self.objects = max(round(config.providers * (reach / config.padding) ** 2), 1)
        with torch.no_grad():
            made = [
                generator.provide(torch.randn(BANK_BATCH, config.z, device=self.device))
                for _ in range(BANK // BANK_BATCH)
            ]
        self.colours, self.masks = (torch.cat(some) for some in zip(*made))
        alone = self.masks[:, 0] > 0.5
        area, radius = sizes(alone)
        self.centres = centres(alone) - (config.size - 1) / 2
        # Of collapsed masks, which are warned of, there is no size to divide by.
        self.median_area = max(float(area.median()), 1.0)
        self.median_radius = max(float(radius.median()), 1.0)
        self.warning = mask_warning(alone[:CHECKED].cpu().numpy())

    @property
    def device(self) -> torch.device:
        """The generator's device, which composites are made on."""
        return self.generator.head.weight.device

    def _ground(self, like: torch.Tensor) -> torch.Tensor:
        """What composites in the shape of `like` are laid on. Where the ground's colour was learnt,
        every second one has another: the next heap may lie in another bin."""
        below = self.generator.bare(like)
        if not self.generator.config.ground:
            return below
        seen = min(like.shape[1], CHANNELS['colour'])
        other = 2 * torch.rand(len(like), seen, 1, 1, device=self.device) - 1
        below[::2, :seen] = other[::2]
        return below

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """A batch of composites (batch, C, canvas, canvas) in [-1, 1]. Centres are those of whole
        objects, also of those that lie partly outside of the picture."""
        chosen = torch.randint(BANK, (batch, self.objects), device=self.device)
        places = self.generator.draw_places(batch, self.objects, self.reach, self.device)
        # From the lowest to the highest, as they are laid.
        rows = torch.arange(batch, device=self.device)[:, None]
        places = places[rows, places[..., 2].argsort(1)]
        shape = batch, self.generator.channels, self.canvas, self.canvas
        below = self._ground(torch.empty(shape, device=self.device))
        shadow = self.generator.config.shadow
        heap = lay(self.colours[chosen], self.masks[chosen], places, below, shadow)
        amodal = heap.moved[:, :, 0] > 0.5
        labels = torch.zeros(batch, self.canvas, self.canvas, dtype=torch.long, device=self.device)
        for index in range(self.objects):
            labels = torch.where(amodal[:, index], index + 1, labels)
        middles = self.centres[chosen] + places[..., :2] + (self.canvas - 1) / 2
        return LabelledBatch(heap.image, labels, middles, amodal)
