"""The checksum that checkpoints and states of trainings carry: safetensors has none of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def checksum(head: str, tensors: Mapping[str, Tensor]) -> str:
    """A hash of all that a file holds: what it says of itself as text, and every tensor by name,
    kind, shape and bytes."""
    digest = hashlib.sha256(head.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f'\n{name} {value.dtype} {tuple(value.shape)}\n'.encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
