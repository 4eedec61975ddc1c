"""A generator of heaps whose objects are known."""

from __future__ import annotations

import pytest
import torch
from small_hoc import SMALL

from insegan_ros.methods.hoc.generator import HocGenerator


@pytest.fixture
def generator() -> HocGenerator:
    """One whose objects are disks of a colour that their code gives."""
    torch.manual_seed(0)
    made = HocGenerator(SMALL, 3).eval()
    axis = torch.arange(32) - 15.5
    disk = ((axis[:, None] ** 2 + axis[None] ** 2) < 36).float()

    def provide(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tanh(z[:, :3, None, None]).expand(-1, 3, 32, 32), disk.expand(
            len(z), 1, 32, 32
        )

    made.provide = provide
    return made
