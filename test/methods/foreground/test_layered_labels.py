"""The layered generator as a label factory."""

from __future__ import annotations

import torch

from insegan_ros.methods.foreground.layered_labels import LayeredFactory


def test_the_factory_labels_what_it_shows(generator):
    torch.manual_seed(5)
    with torch.no_grad():
        generator.mask.weight.mul_(30)
    batch = LayeredFactory(generator).sample(16)
    assert batch.images.shape == (16, 3, 32, 32) and set(batch.labels.unique().tolist()) <= {0, 1}
    assert (
        torch.equal(batch.amodal[:, 0], batch.labels == 1)
        and 0.02 < (batch.labels == 1).float().mean() < 0.98
    )
