"""What the stages of this family share: how a step draws its pictures, and how its network, its
optimiser and its learning rate are set up and move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from insegan_ros.data.image_sets import ImageSet
from insegan_ros.engine.loop import Stage
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.nn.augmentation import in_range, random_colours

# A rate rises for so large a share of the steps.
RISE = 0.1
# By how many quarters a picture is turned, and whether it is mirrored then.
Turn = tuple[int, bool]


class ImageStage(Stage):
    """A stage on a run's pictures that trains one network. settings: its own configuration, with
    steps, batch, rate and decay; name: of its state, where it is not the class's."""

    network: Any
    optimiser: Any
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None

    def __init__(self, run: ImageRun, settings: Any, name: str = '') -> None:
        self.run = run
        self.settings = settings
        self.name = name or self.name
        self.steps = settings.steps
        self.images_per_step = settings.batch

    def parts(self) -> dict[str, Any]:
        """Network, optimiser, and the schedule of its rate where there is one."""
        parts = {'network': self.network, 'optimiser': self.optimiser}
        return parts if self.schedule is None else {**parts, 'schedule': self.schedule}

    def set_up(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Hand network and optimiser to Fabric."""
        self.network, self.optimiser = self.run.fabric.setup(network, optimiser)

    def set_up_adam(self, network: nn.Module) -> None:
        """The same with Adam for all weights, whose rate rises and then falls along a cosine."""
        settings = self.settings
        self.set_up(
            network,
            torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay),
        )
        # The scheduler divides by the length of its rise less one step, which may be nothing.
        rise = RISE if RISE * self.steps != 1 else 2 * RISE
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.rate, total_steps=self.steps, pct_start=rise
        )

    def learn(self, loss: Tensor, max_norm: float | None = None) -> None:
        """One step of the optimiser. max_norm: to which gradients are clipped."""
        self.optimiser.zero_grad()
        self.run.fabric.backward(loss)
        if max_norm is not None:
            self.run.fabric.clip_gradients(self.network, self.optimiser, max_norm=max_norm)
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()

    def draw(self, usable: Sequence[int] | np.ndarray) -> list[int]:
        """The numbers of a step's pictures, of those that can be used."""
        chosen = torch.randint(len(usable), (self.settings.batch,)).tolist()
        return [int(usable[number]) for number in chosen]

    def read(self, chosen: Sequence[int]) -> Tensor:
        """These pictures (B, C, S, S) uint8, on the CPU."""
        return read_pictures(self.run.images, chosen, self.run.config.size)

    def turned(self, images: Iterable[Tensor], turns: Sequence[Turn]) -> Tensor:
        """Images (..., S, S), each turned as `turns` say, together on the training's device."""
        return torch.stack([turn(one, *how) for one, how in zip(images, turns)]).to(self.run.device)


def read_pictures(images: ImageSet, chosen: Sequence[int], size: int) -> Tensor:
    """Pictures (B, C, size, size) uint8; what is missing to the right and below is black."""
    out = torch.zeros(len(chosen), images.channels, size, size, dtype=torch.uint8)
    with ThreadPoolExecutor(8) as readers:
        for row, picture in zip(out, readers.map(images.picture, chosen)):
            row[:, : picture.shape[0], : picture.shape[1]] = torch.from_numpy(picture).permute(
                2, 0, 1
            )
    return out


def turn(image: Tensor, quarters: int, mirror: bool) -> Tensor:
    """Any (..., H, W) turned by quarters, then mirrored sideways."""
    turned = torch.rot90(image, quarters, (-2, -1))
    return turned.flip(-1) if mirror else turned


def draw_turns(count: int, above: bool) -> list[Turn]:
    """How each of `count` pictures is turned and mirrored; by quarters only where they are seen
    from above."""
    quarters = torch.randint(4 if above else 1, (count,))
    return [
        (int(quarter), bool(mirror)) for quarter, mirror in zip(quarters, torch.rand(count) < 0.5)
    ]


def vary_colours(pictures: Tensor, strength: float) -> Tensor:
    """uint8 pictures (B, C, H, W) in other light; height stays as it is."""
    if not strength:
        return pictures
    varied = random_colours(in_range(pictures[:, :3]), strength)
    colour = ((varied + 1) * 127.5).round().to(torch.uint8)
    return torch.cat([colour, pictures[:, 3:]], 1)
