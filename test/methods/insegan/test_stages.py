"""The stages of InSeGAN step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trainings import LOOP, SMALL, noise_images, weights_of

from insegan_ros.engine.loop import make_fabric, seed_step
from insegan_ros.errors import ConfigError
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.stages import EncoderConfig, EncoderStage, GanStage


def test_the_papers_losses_and_composition_train_too(tmp_path):
    paper = replace(
        SMALL,
        generator=GeneratorConfig(width=8, composition='average', placement='volume'),
        gan=replace(SMALL.gan, loss='cross_entropy', scope='image', candidates=1),
        encoder=replace(SMALL.encoder, align_in='latent', pose_loss='mse'),
    )
    stage = GanStage(make_fabric(LOOP), paper, noise_images())
    before = weights_of(stage.generator)
    losses = stage.step(0)
    assert torch.isfinite(losses['L_D']) and not torch.equal(before, weights_of(stage.generator))
    encoder = EncoderStage(stage.fabric, paper, stage.average)
    assert all(torch.isfinite(loss) for loss in encoder.step(0).values())


@pytest.mark.parametrize('align_in', ['pose', 'latent'])
def test_the_encoders_step_leaves_the_generator_as_it_is(align_in):
    generator = Generator(SMALL.generator)
    stage = EncoderStage(
        make_fabric(LOOP),
        replace(SMALL, encoder=replace(SMALL.encoder, align_in=align_in)),
        generator,
    )
    before, learnt = weights_of(generator), weights_of(stage.encoder)
    stage.step(0)
    assert torch.equal(before, weights_of(generator)) and not torch.equal(
        learnt, weights_of(stage.encoder)
    )
    assert all(p.grad is None for p in generator.parameters())


def test_the_encoder_may_read_layouts_that_keep_parts_apart():
    def nearest(candidates: int) -> float:
        torch.manual_seed(0)
        generator, made = Generator(SMALL.generator), []
        stage = EncoderStage(make_fabric(LOOP), replace(SMALL, candidates=candidates), generator)
        generator.register_forward_hook(lambda *call: made.append(call[2].translation[..., :2]))
        stage.step(0)
        apart = torch.cdist(made[0], made[0]) + 10 * torch.eye(SMALL.instances)
        return float(apart.amin((-1, -2)).mean())

    assert nearest(8) > 1.3 * nearest(1)


def test_the_encoder_learns_where_parts_are_and_its_codes_do_not_run_away():
    """With too high a rate the codes grow until every place is at the picture's rim, and nothing is
    learnt any more."""
    torch.manual_seed(0)
    config = replace(SMALL, instances=2, encoder=EncoderConfig(steps=60, batch=8))
    stage = EncoderStage(make_fabric(LOOP), config, Generator(SMALL.generator))
    losses = []
    for index in range(60):
        seed_step(0, 'encoder', index)
        losses.append(float(stage.step(index)['L_E^a']))
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])
    with torch.no_grad():
        scene = stage.generator(torch.randn(16, 2, SMALL.generator.latent))
        z = stage.encoder(scene.image)[0]
        assert float(z.std()) < 3 and float(stage.generator.pose_decoder(z)[1].abs().mean()) < 0.6


def test_the_generator_learns_from_single_parts_too(tmp_path):
    seed_step(0, 'weights', 0)
    stage = GanStage(make_fabric(LOOP), SMALL, noise_images(), torch.rand(40, 1, 20, 20) * 2 - 1)
    before = weights_of(stage.alone)
    losses = stage.step(0)
    assert set(losses) == {'L_D', 'L_G', 'L_D alone'} and not torch.equal(
        before, weights_of(stage.alone)
    )
    assert {'alone', 'optimiser_alone'} <= stage.parts().keys()


def test_noise_hides_flat_floors_from_the_discriminator_and_fades():
    config = replace(SMALL, gan=replace(SMALL.gan, noise=0.3, steps=10))
    stage = GanStage(make_fabric(LOOP), config, torch.full((8, 1, 64, 64), -1.0))
    seen: list[torch.Tensor] = []
    stage.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    deviations = []
    for index in (0, 9):
        seen.clear()
        stage.step(index)
        assert len(seen) == 3, 'real images, composites, composites through the new discriminator'
        deviations.append(float(seen[0].std()))
    assert deviations == pytest.approx([0.3, 0.03], rel=0.05)


@pytest.mark.parametrize('wrong', [{'noise': -0.1}, {'warm_up': -1}])
def test_noise_and_warm_up_are_not_negative(wrong):
    with pytest.raises(ConfigError, match='gan.noise is .*, gan.warm_up .*: expected 0 or more'):
        replace(SMALL.gan, **wrong)


def test_the_rate_rises_while_a_gan_warms_up():
    config = replace(SMALL, gan=replace(SMALL.gan, rate=1e-3, warm_up=4))
    stage = GanStage(make_fabric(LOOP), config, noise_images())
    rates = []
    for index in range(6):
        stage.step(index)
        rates += [{g['lr'] for o in (stage.optimiser_g, stage.optimiser_d) for g in o.param_groups}]
    assert [rate for one in rates for rate in one] == pytest.approx(
        [2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3]
    )
