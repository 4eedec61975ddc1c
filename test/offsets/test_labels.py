"""Label factories."""

from __future__ import annotations

import torch

from insegan_ros.offsets.labels import MixedFactory


def test_a_mixture_draws_from_all():
    class Fixed:
        def __init__(self, value):
            self.value = value

        def sample(self, batch):
            return self.value

    torch.manual_seed(0)
    mixed = MixedFactory([Fixed('a'), Fixed('b')])
    assert {mixed.sample(1) for _ in range(20)} == {'a', 'b'}
