"""The foreground network takes any size."""

from __future__ import annotations

import pytest
import torch

from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet


def test_inference_pads_nothing_and_takes_any_size():
    network = ForegroundNet(ForegroundConfig(8, 4)).eval()
    with torch.no_grad():
        assert (
            network(torch.zeros(1, 3, 128, 128)).shape == (1, 1, 128, 128) and network.stride == 8
        )


@pytest.mark.parametrize('size, levels', [(80, 6), (48, 6), (50, 4)])
def test_sides_between_multiples_of_the_stride_are_filled_up(size, levels):
    # Distillation looks at pictures of 64 px at 80 px too, whatever the levels.
    network = ForegroundNet(ForegroundConfig(8, levels)).eval()
    stride = network.stride
    with torch.no_grad():
        picture = torch.rand(1, 3, size, size + 2)
        found = network(picture)
        wide = torch.nn.functional.pad(picture, (0, -(size + 2) % stride, 0, -size % stride))
        black = network(wide)[..., :size, : size + 2]
    assert found.shape == (1, 1, size, size + 2)
    # It is filled up with the rim, which is less of an edge than black would be.
    assert torch.isfinite(found).all() and not torch.equal(found, black)


def test_channels_are_what_the_configuration_says():
    network = ForegroundNet(ForegroundConfig(64, 4))
    assert [block[0].out_channels for block in network.down] == [64, 128, 256, 384]
    said = f'{ForegroundConfig.__doc__}'
    assert '64-128-256-384 here' in ' '.join(said.split())
