"""The foreground network takes any size."""

from __future__ import annotations

import torch

from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet


def test_inference_pads_nothing_and_takes_any_size():
    network = ForegroundNet(ForegroundConfig(8, 4)).eval()
    with torch.no_grad():
        assert (
            network(torch.zeros(1, 3, 128, 128)).shape == (1, 1, 128, 128) and network.stride == 8
        )
