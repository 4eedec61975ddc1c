"""The generator of heaps: codes of their own, order that hides, objects within their patch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_hoc import SMALL

from insegan_ros.methods.hoc.generator import HocGenerator, black_disk, lay
from insegan_ros.nn.composition import sizes


def test_every_provider_has_a_code_of_its_own(generator):
    """Toy: N copies of one z. A change of one code changes one object alone."""
    z, places, below = torch.randn(2, 3, 8), torch.zeros(2, 3, 3), torch.full((2, 3, 32, 32), -1.0)
    changed = z.clone()
    changed[:, 1] += 1
    one, other = (generator(codes, places, below) for codes in (z, changed))
    same = (one.appearance == other.appearance).flatten(2).all(2)
    assert same.tolist() == [[True, False, True]] * 2


def test_the_highest_hides_what_is_below(generator):
    z, below = torch.randn(1, 3, 8), torch.full((1, 3, 32, 32), -1.0)
    heap = generator(z, torch.tensor([[[0, 0, 0.1], [0, 0, 0.3], [0, 0, -0.2]]]), below)
    assert torch.allclose(heap.image[0, :, 16, 16], torch.tanh(z[0, 1, :3])) and torch.equal(
        heap.image[0, :, 0, 0], torch.full((3,), -1.0)
    )


def test_a_shift_of_whole_pixels_moves_colour_and_mask_alike(generator):
    z, below = torch.randn(1, 1, 8), torch.full((1, 3, 32, 32), -1.0)
    still, moved = (
        generator(z, torch.tensor([[place]]), below)
        for place in ((0.0, 0.0, 0.0), (5.0, -3.0, 0.0))
    )
    assert torch.allclose(
        moved.image, still.image.roll((-3, 5), (2, 3)), atol=1e-5
    ) and torch.allclose(moved.moved, still.moved.roll((-3, 5), (3, 4)), atol=1e-5)


def test_a_raised_object_is_nearer_all_over_and_colour_has_no_height():
    torch.manual_seed(0)
    for channels in (1, 4):
        generator = HocGenerator(SMALL, channels).eval()
        z, below = torch.randn(1, 1, 8), torch.full((1, channels, 32, 32), -1.0)
        with torch.no_grad():
            low, high = (
                generator(z, torch.tensor([[[0.0, 0.0, height]]]), below) for height in (0.0, 0.25)
            )
        rise = (high.image - low.image)[0]
        assert torch.allclose(rise[-1], 0.25 * low.moved[0, 0, 0], atol=0.02) and (
            channels == 1 or rise[:-1].abs().max() < 1e-6
        )


def test_objects_begin_and_stay_within_their_patch():
    """A first mask is one disk of the size that patches are cut for, and nothing ever reaches the
    patch's rim."""
    generator = HocGenerator(SMALL, 3).eval()
    with torch.no_grad():
        masks = generator.provide(torch.randn(20, 8))[1][:, 0]
        generator.head.bias.fill_(100.0)
        full = generator.provide(torch.randn(2, 8))[1][:, 0]
    area, radius = sizes(masks > 0.5)
    assert (area / (np.pi * (32 / 3) ** 2) - 1).abs().max() < 0.35 and radius.max() < 9.5
    assert full[:, 16, 16].min() > 0.99 and not full[:, 0].any() and not full[:, :, -1].any()


def test_the_background_is_a_disk_or_black():
    patches = torch.ones(2, 3, 32, 32)
    disk = black_disk(patches, 0.31)
    assert (disk == -1).float().mean() == pytest.approx(np.pi * 0.31**2, abs=0.01) and disk[
        0, 0, 0, 0
    ] == 1
    assert (black_disk(patches, 0.0) == -1).all()


def test_without_disks_masks_are_what_the_weights_give():
    torch.manual_seed(0)
    generator = HocGenerator(replace(SMALL, disk_masks=False), 3).eval()
    with torch.no_grad():
        generator.head.bias.fill_(100.0)
        assert (generator.provide(torch.randn(2, 8))[1] > 0.99).all()


def test_the_ground_is_black_until_it_is_learnt_and_has_no_height():
    like = torch.zeros(1, 4, 5, 5)
    assert (HocGenerator(SMALL, 4).bare(like) == -1).all()
    generator = HocGenerator(replace(SMALL, ground=True), 4)
    bare = generator.bare(like)
    assert not bare[:, :3].any() and (bare[:, 3] == -1).all()
    bare[:, 1].mean().backward()
    assert generator.ground.grad is not None and generator.ground.grad[1] > 0


def test_a_shadow_darkens_colours_beside_an_object_and_nothing_else():
    colours, masks = torch.ones(1, 1, 4, 32, 32), torch.zeros(1, 1, 1, 32, 32)
    masks[..., 12:20, 12:20] = 1
    below, places = torch.zeros(1, 4, 32, 32), torch.zeros(1, 1, 3)
    plain, dark = (lay(colours, masks, places, below, shadow).image[0] for shadow in (0.0, 0.6))
    assert dark[0, 16, 16] == plain[0, 16, 16] == 1
    assert dark[0, 16, 21] < plain[0, 16, 21] - 0.1 and dark[0, 16, 30] == plain[0, 16, 30]
    assert torch.equal(dark[3], plain[3])
