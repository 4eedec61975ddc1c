"""Bags are scored, and the proposal that shows the object wins."""

from __future__ import annotations

import numpy as np
import torch
from small_image_level import SMALL_BACKBONE

from insegan_ros.methods.image_level.multiple_instance import (
    MultipleInstanceNet,
    bag_loss,
    bag_scores,
)


def test_a_bag_is_scored_over_classes_and_over_proposals():
    torch.manual_seed(1)
    classes, detections = torch.randn(6, 4), torch.randn(6, 4)
    scores = bag_scores(classes, detections)
    assert scores.shape == (4, 6) and torch.allclose(
        (scores / detections.softmax(0).T).sum(0), torch.ones(6), atol=1e-5
    )
    assert torch.allclose((scores / classes.softmax(1).T).sum(1), torch.ones(4), atol=1e-5)
    assert float(scores.sum()) <= 1 + 1e-6 and (scores.sum(1) <= 1).all()
    sure = torch.zeros(4, 6)
    sure[2, 3] = 1
    assert float(bag_loss(sure, 2)) < 1e-4 < float(bag_loss(sure, 1))


def test_a_box_is_looked_at_where_it_lies():
    """Of a backbone that tells the place of the pixel that each cell looks at, the mean over a box
    is the box's middle."""
    network, seen = MultipleInstanceNet(SMALL_BACKBONE, 3, 2, 32), []

    class Places(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
            y, x = (16 * torch.arange(length // 16) + 0.5 for length in pictures.shape[2:])
            return [torch.stack(torch.meshgrid(y, x, indexing='ij'))[None]]

    class Seen(torch.nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            seen.append(features.mean((2, 3)))
            return features.new_zeros(len(features), 32)

    network.backbone, network.shared = Places(), Seen()
    boxes = torch.tensor([[16.0, 32, 60, 64], [40, 24, 50, 90]])
    network(torch.zeros(1, 3, 128, 128, dtype=torch.uint8), [[boxes]])
    assert torch.allclose(seen[0], torch.tensor([[48.0, 38], [57, 45]]), atol=0.01)


def test_the_proposal_that_shows_the_object_wins():
    """One bright square a picture, two classes by colour: after a few steps the bag's best box is
    the one on the square."""
    torch.manual_seed(0)
    network = MultipleInstanceNet(SMALL_BACKBONE, 3, 2, 32).train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    boxes = torch.tensor([[0.0, 0, 32, 32], [32, 0, 64, 32], [0, 32, 32, 64], [32, 32, 64, 64]])

    def draw(count: int) -> tuple[torch.Tensor, list[int], list[int]]:
        batch = torch.full((count, 3, 64, 64), 90, dtype=torch.uint8)
        places = torch.randint(4, (count,)).tolist()
        kinds = torch.randint(2, (count,)).tolist()
        for picture, place, kind in zip(batch, places, kinds):
            left, top = (boxes[place, :2] + 4).long().tolist()
            picture[2 * kind, top : top + 24, left : left + 24] = 250
        return batch, places, kinds

    for _ in range(60):
        batch, _, kinds = draw(8)
        loss = torch.stack(
            [bag_loss(one, kind) for one, kind in zip(network(batch, [[boxes]] * 8), kinds)]
        ).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    batch, places, kinds = draw(24)
    with torch.no_grad():
        chosen = [
            int(one[kind].argmax()) for one, kind in zip(network(batch, [[boxes]] * 24), kinds)
        ]
    assert np.mean(np.array(chosen) == np.array(places)) > 0.7
