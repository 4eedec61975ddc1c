"""The independence prior's second application: what one of many equal objects looks like, from one
picture of a heap of them.

N providers with shared weights and codes of their own make one object each, with a soft mask; every
one is shifted at random and laid on what is there already. Pictures have 1 (grey or depth), 3
(colour) or 4 channels (colour and depth) in [-1, 1], -1 is black.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from insegan_ros.errors import ConfigError
from insegan_ros.nn.composition import blend
from insegan_ros.nn.perturbation import motion, warp
from insegan_ros.nn.trunk import trunk

# How far from the middle of its patch an object may reach, in sides of it: its mean radius is about
# a third, and where it could reach farther, an object and a piece of the next became one.
REACH = 0.37
# How quickly the first masks end at an object's rim, logits a side.
SHARPNESS = 20.0


@dataclass(frozen=True)
class HocConfig:
    """Shape of the generator and of what it composes. Lengths in px of a patch of `size`."""

    size: int = 32
    """Side of the patches: 32 or 64 (the paper's). An object is about two thirds of it wide."""
    z: int = 32
    """Length of an object's code, N(0, I)."""
    width: int = 16
    """Channels at full resolution."""
    providers: int = 12
    """N, objects laid in and around a patch. 12 cover it about twice, as a heap does; 4 are for
    objects that lie side by side with gaps."""
    padding: float = 0.75
    """Most that an object is shifted either way, in sides of the patch: from about .75 on the rim
    is as densely laid as the middle. The paper's 26 to 32 px of 64 are .4 to .5."""
    disk: float = 0.0
    """Radius of the black disk in a real patch that objects are laid on, in sides of it (the
    paper's 20 px of 64 are .31); 0 lays them on black."""
    relief: float = 0.5
    """Most that an object is raised or lowered where depth is seen, as a share of half the heap's
    relief; the higher one hides the lower. Colour has no height: there the order is drawn."""

    def __post_init__(self) -> None:
        for name, fits, expected in (
            ('size', self.size in (32, 64), '32 or 64'),
            ('z', self.z >= 1, '1 or more'),
            ('width', self.width >= 8, '8 or more'),
            ('providers', 1 <= self.providers <= 40, '1 to 40'),
            ('padding', 0 < self.padding <= 1, 'above 0, to 1'),
            ('disk', 0 <= self.disk <= 1, '0 to 1'),
            ('relief', 0 <= self.relief <= 1, '0 to 1'),
        ):
            if not fits:
                raise ConfigError(f'generator.{name} is {getattr(self, name)}: expected {expected}')


class Heap(NamedTuple):
    """image (B, C, S, S); appearance (B, N, C, S, S) and mask (B, N, 1, S, S) of the objects alone;
    moved (B, N, 1, S, S), their masks where they were laid; places (B, N, 3) = (x, y) px and
    height; all from the lowest object to the highest."""

    image: Tensor
    appearance: Tensor
    mask: Tensor
    moved: Tensor
    places: Tensor


class HocGenerator(nn.Module):
    """Providers with shared weights, and what they compose."""

    def __init__(self, config: HocConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        self.body = trunk(config.z, config.width, config.size, smooth=True)
        self.head = nn.Conv2d(config.width, channels + 1, 3, 1, 1)
        # An object fits into its patch (it is about two thirds of it wide), so nothing of it is at
        # the rim.
        axis = (torch.arange(config.size) + 0.5) / config.size - 0.5
        distance = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()
        self.register_buffer(
            'room', ((REACH - distance) * config.size).clamp(0, 1), persistent=False
        )
        # Where an object of that size lies, before anything is learnt: without it the first masks
        # are any texture, and stay so for long.
        self.register_buffer('prior', SHARPNESS * (1 / 3 - distance), persistent=False)

    def provide(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (M, z) -> appearances (M, C, S, S) and soft masks (M, 1, S, S): every object by
        itself."""
        out = self.head(self.body(z))
        return torch.tanh(out[:, :-1]), torch.sigmoid(out[:, -1:] + self.prior) * self.room

    def draw_places(self, count: int, objects: int, reach: float, device: torch.device) -> Tensor:
        """Places (count, objects, 3): whole px evenly within `reach` sides of the patch either way
        (padding, then a random crop), and a height."""
        drawn = 2 * torch.rand(count, objects, 3, device=device) - 1
        return torch.cat(
            [
                (drawn[..., :2] * reach * self.config.size).round(),
                drawn[..., 2:] * self.config.relief,
            ],
            -1,
        )

    def forward(self, z: Tensor, places: Tensor, below: Tensor) -> Heap:
        """Codes (B, N, z), places (B, N, 3), backgrounds (B, C, S', S') -> what is seen, see
        lay."""
        colours, masks = self.provide(z.flatten(0, 1))
        return lay(
            colours.unflatten(0, z.shape[:2]), masks.unflatten(0, z.shape[:2]), places, below
        )


def lay(colours: Tensor, masks: Tensor, places: Tensor, below: Tensor) -> Heap:
    """Objects (B, N, C, S, S) with soft masks (B, N, 1, S, S) at places (B, N, 3) on backgrounds
    (B, C, S', S') (Eqs. 4 and 5); higher ones hide lower ones. Backgrounds may be larger than a
    patch: places are of the objects' middle from the background's."""
    # Stable: what is in order already, or all at one height, stays as it is.
    order = places[..., 2].argsort(dim=1, stable=True)
    rows = torch.arange(len(order), device=order.device)[:, None]
    colours, masks, places = colours[rows, order], masks[rows, order], places[rows, order]
    laid = colours
    if colours.shape[2] != 3:
        # The last channel is depth: a raised object is nearer all over.
        laid = torch.cat(
            [
                colours[:, :, :-1],
                (colours[:, :, -1:] + places[..., 2, None, None, None]).clamp(-1, 1),
            ],
            2,
        )
    canvas, size = below.shape[-1], colours.shape[-1]
    rim = (canvas - size) // 2
    layers = pad(torch.cat([laid, masks], 2).flatten(0, 1), (rim, canvas - size - rim) * 2)
    still = torch.ones(len(layers), device=layers.device)
    layers = warp(
        layers, motion(still, 0 * still, places.flatten(0, 1)[:, :2] / (canvas / 2))
    ).unflatten(0, order.shape)
    image = below
    for index in range(order.shape[1]):
        image = blend(image, layers[:, index, :-1], layers[:, index, -1:])
    return Heap(image, colours, masks, layers[:, :, -1:], places)


def black_disk(patches: Tensor, radius: float) -> Tensor:
    """Patches (B, C, S, S) with a black disk of `radius` sides in the middle; all black for 0."""
    if not radius:
        return torch.full_like(patches, -1.0)
    axis = (torch.arange(patches.shape[-1], device=patches.device) + 0.5) / patches.shape[-1] - 0.5
    inside = axis[:, None] ** 2 + axis[None] ** 2 < radius**2
    return torch.where(inside, -1.0, patches)
