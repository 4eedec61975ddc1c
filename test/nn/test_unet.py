"""The U-Net at inference."""

from __future__ import annotations

import torch

from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet
from insegan_ros.nn.unet import fold_norms


def test_folded_norms_answer_alike():
    torch.manual_seed(0)
    network = ForegroundNet(ForegroundConfig(8, 3))
    pictures = torch.rand(4, 3, 32, 32) * 2 - 1
    for _ in range(3):
        network(pictures)
    before = network.eval()(pictures).detach()
    assert torch.allclose(fold_norms(network)(pictures), before, atol=1e-5) and not any(
        isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()
    )
