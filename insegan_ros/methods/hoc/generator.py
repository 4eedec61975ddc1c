"""The generator of the independence prior's second application, which learns what one of many equal
objects looks like from one picture of a heap of them.

N providers with shared weights and codes of their own make one object each, with a soft mask; every
object is shifted at random and blended over what lies there already. Pictures have 1 (depth), 3
(colour) or 4 channels (colour and depth) in [-1, 1]; -1 is black, and the floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from insegan_ros.errors import ConfigError
from insegan_ros.frame import Modality
from insegan_ros.nn.composition import blend
from insegan_ros.nn.perturbation import motion, warp
from insegan_ros.nn.trunk import trunk

# Channels of a picture by what of a frame it shows.
CHANNELS: dict[Modality, int] = {'depth': 1, 'colour': 3, 'both': 4}
# How far from the middle of its patch an object may reach, in sides of the patch. Its mean radius
# is about a third; where it could reach farther, a piece of its neighbour was part of an object.
REACH = 0.37
# How steeply the initial masks end at an object's outline, in logits a side of the patch.
SHARPNESS = 20.0
# How fast the ground's colour is learnt beside the other weights: it is three numbers alone.
GROUND_RATE = 10.0
# Width of the soft shadow around an object, in sides of a patch.
SHADOW_SHARE = 0.22


@dataclass(frozen=True)
class HocConfig:
    """Shape of the generator and of what it composes."""

    size: int = 32
    """Side of the patches: 32 or 64 (the paper's). An object is about two thirds of it wide."""
    z: int = 32
    """Length of an object's code, N(0, I)."""
    width: int = 16
    """Channels at full resolution."""
    providers: int = 12
    """N, objects laid in and around a patch. 12 cover it about twice, as in a heap; take 4 for
    objects that lie side by side with gaps."""
    padding: float = 0.75
    """Maximum shift of an object, either way, in sides of the patch: from about .75 on a patch is
    as densely filled at its border as in its middle. The paper's 26 to 32 px of 64 are .4 to
    .5."""
    disk: float = 0.0
    """Radius of the black disk in a real patch that objects are laid on, in sides of the patch (the
    paper's 20 px of 64 are .31); 0 lays them on black."""
    relief: float = 0.5
    """Maximum by which an object is raised or lowered where depth is seen, as a share of half the
    heap's relief; the higher one hides the lower. Colour has no height: there the order is
    random."""

    disk_masks: bool = True
    """Whether masks begin as a disk of the assumed size and never extend farther from the middle;
    false: they are whatever the weights give, as in the paper."""
    ground: bool = False
    """Whether the colour between objects is learnt, for heaps on a bright floor; false: black."""
    shadow: float = 0.0
    """How dark an object's soft shadow on what lies below is, 0 to 1; colour only."""

    def __post_init__(self) -> None:
        for name, fits, expected in (
            ('size', self.size in (32, 64), '32 or 64'),
            ('z', self.z >= 1, '1 or more'),
            ('width', self.width >= 8, '8 or more'),
            ('providers', 1 <= self.providers <= 40, '1 to 40'),
            ('padding', 0 < self.padding <= 1, 'above 0, to 1'),
            ('disk', 0 <= self.disk <= 1, '0 to 1'),
            ('relief', 0 <= self.relief <= 1, '0 to 1'),
            ('shadow', 0 <= self.shadow <= 1, '0 to 1'),
        ):
            if not fits:
                raise ConfigError(f'generator.{name} is {getattr(self, name)}: expected {expected}')


class Heap(NamedTuple):
    """image (B, C, S', S'); appearance (B, N, C, S, S) and mask (B, N, 1, S, S) of the single
    objects; moved (B, N, 1, S', S'), their masks where they were laid; places (B, N, 3), shifts (x,
    y) in px and heights in [-1, 1]'s units. Objects are in order from the lowest to the highest."""

    image: Tensor
    appearance: Tensor
    mask: Tensor
    moved: Tensor
    places: Tensor


class HocGenerator(nn.Module):
    """Providers with shared weights, and the composition of their objects."""

    room: Tensor
    prior: Tensor

    def __init__(self, config: HocConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        self.body = trunk(config.z, config.width, config.size, smooth=True)
        self.head = nn.Conv2d(config.width, channels + 1, 3, 1, 1)
        # An object is about two thirds as wide as its patch, so nothing of it is at the border.
        axis = (torch.arange(config.size) + 0.5) / config.size - 0.5
        distance = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()
        self.register_buffer(
            'room', ((REACH - distance) * config.size).clamp(0, 1), persistent=False
        )
        # A disk of that size, which masks begin as: without it the first masks are random textures,
        # and stay so for long.
        self.register_buffer('prior', SHARPNESS * (1 / 3 - distance), persistent=False)
        if config.ground:
            self.ground = nn.Parameter(torch.zeros(channels))

    def provide(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (M, z) -> appearances (M, C, S, S) in [-1, 1] and soft masks (M, 1, S, S) of single
        objects."""
        out = self.head(self.body(z))
        if not self.config.disk_masks:
            return torch.tanh(out[:, :-1]), torch.sigmoid(out[:, -1:])
        return torch.tanh(out[:, :-1]), torch.sigmoid(out[:, -1:] + self.prior) * self.room

    def bare(self, like: Tensor) -> Tensor:
        """What lies below all objects, in the shape of pictures (B, C, S', S'): black, or the
        learnt colour of the ground; its height is the floor's, -1."""
        below = torch.full_like(like, -1.0)
        if not self.config.ground:
            return below
        colour = torch.tanh(GROUND_RATE * self.ground)[:, None, None].expand_as(like)
        seen = min(self.channels, CHANNELS['colour'])
        return torch.cat([colour[:, :seen], below[:, seen:]], 1)

    def draw_places(self, count: int, objects: int, reach: float, device: torch.device) -> Tensor:
        """Random places (count, objects, 3): shifts in whole px, uniform within `reach` sides of
        the patch either way (padding, then a random crop), and a height."""
        drawn = 2 * torch.rand(count, objects, 3, device=device) - 1
        return torch.cat(
            [
                (drawn[..., :2] * reach * self.config.size).round(),
                drawn[..., 2:] * self.config.relief,
            ],
            -1,
        )

    def forward(self, z: Tensor, places: Tensor, below: Tensor) -> Heap:
        """Codes (B, N, z), places (B, N, 3) and backgrounds (B, C, S', S') -> the heap."""
        colours, masks = (one.unflatten(0, z.shape[:2]) for one in self.provide(z.flatten(0, 1)))
        return lay(colours, masks, places, below, self.config.shadow)


def lay(colours: Tensor, masks: Tensor, places: Tensor, below: Tensor, shadow: float = 0.0) -> Heap:
    """Blend objects (B, N, C, S, S) with soft masks (B, N, 1, S, S) at places (B, N, 3) over
    backgrounds (B, C, S', S') (Eqs. 4 and 5); higher ones hide lower ones. Backgrounds may be
    larger than a patch: shifts are from the background's middle to the object's. shadow: how much
    an object darkens the colours of what is below and around it."""
    # Stable: what is in order already, or all at one height, keeps its order.
    order = places[..., 2].argsort(dim=1, stable=True)
    rows = torch.arange(len(order), device=order.device)[:, None]
    colours, masks, places = colours[rows, order], masks[rows, order], places[rows, order]
    laid = colours
    if colours.shape[2] != 3:
        # The last channel is depth: a raised object is nearer all over.
        height = (colours[:, :, -1:] + places[..., 2, None, None, None]).clamp(-1, 1)
        laid = torch.cat([colours[:, :, :-1], height], 2)
    canvas, size = below.shape[-1], colours.shape[-1]
    rim = (canvas - size) // 2
    layers = pad(torch.cat([laid, masks], 2).flatten(0, 1), (rim, canvas - size - rim) * 2)
    one = torch.ones(len(layers), device=layers.device)
    shift = places.flatten(0, 1)[:, :2] / (canvas / 2)
    layers = warp(layers, motion(one, 0 * one, shift)).unflatten(0, order.shape)
    image = below
    around = _shadows(layers[:, :, -1:], size, shadow) if shadow and colours.shape[2] > 1 else None
    for index in range(order.shape[1]):
        if around is not None:
            darker = (image[:, :3] + 1) * (1 - around[:, index]) - 1
            image = torch.cat([darker, image[:, 3:]], 1)
        image = blend(image, layers[:, index, :-1], layers[:, index, -1:])
    return Heap(image, colours, masks, layers[:, :, -1:], places)


def _shadows(masks: Tensor, size: int, shadow: float) -> Tensor:
    """How much light masks (B, N, 1, S', S') take from below and around them, as large: their soft
    blur, to half of the blur's width beyond the outline."""
    side = 2 * round(SHADOW_SHARE * size / 2) + 1
    soft = masks.flatten(0, 1)
    for _ in range(2):
        soft = avg_pool2d(soft, side, 1, side // 2)
    return (2 * shadow * soft).clamp(max=shadow).unflatten(0, masks.shape[:2])


def black_disk(patches: Tensor, radius: float) -> Tensor:
    """Patches (B, C, S, S) with a black disk in the middle, its radius in sides of the patch; all
    black for a radius of 0."""
    if not radius:
        return torch.full_like(patches, -1.0)
    axis = (torch.arange(patches.shape[-1], device=patches.device) + 0.5) / patches.shape[-1] - 0.5
    inside = axis[:, None] ** 2 + axis[None] ** 2 < radius**2
    return torch.where(inside, -1.0, patches)
