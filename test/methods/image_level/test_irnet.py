"""IRNet's branches."""

from __future__ import annotations

import pytest
import torch
from small_image_level import SMALL_BACKBONE, random_pictures

from insegan_ros.methods.image_level.affinity_net import AffinityNet
from insegan_ros.methods.image_level.irnet import IRNet, IRNetConfig


@pytest.mark.parametrize(
    'make',
    [lambda: IRNet(IRNetConfig(64), SMALL_BACKBONE, 3), lambda: AffinityNet(SMALL_BACKBONE, 3, 64)],
)
def test_the_classifier_stays_as_it_is(make):
    network = make()
    assert (
        network.training
        and network.train().training
        and not any(module.training for module in network.backbone.modules())
    )
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    out = network(random_pictures())
    sum(one.mean() for one in (out if isinstance(out, tuple) else [out])).backward()
    assert all(parameter.grad is None for parameter in network.backbone.parameters())
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for name, parameter in network.named_parameters()
        if not name.startswith('backbone')
    )
    assert all(
        torch.equal(value, before[name]) for name, value in network.backbone.state_dict().items()
    )


def test_irnet_sees_all_levels_and_its_mean_is_taken_off():
    network = IRNet(IRNetConfig(64), SMALL_BACKBONE, 3).eval()
    with torch.no_grad():
        boundary, displacement = network(random_pictures())
    assert (
        boundary.shape == (2, 16, 16)
        and displacement.shape == (2, 2, 16, 16)
        and 0 <= float(boundary.min())
        and float(boundary.max()) <= 1
    )
    network.mean.copy_(displacement.mean((0, 2, 3)))
    assert network(random_pictures())[1].mean((0, 2, 3)).abs().max() < 1e-4
    assert len(network.boundary) == len(network.displacement) == 5
    single = network.predict(random_pictures(1)[0])
    assert torch.allclose(
        network.predict(random_pictures(1)[0].flip(-1))[0].flip(-1), single[0], atol=1e-5
    )
