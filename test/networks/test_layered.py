"""What methods.md asks of the layered GAN, exactly: no leak, true warps, mutual information that is
read off pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from insegan_ros.errors import ConfigError
from insegan_ros.methods.foreground.layered import (
    Codes,
    LayeredConfig,
    LayeredDiscriminator,
    LayeredGenerator,
    code_loss,
    draw_codes,
)
from insegan_ros.methods.foreground.layered_labels import LayeredFactory
from insegan_ros.methods.foreground.layered_recipe import (
    LayeredGanConfig,
    LayeredGanStage,
    background_loss,
    mask_alarm,
)
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet
from insegan_ros.methods.foreground.random_features import RandomFeatures, frechet
from insegan_ros.nn.composition import blend
from insegan_ros.nn.perturbation import PerturbationConfig, draw_motions, motion, warp

SMALL = LayeredConfig(size=32, z=8, codes=12, group=3, width=8)


@pytest.fixture
def generator() -> LayeredGenerator:
    """A small one, in evaluation mode."""
    torch.manual_seed(0)
    return LayeredGenerator(SMALL, PerturbationConfig()).eval()


def disk(x: float, y: float, radius: float, size: int = 64) -> torch.Tensor:
    """A soft disk (1, 1, size, size) around (x, y) px."""
    axis = torch.arange(size) + 0.0
    distance = ((axis - x)[None] ** 2 + (axis - y)[:, None] ** 2).sqrt()
    return (radius + 0.5 - distance).clamp(0, 1)[None, None]


def test_ranges_of_zero_leave_the_foreground_where_it_is():
    still = LayeredGenerator(
        SMALL, PerturbationConfig(scale=(0.0, 0.0), shift=0.0, rotation_deg=0.0)
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
    codes = draw_codes(SMALL, 4, torch.device('cpu'))
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
    codes = draw_codes(SMALL, 6000, torch.device('cpu'))
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


def test_the_warp_is_the_exact_inverse():
    shifted = warp(
        disk(31.5, 31.5, 9),
        motion(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([[8 / 32, -4 / 32]])),
    )
    assert torch.allclose(shifted, disk(39.5, 27.5, 9), atol=1e-5)
    smaller = warp(
        disk(31.5, 31.5, 16), motion(torch.tensor([0.5]), torch.tensor([0.0]), torch.zeros(1, 2))
    )
    assert (
        abs(float(smaller.sum() / disk(31.5, 31.5, 8).sum()) - 1) < 0.03
        and float((smaller - disk(31.5, 31.5, 8)).abs().sum() / smaller.sum()) < 0.05
    )
    # A quarter turn moves what is right of the middle to below it, y pointing down.
    turned = warp(
        disk(47.5, 31.5, 6),
        motion(
            torch.tensor([1.0]), torch.tensor([np.pi / 2], dtype=torch.float32), torch.zeros(1, 2)
        ),
    )
    assert torch.allclose(turned, disk(31.5, 47.5, 6), atol=1e-3)


def test_motions_stay_in_their_ranges():
    torch.manual_seed(2)
    config = PerturbationConfig(scale=(-0.2, 0.0), shift=0.125, rotation_deg=15)
    drawn = draw_motions(config, 2000, torch.device('cpu'))
    scale = drawn[:, :, :2].det().sqrt()
    assert 2**-0.2 <= float(scale.min()) < 0.89 and 0.98 < float(scale.max()) <= 1.0001
    assert 0.24 < float(drawn[:, :, 2].abs().max()) <= 0.25
    with pytest.raises(ConfigError, match='least before most'):
        PerturbationConfig(scale=(0.2, 0.0))


def test_what_is_laid_later_hides_what_is_below():
    red, blue, black = (
        torch.tensor(colour).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
        for colour in ((1.0, -1, -1), (-1.0, -1, 1), (-1.0, -1, -1))
    )
    whole = torch.ones(1, 1, 4, 4)
    assert torch.equal(blend(blend(black, red, whole), blue, whole), blue)
    assert torch.allclose(
        blend(red, blue, whole / 2),
        torch.tensor([0.0, -1, 0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4),
    )
    assert torch.equal(blend(red, blue, 0 * whole), red)


def test_codes_are_read_off_the_picture():
    """Toy: reading c itself. With shuffled pictures a trained reader falls to chance."""
    torch.manual_seed(3)
    generator, reader = (
        LayeredGenerator(SMALL, PerturbationConfig()).eval(),
        LayeredDiscriminator(SMALL, 8),
    )
    # Colours and masks that differ enough to be told apart in a few steps.
    with torch.no_grad():
        generator.colour_code.weight.mul_(6)
        generator.mask.weight.mul_(20)
    optimiser = torch.optim.Adam(reader.parameters(), 2e-3)
    for _ in range(120):
        codes, layers = generator.sample(32)
        loss = code_loss(SMALL, reader(layers.image.detach())[1], codes.child)
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


def test_the_frozen_segmenter_takes_no_gradient(generator):
    torch.manual_seed(4)
    pictures = torch.randint(0, 255, (64, 3, 32, 32), dtype=torch.uint8)
    fabric = Fabric(accelerator='cpu', devices=1)
    segmenter = ForegroundNet(ForegroundConfig(8, 3)).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    stage = LayeredGanStage(
        fabric,
        LayeredGanConfig(steps=2, batch=4, snapshots=0, discriminator_width=8),
        SMALL,
        PerturbationConfig(),
        pictures,
        2,
        segmenter,
    )
    losses = stage.step(0)
    assert 'L_bg' in losses and losses['L_bg'] > 0
    assert all(parameter.grad is None for parameter in segmenter.parameters())
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())
    # A background that F takes for foreground costs more than one that it does not.
    sure = torch.nn.Conv2d(3, 1, 1)
    torch.nn.init.zeros_(sure.weight)
    costs = []
    for logit in (-4.0, 4.0):
        torch.nn.init.constant_(sure.bias, logit)
        costs.append(float(background_loss(sure, generator.sample(2)[1].background).detach()))
    assert costs[0] < 0.05 and costs[1] > 3.9


@pytest.mark.parametrize(
    'config, wanted, left_out',
    [
        (
            LayeredGanConfig(batch=4),
            {'L_mi x', 'L_mi pi', 'L_b', 'L_adv', 'L_D'},
            {'L_size', 'L_bg'},
        ),
        (LayeredGanConfig(batch=4, gamma_mi=0, gamma_size=2), {'L_size'}, {'L_mi x', 'L_mi pi'}),
    ],
)
def test_every_ablation_is_a_switch(config, wanted, left_out):
    pictures = torch.randint(0, 255, (64, 3, 32, 32), dtype=torch.uint8)
    stage = LayeredGanStage(
        Fabric(accelerator='cpu', devices=1), config, SMALL, PerturbationConfig(), pictures, 1
    )
    losses = stage.step(0)
    assert wanted <= set(losses) and not left_out & set(losses)


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


def test_alarms_name_what_failed():
    assert (
        'all is background' in mask_alarm(0.001)
        and 'all is foreground' in mask_alarm(0.99)
        and mask_alarm(0.2) == ''
    )


def test_the_image_distance_grows_with_what_is_wrong():
    torch.manual_seed(6)
    features, base = RandomFeatures(), torch.rand(400, 3, 32, 32) * 0.4
    noisy, dark = base + 0.3 * torch.randn_like(base), base - 0.5
    same = frechet(features(base[:200]), features(base[200:]))
    assert same < 0.1 * frechet(features(base), features(noisy)) and same < 0.1 * frechet(
        features(base), features(dark)
    )
