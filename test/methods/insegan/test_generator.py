"""The generator: exact poses, one template, order that hides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch

from insegan_ros.errors import ConfigError
from insegan_ros.methods.insegan.generator import (
    Generator,
    GeneratorConfig,
    PoseEncoder,
    leaky_clamp,
    look_from_above,
    place,
    transform_volume,
)

PRODUCT = GeneratorConfig(width=8, patch=32)


PAPER = GeneratorConfig(width=8, composition='average', placement='volume')


VOLUME = GeneratorConfig(width=8, placement='volume')


TWO_D = GeneratorConfig(width=8, composition='average', placement='volume', shape='2d')


def rotation(axis: str, degrees: float) -> torch.Tensor:
    return roma.euler_to_rotmat(axis, [degrees], degrees=True)[None].float()


@pytest.mark.parametrize(
    'axis, dims, turns', [('z', (2, 3), -1), ('x', (1, 2), -1), ('y', (1, 3), 1)]
)
def test_a_quarter_turn_is_a_permutation_of_the_template_volume(axis, dims, turns):
    torch.manual_seed(0)
    volume = torch.randn(3, 8, 8, 8)
    moved = transform_volume(volume, rotation(axis, 90), torch.zeros(1, 3))[0]
    assert torch.allclose(moved, torch.rot90(volume, turns, dims), atol=1e-4)


def test_a_translation_of_one_voxel_shifts_the_volume():
    volume = torch.randn(2, 8, 8, 8)
    moved = transform_volume(volume, torch.eye(3)[None], torch.tensor([[0.25, 0.0, 0.0]]))[0]
    assert (
        torch.allclose(moved[..., 1:], volume[..., :-1], atol=1e-4)
        and (moved[..., 0].abs() < 1e-4).all()
    )


def test_poses_side_by_side_do_not_mix():
    volume = torch.randn(2, 6, 6, 6)
    rotations, shifts = roma.random_rotmat(6), torch.randn(6, 3) * 0.2
    together = transform_volume(volume, rotations, shifts)
    alone = torch.cat(
        [transform_volume(volume, rotations[i : i + 1], shifts[i : i + 1]) for i in range(6)]
    )
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_patch_lands_where_its_shift_says_and_keeps_its_mass():
    canvas = place(torch.ones(1, 1, 8, 8), torch.tensor([[0.5, -0.25]]), 64)[0, 0]
    y, x = np.nonzero(canvas.numpy() > 0.5)
    assert (x.mean() - 31.5) / 32 == pytest.approx(0.5, abs=0.02) and (
        y.mean() - 31.5
    ) / 32 == pytest.approx(-0.25, abs=0.02)
    assert float(canvas.sum()) == pytest.approx(64, rel=0.01)


def test_heights_beyond_the_scale_keep_a_gradient():
    heights = torch.tensor([-3.0, -1.0, 0.2, 1.0, 5.0], requires_grad=True)
    clamped = leaky_clamp(heights)
    assert clamped.tolist() == pytest.approx([-1.1, -1, 0.2, 1, 1.2])
    clamped.sum().backward()
    assert heights.grad[[0, 2, 4]].tolist() == pytest.approx([0.05, 1, 0.05])


@pytest.mark.parametrize('config', [PRODUCT, VOLUME, PAPER, TWO_D])
def test_the_generator_does_not_care_for_the_order_of_instances(config):
    torch.manual_seed(1)
    generator, z = Generator(config).eval(), torch.randn(2, 5, 128)
    image = generator(z).image
    # Patches end in a tanh; what is rendered in a common volume leaks a little beyond.
    highest = 1 if config.placement == 'patch' else 1.1
    assert image.shape == (2, 1, 64, 64) and image.abs().max() <= highest
    assert torch.allclose(image, generator(z[:, [3, 0, 4, 1, 2]]).image, atol=1e-5)


@pytest.mark.parametrize('config', [PRODUCT, VOLUME])
def test_removing_an_instance_leaves_the_others_as_they_were(config):
    generator, z = Generator(config).eval(), torch.randn(1, 4, 128)
    with torch.no_grad():
        assert torch.allclose(generator(z).singles[:, :3], generator(z[:, :3]).singles, atol=1e-5)


@pytest.mark.parametrize('config', [PRODUCT, PAPER])
def test_nothing_of_z_reaches_the_image_but_the_pose(config):
    torch.manual_seed(2)
    generator = Generator(config).eval()
    z = torch.randn(1, 2, 128)
    # A direction that the decoder's first layer cannot see.
    null = torch.linalg.svd(generator.pose_decoder.layers[0].weight)[2][-1].detach()
    assert torch.allclose(generator(z).image, generator(z + 5 * null).image, atol=1e-4)


@torch.no_grad()
def test_an_averaged_instance_alone_is_as_high_as_in_a_scene_that_the_others_have_left():
    torch.manual_seed(3)
    generator = Generator(PAPER).eval()
    turns, places = generator.pose_decoder(torch.randn(1, 5, 128))
    places[:, 1:] += 4
    features = generator.features_of_pose(turns, places)
    singles = generator.render_singles(features, places)[0]
    assert torch.allclose(
        singles[:1], leaky_clamp(generator.render(features.mean(1)))[0], atol=1e-5
    )
    one = generator.render_singles(features[:, :1], places[:, :1], among=5)[0]
    assert torch.allclose(one, singles[:1], atol=1e-5)


def test_the_2d_ablation_has_no_pose():
    torch.manual_seed(2)
    generator = Generator(TWO_D).eval()
    z = torch.randn(1, 2, 128)
    null = torch.linalg.svd(generator.pose_decoder.layers[0].weight)[2][-1].detach()
    assert not torch.allclose(generator(z).image, generator(z + 5 * null).image, atol=1e-3)
    assert generator.render_alone(z).shape == (1, 2, 64, 64)


def test_the_templates_layers_run_once_a_step_not_once_an_instance():
    generator, calls = Generator(PRODUCT), []
    generator.template_layers.register_forward_hook(
        lambda module, inputs, output: calls.append(output.shape)
    )
    generator(torch.randn(3, 5, 128))
    assert calls == [(1, 8, 16, 16, 16)]


def test_z_order_shows_the_highest_instance_everywhere():
    scene = Generator(PRODUCT)(torch.randn(2, 5, 128))
    assert torch.equal(scene.image[:, 0], scene.singles.amax(1))


def test_first_poses_are_wide():
    _, translation = Generator(PRODUCT).pose_decoder(torch.randn(500, 128))
    assert (translation.std(0) > 0.25).all() and translation.abs().max() < 1


def test_candidates_keep_parts_apart():
    torch.manual_seed(0)
    generator = Generator(PRODUCT)

    def nearest(candidates: int) -> float:
        xy = generator.pose_decoder(generator.sample_latents(64, 5, candidates))[1][..., :2]
        return float((torch.cdist(xy, xy) + 10 * torch.eye(5)).amin((-1, -2)).mean().detach())

    assert nearest(8) > 1.5 * nearest(1)


def test_a_composition_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match='average.*expected placement volume'):
        GeneratorConfig(composition='average')
    with pytest.raises(ConfigError, match='expected a multiple of 8'):
        GeneratorConfig(width=13)


def test_encoder_gives_latents_and_features_of_the_generators_shape():
    generator = Generator(PRODUCT)
    scene = generator(torch.randn(2, 5, 128))
    z, features = PoseEncoder(5, 128, generator.feature_channels, generator.feature_side, 8)(
        scene.image
    )
    assert z.shape == (2, 5, 128) and features.shape == scene.features.shape


def test_a_ray_from_above_meets_the_highest_thing():
    heights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    occupancy = torch.zeros(1, 4, 2, 2)
    occupancy[0, 1, 0, 0] = 1
    occupancy[0, :3, 0, 1] = 1
    occupancy[0, 0, 1, 0], occupancy[0, 3, 1, 0] = 1, 0.5
    seen = look_from_above(occupancy, heights)[0, 0]
    assert torch.allclose(seen, torch.tensor([[0.2, 0.3], [0.5 * 0.4 + 0.5 * 0.1, 0.0]]))


def test_an_occupied_volume_cannot_bend_with_its_pose():
    """The same solid from above and turned about the viewing axis: the picture turns, and nothing
    else changes."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(width=8, patch=32, shape='occupancy'))
    box = torch.zeros(1, 32, 32, 32)
    box[:, 10:20, 8:24, 12:20] = 1
    generator.template_volume = lambda: box
    turns = torch.stack(
        [
            roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, angle]))
            for angle in (0.0, math.pi / 2, math.pi)
        ]
    )[:, None]
    flat, quarter, half = generator.render_patches(
        generator.features_of_pose(turns, torch.zeros(3, 1, 3))
    )
    assert torch.allclose(
        quarter[0], torch.rot90(flat[0], -1, (0, 1)), atol=1e-4
    ) and torch.allclose(half[0], torch.rot90(flat[0], 2, (0, 1)), atol=1e-4)
    # Its highest layer, number 19 of 32, is .22 half sides above the middle.
    assert (
        float(flat[0, 16, 16]) == pytest.approx(2 * (0.3 + 0.5 * 0.21875) - 1, abs=1e-4)
        and float(flat[0, 0, 0]) == -1
    )
    # Lifted by a quarter of its half side, what is seen stands higher by as much.
    lifted = generator.render_patches(
        generator.features_of_pose(turns[:1], torch.tensor([[[0.0, 0.0, 0.25]]]))
    )[0]
    assert float((lifted - flat)[0, 16, 16]) == pytest.approx(2 * 0.25 * 0.5, abs=1e-3)


def test_an_occupied_volume_learns_from_one_picture():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(width=8, patch=32, shape='occupancy'))
    target = torch.full((1, 1, 32, 32), -1.0)
    target[..., 10:22, 6:26] = 0.2
    optimiser = torch.optim.Adam(generator.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = (
            (
                generator.render_patches(
                    generator.features_of_pose(torch.eye(3)[None, None], torch.zeros(1, 1, 3))
                )
                - target
            )
            .square()
            .mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.25 * losses[0]


def test_occupancy_is_part_of_the_whole_generator():
    torch.manual_seed(0)
    config = GeneratorConfig(width=8, patch=32, shape='occupancy')
    generator = Generator(config)
    scene = generator(torch.randn(2, 3, 128))
    encoder = PoseEncoder(3, 128, generator.feature_channels, generator.feature_side)
    z, features = encoder(scene.image)
    assert (
        scene.image.shape == (2, 1, 64, 64)
        and z.shape == (2, 3, 128)
        and features.shape == scene.features.shape
    )
    with pytest.raises(ConfigError, match='expected placement patch'):
        GeneratorConfig(shape='occupancy', placement='volume')
