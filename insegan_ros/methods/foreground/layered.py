"""Improved layered GANs (Yang et al., 2022): a background, and a foreground with its mask, are
generated separately and blended.

The public code z drives both; the private code c drives the foreground alone: its parent code the
mask and the colours, its child code the colours. The background therefore holds nothing of c, and c
can be estimated from a picture only by its foreground.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot
from torch.nn.utils.parametrize import is_parametrized

from insegan_ros.errors import ConfigError
from insegan_ros.nn.composition import blend
from insegan_ros.nn.discriminator import Discriminator
from insegan_ros.nn.perturbation import PerturbationConfig, draw_motions, jitter_contrast, warp
from insegan_ros.nn.trunk import trunk


@dataclass(frozen=True)
class LayeredConfig:
    """Shape of the generators."""

    size: int = 64
    """Side of the pictures in px: 32, 64 or 128."""
    z: int = 100
    """Length of the public code, N(0, I)."""
    prior: Literal['categorical', 'normal'] = 'categorical'
    """Prior of the private code: `codes` equally likely categories, or N(0, I) of that length."""
    codes: int = 50
    """Number of categories, or the length of a normal code; the paper has 200 for birds."""
    group: int = 10
    """Child codes that share a parent: neighbouring categories, or neighbouring numbers of a normal
    code, the first of which is the parent code."""
    width: int = 16
    """Channels at full resolution; doubled at every coarser level, up to eight times as many."""

    def __post_init__(self) -> None:
        if (
            self.size not in (32, 64, 128)
            or self.width < 8
            or self.z < 1
            or self.group < 1
            or self.codes < 2 * self.group
            or self.codes % self.group
        ):
            raise ConfigError(
                f'generator: size {self.size} (expected 32, 64 or 128), z {self.z} (1 or more),'
                f' width {self.width} (8 or more), codes {self.codes} (two or more groups of group'
                f' = {self.group})'
            )

    @property
    def parents(self) -> int:
        """Number of parent codes."""
        return self.codes // self.group


class Codes(NamedTuple):
    """z (B, z); child (B, codes) and parent (B, parents): one-hot, or numbers of a normal prior."""

    z: Tensor
    child: Tensor
    parent: Tensor


class Layers(NamedTuple):
    """image, background and foreground (B, 3, S, S) in [-1, 1]; mask (B, 1, S, S) in [0, 1], of the
    foreground as generated; moved (B, 1, S, S), the mask as it was moved and is in the image."""

    image: Tensor
    background: Tensor
    foreground: Tensor
    mask: Tensor
    moved: Tensor


def draw_codes(config: LayeredConfig, count: int, device: torch.device) -> Codes:
    """`count` codes drawn from their priors."""
    z = torch.randn(count, config.z, device=device)
    if config.prior == 'normal':
        child = torch.randn(count, config.codes, device=device)
        return Codes(z, child, child[:, :: config.group])
    chosen = torch.randint(config.codes, (count,), device=device)
    return Codes(
        z,
        one_hot(chosen, config.codes).float(),
        one_hot(chosen // config.group, config.parents).float(),
    )


def code_loss(config: LayeredConfig, estimate: Tensor, code: Tensor) -> Tensor:
    """−log q(code | picture) up to a constant, mean over the batch, from an encoder's estimate (B,
    K) of the code (B, K): Eq. 5 with the minus that a loss needs."""
    if config.prior == 'categorical':
        return cross_entropy(estimate, code.argmax(1))
    # A density of all numbers together: their squares are added up, not averaged.
    return 0.5 * mse_loss(estimate, code, reduction='sum') / len(code)


class LayeredGenerator(nn.Module):
    """The generators G_b(z) of the background and G_f(z, c) of the foreground and its mask. Weights
    are initialised orthogonally, as in the paper."""

    def __init__(self, config: LayeredConfig, perturbation: PerturbationConfig) -> None:
        super().__init__()
        self.config, self.perturbation = config, perturbation
        width = config.width
        self.background = nn.Sequential(
            trunk(config.z, width, config.size), nn.Conv2d(width, 3, 3, 1, 1), nn.Tanh()
        )
        self.foreground = trunk(config.z + config.parents, width, config.size)
        self.mask = nn.Conv2d(width, 1, 3, 1, 1)
        self.colour_in = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.colour_code = nn.Linear(config.codes, width)
        self.colour_out = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 3, 3, 1, 1),
            nn.Tanh(),
        )
        self.apply(orthogonal)

    def forward(self, codes: Codes, motions: Tensor | None = None) -> Layers:
        """The picture of the codes, its foreground moved by the affine maps A (B, 2, 3) if given
        (Eq. 3)."""
        background = self.background(codes.z)
        hidden = self.foreground(torch.cat([codes.z, codes.parent], 1))
        mask = torch.sigmoid(self.mask(hidden))
        foreground = self.colour_out(
            self.colour_in(hidden) + self.colour_code(codes.child)[..., None, None]
        )
        laid, colours, moved = background, foreground, mask
        if motions is not None:
            both = warp(torch.cat([foreground, mask], 1), motions)
            colours = both[:, :3]
            moved = both[:, 3:]
            laid = jitter_contrast(background, self.perturbation)
        return Layers(blend(laid, colours, moved), background, foreground, mask, moved)

    def sample(self, count: int) -> tuple[Codes, Layers]:
        """`count` random codes and their pictures, perturbed as in training."""
        device = self.mask.weight.device
        codes = draw_codes(self.config, count, device)
        return codes, self(codes, draw_motions(self.perturbation, count, device))


class LayeredDiscriminator(nn.Module):
    """The discriminator D; the encoder E_x of the private code, on D's features; the encoder E_pi
    of the parent code, a network of its own."""

    def __init__(self, config: LayeredConfig, width: int = 32) -> None:
        super().__init__()
        self.image = Discriminator(width, 'spectral', 'image', config.size, 3, config.codes)
        half = width // 2
        self.mask = nn.Sequential(
            nn.Conv2d(1, half, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(half, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * (config.size // 8) ** 2, config.parents),
        )
        self.apply(orthogonal)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, S, S) -> logit (B, 1) of D, and E_x's estimate (B, codes) of the private
        code."""
        features = self.image.features(image)
        return self.image.logits(features)[0], self.image.encode(features)

    def encode_mask(self, mask: Tensor) -> Tensor:
        """mask (B, 1, S, S) -> E_pi's estimate (B, parents) of the parent code."""
        return self.mask(mask)


def orthogonal(module: nn.Module) -> None:
    """Initialise a convolution or a linear layer with orthogonal weights and a bias of zero; other
    modules stay as they are."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        # With spectral norm the weight that is used is computed from the original one.
        name = 'parametrizations.weight.original' if is_parametrized(module) else 'weight'
        nn.init.orthogonal_(module.get_parameter(name).data)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
