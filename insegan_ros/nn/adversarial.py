"""The adversarial losses of discriminator and generator that several recipes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

Kind = Literal['hinge', 'cross_entropy']


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor], kind: Kind) -> Tensor:
    """What a discriminator minimises, a scalar: hinge loss, or −log D(x) − log(1 − D(G(z)))
    (InSeGAN's Eq. 3, the independence prior's Eq. 6).

    real, fake: its logits of any shape for real and generated images, one tensor for each scope of
    the discriminator; every scope has the same weight.
    """
    if kind == 'hinge':
        losses = [(1 - r).relu().mean() + (1 + f).relu().mean() for r, f in zip(real, fake)]
    else:
        losses = [softplus(-r).mean() + softplus(f).mean() for r, f in zip(real, fake)]
    return torch.stack(losses).mean()


def generator_loss(fake: Sequence[Tensor], kind: Kind) -> Tensor:
    """What a generator minimises, a scalar: −D(G(z)) (hinge), or −log D(G(z)).

    fake: the discriminator's logits for generated images, one tensor for each scope.
    """
    losses = [-f.mean() if kind == 'hinge' else softplus(-f).mean() for f in fake]
    return torch.stack(losses).mean()


def area_penalty(masks: Tensor, area: float) -> Tensor:
    """Mean over the instances of (‖m‖₁ / A − a)², a scalar, for soft masks (M, 1, H, W) and the
    share a of the picture that a mask should cover (the independence prior's Eq. 7).

    Every instance counts by itself: two masks at a ± δ cost δ², though their mean is a.
    """
    return ((masks.mean((1, 2, 3)) - area) ** 2).mean()
