"""CCGR's context gap: exact sub-pixel integrals with a gradient, a rectangle found again, no second
object taken in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.context_gap import (
    box_sums,
    context_boxes,
    context_gap,
    peaks_in,
    refine_boxes,
)


def rectangle(*boxes: tuple[int, int, int, int], blur: float = 2.0) -> torch.Tensor:
    """Scores (100, 120), soft at the edges of boxes."""
    scores = np.zeros((100, 120))
    for left, top, right, bottom in boxes:
        scores[top:bottom, left:right] = 1
    return torch.from_numpy(gaussian_filter(scores, blur))


def iou(boxes: torch.Tensor, true: torch.Tensor) -> np.ndarray:
    low, high = torch.maximum(boxes[:, :2], true[:, :2]), torch.minimum(boxes[:, 2:], true[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    return (
        both / ((boxes[:, 2:] - boxes[:, :2]).prod(1) + (true[:, 2:] - true[:, :2]).prod(1) - both)
    ).numpy()


def test_sums_are_exact_between_pixels_and_beyond_the_picture():
    scores = torch.arange(12.0, dtype=torch.double).reshape(3, 4)
    boxes = torch.tensor(
        [[0, 0, 4, 3], [1, 1, 2, 2], [0.5, 0, 1.5, 1], [1.25, 0.5, 1.75, 2.5], [-5, -5, 9, 9]],
        dtype=torch.double,
    )
    assert box_sums(scores, boxes).tolist() == pytest.approx(
        [66, 5, 0.5 * 0 + 0.5 * 1, 0.5 * (0.5 * 1 + 5 + 0.5 * 9), 66]
    )
    assert context_boxes(boxes[:1]).tolist() == [[-1, -0.75, 5, 3.75]]


def test_the_loss_has_a_gradient_below_a_pixel():
    """Toy: rounded coordinates."""
    torch.manual_seed(0)
    scores = torch.rand(12, 14, dtype=torch.double)
    boxes = torch.tensor(
        [[2.3, 3.4, 8.6, 9.7], [4.1, 1.2, 12.3, 6.4]], dtype=torch.double, requires_grad=True
    )
    for kind in ('ring', 'printed'):
        assert torch.autograd.gradcheck(lambda some: context_gap(scores, some, kind), (boxes,))
        (gradient,) = torch.autograd.grad(context_gap(scores, boxes, kind).sum(), boxes)
        assert (gradient.abs() > 1e-6).all()


def test_a_rectangle_is_found_again_from_thirty_per_cent_off():
    true = torch.tensor([[35.0, 30, 85, 70]], dtype=torch.double)
    shares = torch.from_numpy(np.random.default_rng(0).uniform(-0.3, 0.3, (30, 4)))
    first = true + shares * torch.tensor([50.0, 40, 50, 40])
    for blur in (2.0, 3.0):
        way, losses = refine_boxes(rectangle((35, 30, 85, 70), blur=blur), first)
        found = way[-1]
        assert (
            iou(first, true.expand(30, 4)).mean() < 0.6
            and iou(found, true.expand(30, 4)).min() > 0.98
        )
        assert (
            losses.shape == (201, 30)
            and (losses[-1] < losses[0]).all()
            and float(losses[-1].max()) < -0.7
        )
    printed = refine_boxes(rectangle((35, 30, 85, 70)), first, kind='printed')[0][-1]
    assert iou(printed, true.expand(30, 4)).max() < 0.95, 'the form as printed ends elsewhere'


def test_two_objects_of_a_class_stay_two_boxes():
    """Toy: the box of the thresholded map. They touch; a box that begins on one must not end on
    both."""
    scores = rectangle((20, 30, 50, 70), (50, 30, 80, 70))
    peaks = torch.tensor([[35.0, 50], [65, 50]], dtype=torch.double)
    first = torch.tensor([[24.0, 34, 47, 66], [54, 34, 78, 66]], dtype=torch.double)
    found = refine_boxes(scores, first, peaks=peaks)[0][-1]
    assert peaks_in(found, peaks).tolist() == [1, 1]
    assert (
        iou(found, torch.tensor([[20.0, 30, 50, 70], [50, 30, 80, 70]], dtype=torch.double)).min()
        > 0.55
    )
    # From a little farther on, only the peaks keep it from the other.
    first = torch.tensor([[24.0, 34, 62, 66]], dtype=torch.double)
    ends = [refine_boxes(scores, first, peaks=some)[0][-1] for some in (None, peaks)]
    assert [int(peaks_in(end, peaks)) for end in ends] == [2, 1] and float(ends[0][0, 2]) > 78


def test_boxes_stay_in_the_picture_and_have_an_area():
    found = refine_boxes(
        rectangle((0, 0, 60, 100)), torch.tensor([[5.0, 10, 50, 90]], dtype=torch.double)
    )[0][-1]
    assert (
        iou(found, torch.tensor([[0.0, 0, 60, 100]], dtype=torch.double))[0] > 0.95
        and found.min() >= 0
        and found[0, 3] <= 100
    )
    nothing = refine_boxes(torch.zeros(20, 20), torch.tensor([[5.0, 5, 9, 9]]), steps=20)[0][-1]
    assert torch.isfinite(nothing).all() and (nothing[:, 2:] > nothing[:, :2]).all()
    with pytest.raises(ConfigError, match='a box has no area'):
        refine_boxes(torch.zeros(20, 20), torch.tensor([[5.0, 5, 5, 9]]))
