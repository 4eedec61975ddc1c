"""The losses of a generator and its judge that several recipes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor
from torch.nn.functional import softplus

Kind = Literal['hinge', 'cross_entropy']


def judge_loss(real: Sequence[Tensor], fake: Sequence[Tensor], kind: Kind) -> Tensor:
    """What a discriminator minimises, mean over its logits: hinge, or −log D(x) − log(1 − D(G))
    (InSeGAN's Eq. 3, the independence prior's Eq. 6)."""
    if kind == 'hinge':
        return sum((1 - r).relu().mean() + (1 + f).relu().mean() for r, f in zip(real, fake)) / len(
            real
        )
    return sum(softplus(-r).mean() + softplus(f).mean() for r, f in zip(real, fake)) / len(real)


def fooling_loss(fake: Sequence[Tensor], kind: Kind) -> Tensor:
    """What a generator minimises: −D(G), or −log D(G)."""
    if kind == 'hinge':
        return -sum(f.mean() for f in fake) / len(fake)
    return sum(softplus(-f).mean() for f in fake) / len(fake)


def area_penalty(masks: Tensor, smallest: float) -> Tensor:
    """Mean over the instances of (‖m‖₁ / A − a)², masks (M, 1, H, W): every instance by itself, so
    two at a ± δ cost δ² (the independence prior, Eq. 7)."""
    return ((masks.mean((1, 2, 3)) - smallest) ** 2).mean()
