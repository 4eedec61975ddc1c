"""The HOC generator as a label factory: objects laid as densely as in the picture that taught it,
each with its mask."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import label

from insegan_ros.methods.hoc.generator import HocGenerator, lay
from insegan_ros.nn.composition import centres, sizes
from insegan_ros.offsets.labels import LabelledBatch

# Objects made beforehand, of which all composites are; a new one for every place would cost more
# than the network that learns from them.
BANK = 2048
# Objects whose masks are looked at.
MEASURED = 256


# A generated object is one if nearly all of its mask is one piece, of an area within these shares
# of the median.
ONE_PIECE, ONE_AREA = 0.95, (0.5, 1.6)
# Fewer such objects, or a median area beyond these shares of a disk of the assumed size, and that
# size is doubted.
FEWEST_SINGLE, USUAL_AREA = 0.7, (0.3, 1.3)


@torch.no_grad()
def draw_masks(generator: HocGenerator, count: int) -> torch.Tensor:
    """Masks (count, S, S) bool of random objects."""
    return (
        generator.provide(
            torch.randn(count, generator.config.z, device=generator.head.weight.device)
        )[1][:, 0]
        > 0.5
    )


def are_single(masks: np.ndarray) -> np.ndarray:
    """Which of the masks (M, S, S) are one object (M,): one connected piece of an ordinary area."""
    areas = masks.sum((1, 2))
    usual = max(float(np.median(areas)), 1.0)
    pieces = np.array(
        [np.bincount(label(mask)[0].ravel(), minlength=2)[1:].max() for mask in masks]
    )
    return (
        (areas >= ONE_AREA[0] * usual)
        & (areas <= ONE_AREA[1] * usual)
        & (pieces >= ONE_PIECE * areas)
    )


def mask_warning(masks: np.ndarray) -> str:
    """What generated masks (M, S, S) say against the size that patches were cut by, in a line;
    empty where nothing does."""
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
    if share < FEWEST_SINGLE:
        return (
            f'{share:.0%} of the generated masks are one connected object: --instance_px may be'
            ' wrong, or more steps are needed; see contact.png'
        )
    return ''


class HocFactory:
    """Composites (B, C, canvas, canvas) on black; an object counts where its mask is above one half
    and nothing lies on it."""

    def __init__(self, generator: HocGenerator, canvas: int) -> None:
        self.generator, self.canvas = generator.eval().requires_grad_(False), canvas
        config = generator.config
        # As many to the pixel as in the patches that the discriminator saw.
        reach = (canvas - config.size) / 2 / config.size + config.padding
        self.reach, self.objects = (
            reach,
            max(round(config.providers * (reach / config.padding) ** 2), 1),
        )
        with torch.no_grad():
            made = [
                generator.provide(torch.randn(256, config.z, device=self.device))
                for _ in range(BANK // 256)
            ]
        self.colours, self.masks = (torch.cat(some) for some in zip(*made))
        alone = self.masks[:, 0] > 0.5
        area, radius = sizes(alone)
        self.centres = centres(alone) - (config.size - 1) / 2
        self.median_area, self.median_radius = float(area.median()), float(radius.median())
        self.warning = mask_warning(alone[:MEASURED].cpu().numpy())

    @property
    def device(self) -> torch.device:
        """The generator's."""
        return self.generator.head.weight.device

    @torch.no_grad()
    def sample(self, batch: int) -> LabelledBatch:
        """See LabelFactory. Centres are those of whole objects, also of such that are partly out of
        the picture."""
        chosen = torch.randint(BANK, (batch, self.objects), device=self.device)
        places = self.generator.draw_places(batch, self.objects, self.reach, self.device)
        # From the lowest to the highest, as they are laid.
        places = places[torch.arange(batch, device=self.device)[:, None], places[..., 2].argsort(1)]
        below = torch.full(
            (batch, self.generator.channels, self.canvas, self.canvas), -1.0, device=self.device
        )
        heap = lay(self.colours[chosen], self.masks[chosen], places, below)
        amodal = heap.moved[:, :, 0] > 0.5
        labels = torch.zeros(batch, self.canvas, self.canvas, dtype=torch.long, device=self.device)
        for index in range(self.objects):
            labels = torch.where(amodal[:, index], index + 1, labels)
        return LabelledBatch(
            heap.image,
            labels,
            self.centres[chosen] + places[..., :2] + (self.canvas - 1) / 2,
            amodal,
        )
