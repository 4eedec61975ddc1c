"""Label factories: sources of images whose instance masks are known.

One protocol for all: `sample(batch) -> LabelledBatch`. Whatever can do that can teach the dense
network of centre offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

# A pixel whose label is not known.
UNSURE = -1


class LabelledBatch(NamedTuple):
    """images (B, 1, H, W), -1 the floor, 1 the height scale; labels (B, H, W) int64, 0 =
    background, i = slot i - 1, UNSURE where nothing is known and nothing taught; centres (B, n, 2),
    the slots' amodal centres as (x, y) px; amodal (B, n, H, W) bool, empty where a slot holds
    nothing, or None where hidden parts are not known."""

    images: Tensor
    labels: Tensor
    centres: Tensor
    amodal: Tensor | None = None


class LabelFactory(Protocol):
    """Anything that makes labelled images."""

    def sample(self, batch: int) -> LabelledBatch:
        """A batch of images with their visible and amodal instance masks."""


class MixedFactory:
    """Several factories in turn, drawn by chance a batch."""

    def __init__(self, sources: Sequence[LabelFactory]) -> None:
        self.sources = list(sources)

    def sample(self, batch: int) -> LabelledBatch:
        """A batch of one of them."""
        return self.sources[int(torch.randint(len(self.sources), ()))].sample(batch)
