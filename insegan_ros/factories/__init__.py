"""Label factories: sources of images whose instance masks are known.

One protocol for all: `sample(batch) -> LabelledBatch`. Whatever can do that can teach the dense displacement network.
"""
from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class LabelledBatch(NamedTuple):
    """images (B, 1, H, W) in [-1, 1]; labels (B, H, W) int64, 0 = background, i = slot i - 1;
    amodal (B, n, H, W) bool, empty where a slot holds nothing; rotation (B, n, 3, 3) and translation (B, n, 3), or None."""

    images: Tensor
    labels: Tensor
    amodal: Tensor
    rotation: Tensor | None = None
    translation: Tensor | None = None


class LabelFactory(Protocol):
    """Anything that makes labelled images."""

    def sample(self, batch: int) -> LabelledBatch:
        """A batch of images with their visible and amodal instance masks."""
