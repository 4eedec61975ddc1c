"""Attention and peak response find what a classifier looks at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.class_maps import ClassMapNet
from insegan_ros.methods.image_level.peak_response import PeakResponse, cam_masks, prm_masks
from insegan_ros.methods.image_level.proposals import ProposalsConfig, propose


def bright_square_classifier() -> tuple[ClassMapNet, torch.Tensor, np.ndarray]:
    """A network that was taught in a few steps to tell red from blue squares; a picture with one of
    each, and their masks."""
    torch.manual_seed(0)
    network = ClassMapNet(BackboneConfig(), 3, 2, 'top').train()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)

    def draw(there: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        picture = torch.full((3, 96, 96), 90, dtype=torch.uint8) + torch.randint(
            0, 8, (3, 96, 96), dtype=torch.uint8
        )
        for kind in (0, 1):
            if there[kind]:
                left = 8 + 44 * kind + int(places[kind, 0])
                top = 10 + int(places[kind, 1])
                picture[:, top : top + 28, left : left + 28] = 30
                picture[2 * kind, top : top + 28, left : left + 28] = 240
        return picture

    for _ in range(60):
        there, places = torch.rand(12, 2) < 0.5, torch.randint(0, 10, (12, 2, 2))
        batch = torch.stack([draw(*one) for one in zip(there, places)])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(batch), there.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    masks = np.zeros((2, 96, 96), bool)
    masks[0, 15:43, 12:40], masks[1, 12:40, 54:82] = True, True
    return network.eval(), draw(torch.tensor([True, True]), torch.tensor([[4, 5], [2, 2]])), masks


def test_attention_and_peak_response_find_what_a_classifier_looks_at():
    network, picture, masks = bright_square_classifier()
    response = PeakResponse(network)
    with torch.no_grad():
        assert torch.allclose(response.network(picture[None]), network(picture[None]), atol=1e-4), (
            'fused, it is the same network'
        )
    features, responses, sure = response.answers(picture)
    assert (sure > 0.5).all()
    for kind, mask in enumerate(masks):
        place = divmod(int(responses[kind].argmax()), responses.shape[2])
        cause = PeakResponse.cause(features, responses, kind, place)
        assert float(cause.max()) == pytest.approx(1) and float(cause.min()) >= 0
        inside = torch.from_numpy(mask[::4, ::4])
        assert float(cause[inside].sum() / cause.sum()) > 0.35 > 1.5 * mask.mean(), (
            'what caused the peak lies on the object'
        )
    found = prm_masks(
        response, picture, propose(picture.permute(1, 2, 0).numpy(), ProposalsConfig())
    )
    for kind, mask in enumerate(masks):
        best = max((one for one in found if one.kind == kind), key=lambda one: one.score)
        assert (best.pixels() & mask).sum() / (best.pixels() | mask).sum() > 0.6
    assert prm_masks(response, picture, None) == ()
    for boxes in (False, True):
        for one in cam_masks(network, picture, boxes):
            assert (one.pixels() & masks[one.kind]).sum() > 0
            assert not boxes or one.area == one.box[2] * one.box[3]
