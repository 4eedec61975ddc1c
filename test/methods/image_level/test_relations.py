"""IRNet's relations: pairs as by brute force, lines and not end points, walks that do not leak."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insegan_ros.data.mask_sets import IGNORED
from insegan_ros.methods.image_level.relations import (
    affinities,
    offsets,
    refine_displacement,
    relation_losses,
    transition_matrix,
    walk,
)


def line(a: tuple[int, int], b: tuple[int, int]) -> list[tuple[int, int]]:
    """Pixels of the bounding box less than one px from the line through both, one by one."""
    (y0, x0), (y1, x1) = a, b
    length = np.hypot(y1 - y0, x1 - x0)
    return [
        (y, x)
        for y in range(min(y0, y1), max(y0, y1) + 1)
        for x in range(min(x0, x1), max(x0, x1) + 1)
        if abs((y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)) / length < 1
    ]


def brute_force(
    boundary: np.ndarray, displacement: np.ndarray, labels: np.ndarray, radius: int
) -> dict[str, float]:
    """Eqs. 2 to 8 pixel by pixel."""
    pixels = [(y, x) for y in range(labels.shape[0]) for x in range(labels.shape[1])]
    fg, bg, same_fg, same_bg, apart = [], [], [], [], []
    for index, a in enumerate(pixels):
        for b in pixels[index + 1 :]:
            if np.hypot(a[0] - b[0], a[1] - b[1]) >= radius or IGNORED in (labels[a], labels[b]):
                continue
            affinity = 1 - max(boundary[one] for one in line(a, b))
            change = displacement[:, a[0], a[1]] - displacement[:, b[0], b[1]]
            if labels[a] != labels[b]:
                apart.append(-np.log(1 - affinity))
            elif labels[a]:
                (
                    fg.append(np.abs(change - (b[1] - a[1], b[0] - a[0])).sum()),
                    same_fg.append(-np.log(affinity)),
                )
            else:
                bg.append(np.abs(change).sum()), same_bg.append(-np.log(affinity))
    return {
        'L_D fg': np.mean(fg),
        'L_D bg': np.mean(bg),
        'L_B': np.mean(same_fg) / 2 + np.mean(same_bg) / 2 + np.mean(apart),
    }


def test_the_losses_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    boundary = rng.uniform(0.05, 0.95, (12, 12)).astype(np.float32)
    displacement = rng.normal(0, 2, (2, 12, 12)).astype(np.float32)
    labels = rng.choice([0, 1, 2, IGNORED], (12, 12), p=[0.4, 0.3, 0.2, 0.1])
    found = relation_losses(
        torch.from_numpy(boundary)[None],
        torch.from_numpy(displacement)[None],
        torch.from_numpy(labels)[None],
        radius=5,
    )
    for name, value in brute_force(boundary, displacement, labels, 5).items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_every_pair_is_looked_at_once():
    assert (
        len(offsets(10))
        == sum(0 < np.hypot(y, x) < 10 for y in range(-9, 10) for x in range(-9, 10)) // 2
    )
    assert not {(-dy, -dx) for (dy, dx), _ in offsets(10)} & {offset for offset, _ in offsets(10)}


def test_a_wall_of_one_pixel_parts_what_lies_on_its_sides():
    """Toy: end points instead of the line."""
    boundary = torch.zeros(20, 20)
    boundary[:, 10] = 1
    for (_, dx), (_, columns), affinity in affinities(boundary, 6):
        first = torch.arange(20)[columns][None].expand(affinity.shape)
        low, high = torch.minimum(first, first + dx), torch.maximum(first, first + dx)
        assert (affinity[(low <= 10) & (high >= 10)] == 0).all() and (
            affinity[(low > 10) | (high < 10)] == 1
        ).all()


def test_foreground_ignores_a_constant_shift_and_background_has_no_centre():
    labels = torch.ones(1, 16, 16, dtype=torch.long)
    labels[:, :, 8:] = 0
    boundary = torch.full((1, 16, 16), 0.5)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing='ij')
    perfect = torch.stack([4 - x, 8 - y])[None]
    assert float(relation_losses(boundary, perfect, labels)['L_D fg']) == pytest.approx(0, abs=1e-5)
    shifted = relation_losses(boundary, perfect + torch.tensor([3.0, -7.0])[:, None, None], labels)
    assert float(shifted['L_D fg']) == pytest.approx(0, abs=1e-5) and float(shifted['L_D bg']) > 1
    assert float(relation_losses(boundary, torch.zeros_like(perfect), labels)['L_D bg']) == 0


def test_unknown_pixels_teach_nothing():
    labels = torch.full((1, 12, 12), IGNORED)
    boundary = torch.full((1, 12, 12), 0.3, requires_grad=True)
    displacement = torch.randn(1, 2, 12, 12, requires_grad=True)
    sum(relation_losses(boundary, displacement, labels).values()).backward()
    assert not boundary.grad.any() and not displacement.grad.any()


def test_a_boundary_is_learnt_where_labels_change():
    """A map of boundaries by itself, taught by pairs alone, ends as one line."""
    labels = torch.zeros(1, 24, 24, dtype=torch.long)
    labels[:, :, 12:] = 1
    logit = torch.zeros(1, 24, 24, requires_grad=True)
    optimiser = torch.optim.Adam([logit], 0.3)
    for _ in range(60):
        loss = relation_losses(torch.sigmoid(logit), torch.zeros(1, 2, 24, 24), labels, 5)['L_B']
        optimiser.zero_grad(), loss.backward(), optimiser.step()
    found = torch.sigmoid(logit.detach())[0]
    assert (
        found[:, 11:13].amax(1).min() > 0.8
        and found[:, :10].max() < 0.2
        and found[:, 14:].max() < 0.2
    )


def test_a_walk_keeps_constants_and_is_the_dense_power():
    rng = np.random.default_rng(1)
    boundary = rng.uniform(0, 0.6, (16, 16)).astype(np.float32)
    scores = rng.random((3, 16, 16)).astype(np.float32)
    matrix = transition_matrix(boundary, 5, 10.0)
    assert np.allclose(np.asarray(matrix.sum(1)), 1, atol=1e-5) and (matrix.data >= 0).all()
    assert np.allclose(matrix @ np.full(256, 0.7, np.float32), 0.7, atol=1e-5)
    start = scores * (1 - boundary)
    dense = np.linalg.matrix_power(matrix.toarray().astype(np.float64), 64)
    expected = dense @ start.reshape(3, -1).T.astype(np.float64)
    assert np.allclose(walk(start, matrix, 64).reshape(3, -1).T, expected, atol=1e-4)


def test_nothing_crosses_a_closed_wall():
    boundary = np.zeros((24, 24), np.float32)
    boundary[6:18, 6] = boundary[6:18, 17] = boundary[6, 6:18] = boundary[17, 6:18] = 1
    scores = np.zeros((1, 24, 24), np.float32)
    scores[0, 11, 11] = 1
    spread = walk(scores * (1 - boundary), transition_matrix(boundary, 5, 10.0), 256)[0]
    assert (
        (spread[7:17, 7:17] > 0).all()
        and not spread[:6].any()
        and not spread[18:].any()
        and not spread[:, :6].any()
        and not spread[:, 18:].any()
    )


def test_a_rough_displacement_is_refined_to_one_place():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing='ij')
    # Points half of the way to (16, 12) only; walking on along the field ends there.
    rough = 0.5 * torch.stack([16 - x, 12 - y])
    target = refine_displacement(rough) + torch.stack([x, y])
    assert (target - torch.tensor([16.0, 12.0])[:, None, None]).abs().max() < 0.1
