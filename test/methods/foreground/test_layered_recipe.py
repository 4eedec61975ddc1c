"""Algorithm 1 on small pictures: it ends in a segmenter, goes on after a kill, and never opens a
mask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from drawn_pictures import SMALL_LAYERED, frame, layered
from lightning.fabric import Fabric
from safetensors.torch import load_file

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError
from insegan_ros.methods.foreground.layered_recipe import (
    LayeredGanConfig,
    LayeredGanStage,
    TrainLayeredGanConfig,
    background_loss,
    border_share,
    mask_alarm,
    train_layered_gan,
)
from insegan_ros.methods.foreground.network import ForegroundConfig, ForegroundNet
from insegan_ros.methods.foreground.stage import ForegroundTrainConfig
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.nn.perturbation import PerturbationConfig


def test_the_frozen_segmenter_takes_no_gradient(generator):
    torch.manual_seed(4)
    pictures = torch.randint(0, 255, (64, 3, 32, 32), dtype=torch.uint8)
    fabric = Fabric(accelerator='cpu', devices=1)
    segmenter = ForegroundNet(ForegroundConfig(8, 3)).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    stage = LayeredGanStage(
        fabric,
        LayeredGanConfig(steps=2, batch=4, snapshots=0, discriminator_width=8),
        SMALL_LAYERED,
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
            {'L_size', 'L_bg', 'L_border'},
        ),
        (LayeredGanConfig(batch=4, gamma_mi=0, gamma_size=2), {'L_size'}, {'L_mi x', 'L_mi pi'}),
        (LayeredGanConfig(batch=4, gamma_border=2), {'L_border', 'L_mi x'}, {'L_size'}),
    ],
)
def test_every_ablation_is_a_switch(config, wanted, left_out):
    pictures = torch.randint(0, 255, (64, 3, 32, 32), dtype=torch.uint8)
    stage = LayeredGanStage(
        Fabric(accelerator='cpu', devices=1),
        config,
        SMALL_LAYERED,
        PerturbationConfig(),
        pictures,
        1,
    )
    losses = stage.step(0)
    assert wanted <= set(losses) and not left_out & set(losses)


def test_snapshots_are_held_against_pictures_from_all_over_the_set():
    """Folders of photographs are in order of their kinds."""
    kinds = torch.zeros(1024, 3, 32, 32, dtype=torch.uint8)
    kinds[512:] = 255
    stage = LayeredGanStage(
        Fabric(accelerator='cpu', devices=1),
        LayeredGanConfig(steps=1, batch=4, discriminator_width=8),
        SMALL_LAYERED,
        PerturbationConfig(),
        kinds,
        1,
    )
    seen = []
    stage.features.register_forward_hook(lambda _, images, __: seen.append(images[0]))
    stage.step(0)
    real = seen[0]
    assert len(real) == 512 and abs(float(real.mean())) < 0.01


def test_a_mask_within_its_picture_covers_nothing_of_the_border():
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., 1:-1, 1:-1] = 1
    one_side = torch.zeros(1, 1, 8, 8)
    one_side[..., 0, :] = 1
    shares = [float(border_share(mask)) for mask in (inside, one_side, torch.ones(1, 1, 8, 8))]
    assert shares == pytest.approx([0, 8 / 28, 1])


def test_between_rounds_the_u_net_learns_for_fewer_steps():
    config = TrainLayeredGanConfig(
        rounds=3, between_steps=200, unet=ForegroundTrainConfig(steps=1200)
    )
    assert [config.unet_in(round_).steps for round_ in (1, 2, 3)] == [200, 200, 1200]
    alike = TrainLayeredGanConfig(rounds=2, unet=ForegroundTrainConfig(steps=1200))
    assert [alike.unet_in(round_).steps for round_ in (1, 2)] == [1200, 1200]
    with pytest.raises(ConfigError, match='between_steps is 1300: expected 0 to 1200'):
        TrainLayeredGanConfig(between_steps=1300, unet=ForegroundTrainConfig(steps=1200))


def test_alarms_name_what_failed():
    assert (
        'all is background' in mask_alarm(0.001)
        and 'all is foreground' in mask_alarm(0.99)
        and mask_alarm(0.2) == ''
    )


def test_algorithm_1_ends_in_a_segmenter_with_both_networks(layered_run):
    checkpoint = Checkpoint.load(layered_run / 'checkpoint')
    assert (checkpoint.method, checkpoint.segmenter) == ('layered-gan', 'foreground')
    assert (
        set(checkpoint.weights) == {'unet', 'generator', 'reader'}
        and checkpoint.training['synthetic_seed'] == 0
    )
    assert list(checkpoint.training['steps']) == ['gan-1', 'unet-1', 'gan-2', 'unet-2']
    found = load_segmenter(str(layered_run)).segment(frame())
    assert found.labels.shape == (48, 64) and found.labels.max() == len(found)
    # Five rows of eight: real, composite, background, foreground, mask.
    assert all(
        cv2.imread(str(layered_run / f'round-{round_}.png')).shape == (2 * 5 * 33, 2 * 8 * 33, 3)
        for round_ in (1, 2)
    )


def test_the_second_round_goes_on_from_the_first(layered_run):
    first, second = (
        load_file(layered_run / f'gan-{round_}.state.safetensors') for round_ in (1, 2)
    )
    # Four steps of 2e-4 do not carry weights far; new ones would be far off.
    name = next(
        name
        for name in first
        if name.endswith('colour_in.weight')
        and 'average' not in name
        and 'best' not in name
        and 'optimiser' not in name
    )
    assert float((first[name] - second[name]).abs().max()) < 0.01 and not torch.equal(
        first[name], second[name]
    )


def test_a_run_takes_over_what_a_shorter_one_has_finished(pictures, layered_run, tmp_path):
    whole = layered(pictures[0], tmp_path / 'longer')
    train_layered_gan(replace(whole, rounds=1, out=str(tmp_path / 'short')))
    longer = Checkpoint.load(train_layered_gan(replace(whole, begin=str(tmp_path / 'short'))))
    alone = Checkpoint.load(layered_run / 'checkpoint')
    assert longer.training['steps'] == alone.training['steps']
    others = replace(whole, out=str(tmp_path / 'others'), begin=str(tmp_path / 'short'))
    for change, said in (
        ({'seed': whole.seed + 1}, f'seed was {whole.seed}, is {whole.seed + 1}'),
        ({'scenes': 55}, 'fingerprint was .*, is .*'),
        ({'gan': replace(whole.gan, gamma_mi=7.0)}, 'gan.gamma_mi was .*, is 7.0'),
        ({'unet': replace(whole.unet, rate=0.5)}, 'unet.rate was .*, is 0.5'),
    ):
        with pytest.raises(ConfigError, match=f'begin is .*, whose {said} here: expected a run'):
            train_layered_gan(replace(others, **change))
        # The folder is not taken, and free for the right command.
        assert not Path(others.out).exists()
    # What the first round's generator does not know of may be another.
    heeding = replace(whole.gan, gamma_bg=0.0)
    train_layered_gan(replace(others, gan=heeding, rounds=1))
    with pytest.raises(ConfigError, match='holds no stage of this training'):
        train_layered_gan(replace(whole, out=str(tmp_path / 'wrong'), begin=str(pictures[0])))
    assert all(
        torch.equal(value, longer.weights['unet'][name])
        for name, value in alone.weights['unet'].items()
    )
