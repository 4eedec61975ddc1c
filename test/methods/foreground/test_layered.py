"""The layered GAN, exactly: no leak, codes that are read off pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from drawn_pictures import SMALL_LAYERED

from insegan_ros.methods.foreground.layered import (
    Codes,
    LayeredConfig,
    LayeredDiscriminator,
    LayeredGenerator,
    code_loss,
    draw_codes,
)
from insegan_ros.nn.perturbation import PerturbationConfig


def test_the_loss_of_a_normal_code_is_its_negative_log_density():
    config = replace(SMALL_LAYERED, prior='normal')
    estimate, code = torch.randn(2, 5, config.codes)
    wanted = -torch.distributions.Normal(estimate, 1).log_prob(code).sum(1).mean()
    constant = 0.5 * config.codes * math.log(2 * math.pi)
    assert torch.allclose(code_loss(config, estimate, code), wanted - constant, atol=1e-4)


def test_ranges_of_zero_leave_the_foreground_where_it_is():
    still = LayeredGenerator(
        SMALL_LAYERED, PerturbationConfig(scale=(0.0, 0.0), shift=0.0, rotation_deg=0.0)
    ).eval()
    with torch.no_grad():
        layers = still.sample(3)[1]
    assert torch.allclose(layers.moved, layers.mask, atol=1e-5)
    assert torch.allclose(
        layers.image,
        layers.mask * layers.foreground + (1 - layers.mask) * layers.background,
        atol=1e-4,
    )


def test_the_background_knows_nothing_of_the_private_code(generator):
    codes = draw_codes(SMALL_LAYERED, 4, torch.device('cpu'))
    child, parent = codes.child.clone().requires_grad_(), codes.parent.clone().requires_grad_()
    layers = generator(Codes(codes.z, child, parent))
    leaks = torch.autograd.grad(
        layers.background.square().sum(), (child, parent), allow_unused=True, retain_graph=True
    )
    assert leaks == (None, None)
    by_child, by_parent = torch.autograd.grad(
        layers.mask.square().sum(), (child, parent), allow_unused=True, retain_graph=True
    )
    assert by_child is None and float(by_parent.abs().max()) > 0
    assert float(torch.autograd.grad(layers.foreground.square().sum(), child)[0].abs().max()) > 0


def test_the_private_code_is_nested_and_evenly_drawn():
    torch.manual_seed(1)
    codes = draw_codes(SMALL_LAYERED, 6000, torch.device('cpu'))
    assert torch.equal(codes.parent.argmax(1), codes.child.argmax(1) // 3)
    assert abs(codes.child.mean(0) - 1 / 12).max() < 0.01
    normal = draw_codes(
        LayeredConfig(size=32, prior='normal', codes=12, group=3), 6000, torch.device('cpu')
    )
    assert (
        normal.parent.shape == (6000, 4)
        and torch.equal(normal.parent, normal.child[:, ::3])
        and abs(normal.child.std() - 1) < 0.02
    )


def test_codes_are_read_off_the_picture():
    """Toy: reading c itself. With shuffled pictures a trained reader falls to chance."""
    torch.manual_seed(3)
    generator = LayeredGenerator(SMALL_LAYERED, PerturbationConfig()).eval()
    reader = LayeredDiscriminator(SMALL_LAYERED, 8)
    # Colours and masks that differ enough to be told apart in a few steps.
    with torch.no_grad():
        generator.colour_code.weight.mul_(6)
        generator.mask.weight.mul_(20)
    optimiser = torch.optim.Adam(reader.parameters(), 2e-3)
    for _ in range(120):
        codes, layers = generator.sample(32)
        loss = code_loss(SMALL_LAYERED, reader(layers.image.detach())[1], codes.child)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    codes, layers = generator.sample(256)
    right = (reader(layers.image)[1].argmax(1) == codes.child.argmax(1)).float().mean()
    shuffled = (
        (reader(layers.image[torch.randperm(256)])[1].argmax(1) == codes.child.argmax(1))
        .float()
        .mean()
    )
    assert right > 0.4 and shuffled < 0.2
