"""The dense network: cells of several pixels say what single pixels say."""

from __future__ import annotations

import pytest
import torch

from insegan_ros.errors import ConfigError
from insegan_ros.offsets.network import OffsetNet, OffsetNetConfig, finer


@torch.no_grad()
def test_a_network_of_cells_begins_with_what_one_of_pixels_knows():
    torch.manual_seed(0)
    pixels, cells = OffsetNet(OffsetNetConfig()), OffsetNet(OffsetNetConfig(cell=2))
    cells.load_state_dict(finer(pixels.state_dict(), 2))
    assert cells.stride == 2 * pixels.stride == 16
    image = torch.randn(1, 1, 32, 48)
    coarse = pixels(image)
    fine = cells(image.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert fine.shape == (1, 5, 64, 96)
    assert torch.allclose(fine[0, 0, ::2, ::2], coarse[0, 0], atol=1e-4)
    assert torch.allclose(fine[0, 3, 1::2, ::2], 2 * coarse[0, 3], atol=1e-3)
    # Every pixel of a cell votes for the place that the cell votes for, in finer pixels.
    votes = torch.arange(48.0) + coarse[0, 1]
    own = torch.arange(96.0) + fine[0, 1]
    wanted = (2 * votes + 0.5).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.allclose(own, wanted, atol=1e-3)
    rise = fine[0, -1] - coarse[0, -1].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.allclose(rise, torch.tensor(2.0).log(), atol=1e-4)


def test_cells_have_a_size():
    with pytest.raises(ConfigError, match='cell is 9'):
        OffsetNetConfig(cell=9)
