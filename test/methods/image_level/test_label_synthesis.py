"""How instances come apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mask_pictures import mask_iou
from scipy.ndimage import gaussian_filter

from insegan_ros.methods.image_level.label_synthesis import (
    SynthesisConfig,
    find_components,
    instance_map,
    synthesise,
)

H, W = 40, 60
Y, X = np.mgrid[:H, :W]
# Two discs of one class that touch, at a quarter of the picture's size.
DISCS = [np.hypot(Y - 20, X - column) < 9.5 for column in (20, 39)]


def discs_displacement() -> torch.Tensor:
    """What a good IRNet says of the two discs: to their centres, half the way, so that refinement
    has something to do."""
    field = np.zeros((2, H, W), np.float32)
    for disc, column in zip(DISCS, (20, 39)):
        field[0][disc], field[1][disc] = 0.5 * (column - X[disc]), 0.5 * (20 - Y[disc])
    field[:, ~(DISCS[0] | DISCS[1])] = 6.0
    return torch.from_numpy(field)


def discs_boundary() -> np.ndarray:
    both = DISCS[0] | DISCS[1]
    return np.where(
        both, 0.02, np.where(gaussian_filter(both.astype(float), 1) > 0.1, 0.98, 0.05)
    ).astype(np.float32)


def test_two_discs_of_one_class_that_touch_are_two_instances():
    """Toy: connected components in place of displacements."""
    maps = np.clip(
        sum(np.exp(-((Y - 20) ** 2 + (X - column) ** 2) / 40) for column in (20, 39)), 0, 1
    ).astype(np.float32)[None]
    size, settings = (4 * H, 4 * W), SynthesisConfig()
    large = [np.kron(disc, np.ones((4, 4), bool)) for disc in DISCS]
    numbers = instance_map(discs_displacement(), settings)
    assert numbers[20, 20] != numbers[20, 39] and numbers[20, 20] and numbers[20, 39]
    masks, label = synthesise(maps, np.array([3]), discs_boundary(), numbers, size, settings)
    assert (
        len(masks) == 2 and {one.kind for one in masks} == {3} and set(np.unique(label)) == {0, 4}
    )
    assert sorted(max(mask_iou(one.pixels(), disc) for one in masks) for disc in large)[0] > 0.8
    together, _ = synthesise(maps, np.array([3]), discs_boundary(), None, size, settings)
    assert len(together) == 1 and mask_iou(together[0].pixels(), large[0] | large[1]) > 0.8
    raw, _ = synthesise(
        maps, np.array([3]), discs_boundary(), None, size, SynthesisConfig(boundaries=False)
    )
    # Without the walk attention stays where it is, in the discs' middles.
    assert sum(one.area for one in raw) < 0.8 * together[0].area


def test_pieces_of_an_instance_that_do_not_touch_are_masks_of_their_own():
    """Displacements of two discs that lie apart may end at one place, such as the background where
    it has none."""
    discs = [np.hypot(Y - 20, X - column) < 8 for column in (15, 45)]
    maps = sum(discs).astype(np.float32)[None]
    masks, _ = synthesise(
        maps,
        np.array([3]),
        np.zeros((H, W), np.float32),
        np.ones((H, W), np.uint16),
        (4 * H, 4 * W),
        SynthesisConfig(boundaries=False),
    )
    large = [np.kron(disc, np.ones((4, 4), bool)) for disc in discs]
    assert len(masks) == 2
    assert all(max(mask_iou(one.pixels(), disc) for one in masks) > 0.9 for disc in large)


def test_fragments_and_faint_scores_are_dropped():
    maps = np.zeros((2, H, W), np.float32)
    maps[0, 10:20, 10:20] = 1
    maps[0, 30, 50] = 1
    maps[1, 30:36, 30:36] = 0.2
    masks, label = synthesise(
        maps,
        np.array([0, 1]),
        np.zeros((H, W), np.float32),
        None,
        (4 * H, 4 * W),
        SynthesisConfig(boundaries=False),
    )
    assert (
        len(masks) == 1
        and masks[0].kind == 0
        and masks[0].score == pytest.approx(1)
        and not (label == 2).any()
    )
    assert (
        synthesise(
            0 * maps,
            np.array([0, 1]),
            np.zeros((H, W), np.float32),
            None,
            (4 * H, 4 * W),
            SynthesisConfig(),
        )[0]
        == ()
    )


def test_components_are_the_papers_rule():
    field = np.zeros((2, 8, 12), np.float32)
    field[0] = np.where(X[:8, :12] < 6, 2 - X[:8, :12], 9 - X[:8, :12])
    field[1] = 4 - Y[:8, :12]
    found = find_components(field, field, 1.5)
    assert (
        set(np.unique(found)) == {1, 2}
        and (found[:, :6] == found[0, 0]).all()
        and (found[:, 6:] == found[0, 11]).all()
    )
    far = np.full((2, 8, 12), 5.0, np.float32)
    assert not find_components(far, far, 2.5).any(), 'what points nowhere short is of nothing'
