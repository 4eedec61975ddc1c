"""InSeGAN's own inference, and its refinement at test time."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.errors import CheckpointError, InputError, InseganWarning
from insegan_ros.methods.insegan.generator import GeneratorConfig
from insegan_ros.methods.insegan.stages import EncoderConfig, GanConfig, InseganConfig
from insegan_ros.methods.recipes import TrainInseganConfig, train_insegan
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.offsets.network import DisplacementConfig
from insegan_ros.offsets.stage import DisplacementTrainConfig
from insegan_ros.tasks.card import make_card
from insegan_ros.workspace import Workspace


@pytest.fixture(scope='module')
def checkpoint(nut_data, tmp_path_factory):
    """A pose encoder of a few steps: it runs, and knows little. Real images take part in its
    training."""
    config = InseganConfig(
        5,
        GeneratorConfig(width=8, patch=32),
        GanConfig(steps=6, batch=4, discriminator_width=8),
        EncoderConfig(steps=4, batch=2, weight_real=1.0),
    )
    out = tmp_path_factory.mktemp('runs') / 'run'
    return train_insegan(
        TrainInseganConfig(
            str(nut_data),
            str(out),
            0,
            config,
            DisplacementTrainConfig(DisplacementConfig(8, 2), steps=2, batch=2),
            LoopConfig(device='cpu'),
        )
    )


def test_every_pixel_of_the_foreground_has_an_owner_and_hidden_parts_are_kept(nut_data, checkpoint):
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(checkpoint), 'insegan', scene.workspace)
    found = segmenter.segment(scene.frame)
    height = scene.workspace.height_map(scene.frame)
    assert (
        1 <= len(found) <= 5
        and (found.labels[height > 0.02] > 0).mean() > 0.8
        and (found.labels[height == 0] > 0).mean() < 0.05
    )
    assert (
        found.amodal.shape == (len(found), *found.labels.shape)
        and (found.amodal | ~found.masks()).all()
    )
    assert (found.labels == segmenter.segment(scene.frame).labels).all()


def test_refinement_brings_the_render_nearer_and_never_farther(nut_data, checkpoint):
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(checkpoint), 'insegan-refined', scene.workspace)
    heights, _ = ShardDataset(nut_data).height_maps(64)
    image = torch.from_numpy(np.clip(heights[:1] / segmenter.scales.height_m, 0, 1) * 2 - 1)[
        None
    ].float()

    def error(z):
        with torch.no_grad():
            return float((segmenter.generator(z).image - image).abs().mean())

    with torch.no_grad():
        first = segmenter.encoder(image)[0]
    assert error(segmenter.refine(first, image)) < error(first)
    segmenter.RATE = 1e4
    assert error(segmenter.refine(first, image)) <= error(first) + 1e-6
    assert segmenter.segment(scene.frame).labels.any()


def test_more_parts_than_slots_are_said(nut_data, checkpoint):
    scene = next(iter(ShardDataset(nut_data)))
    segmenter = load_segmenter(str(checkpoint), 'insegan', scene.workspace)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        segmenter.segment(scene.frame)
    segmenter.slots = 3
    segmenter.scales = replace(
        segmenter.scales,
        part_area_px=0.2 * (scene.workspace.height_map(scene.frame) > 0.01).sum() / 4,
    )
    with pytest.warns(
        InseganWarning, match='covers as much as [456] parts, and this network tells 3 apart'
    ):
        segmenter.segment(scene.frame)


def test_its_card_tells_what_the_pose_encoder_reaches_beside_the_dense_network(
    checkpoint, tmp_path
):
    card = make_card(checkpoint, tmp_path / 'card', limit=1)
    metrics = card['metrics']
    assert card['segmenter'] == 'displacement' and metrics['scenes'] == metrics['scenes_hard'] == 1
    assert all(
        0 < metrics[f'{method}_honest_miou'] < metrics['kmeans_honest_miou']
        for method in ('insegan', 'insegan-refined')
    )
    text = (tmp_path / 'card/README.md').read_text()
    assert (
        text.startswith('# insegan-generator-nut')
        and 'checkpoints/insegan-generator-nut ' in text
        and '(`--segmenter insegan-refined`)' in text
    )
    assert '![singles](singles.png)' in text and all(
        (tmp_path / 'card' / f'{name}.png').stat().st_size > 1000 for name in ('singles', 'scenes')
    )


def test_a_checkpoint_without_an_encoder_and_a_room_in_place_of_a_bin_are_refused(
    nut_data, checkpoint
):
    with pytest.raises(CheckpointError, match='but no generator|but no encoder'):
        load_segmenter('insegan-nut', 'insegan')
    scene = next(iter(ShardDataset(nut_data)))
    with pytest.raises(InputError, match='was trained on'):
        load_segmenter(str(checkpoint), 'insegan', Workspace(scene.workspace.floor)).segment(
            scene.frame
        )
