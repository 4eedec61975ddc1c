"""Random views and colours of pictures."""

from __future__ import annotations

import torch

from insegan_ros.nn.augmentation import in_range, random_colours, random_views


def pictures() -> torch.Tensor:
    """(32, 3, 32, 32) uint8."""
    torch.manual_seed(0)
    return torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8)


def test_bytes_become_the_range_that_networks_see():
    seen = in_range(torch.tensor([0, 255], dtype=torch.uint8))
    assert seen.tolist() == [-1, 1]


def test_colours_change_and_stay_in_range():
    shown = in_range(pictures())
    changed = random_colours(shown)
    assert (
        changed.min() >= -1 and changed.max() <= 1 and not torch.allclose(changed, shown, atol=0.05)
    )


def test_views_show_what_was_there_at_the_same_size():
    """A mask that is a channel of its picture stays on it, whatever view is taken."""
    shown = in_range(pictures())
    shown[:, :, 8:20, 8:24] = 1.0
    marked = torch.cat([shown, torch.zeros(32, 1, 32, 32)], 1)
    marked[:, 3, 8:20, 8:24] = 1.0
    views = random_views(marked)
    assert views.shape == marked.shape and not torch.equal(views, marked)
    inside = views[:, 3] > 0.99
    assert inside.flatten(1).any(1).all() and (views[:, 0][inside] > 0.95).all()
