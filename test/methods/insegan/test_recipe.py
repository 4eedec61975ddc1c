"""InSeGAN from unlabelled height maps to a checkpoint: always with a generator."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small_trainings import (
    DENSE,
    LOOP,
    SMALL,
    disks,
    heights_file,
    noise_images,
    small_insegan,
    weights_of,
)

from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.inputs import read_height_images
from insegan_ros.engine.loop import make_fabric
from insegan_ros.errors import CheckpointError, ConfigError, DatasetError
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.insegan.joint import JointStage
from insegan_ros.methods.insegan.recipe import TrainInseganConfig, train_insegan
from insegan_ros.methods.insegan.stages import EncoderConfig, GanConfig, InseganConfig
from insegan_ros.offsets.isolated import CropFactory, find_isolated
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetTrainConfig
from insegan_ros.tasks.instances import draw_singles


def equal(one: Path, other: Path) -> bool:
    """Whether two checkpoints hold the same weights."""
    first, second = (load_file(folder / 'weights.safetensors') for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_recipe_ends_in_a_checkpoint_and_labels_do_not_matter(nut_data, insegan_run, tmp_path):
    (tmp_path / 'blank').mkdir()
    for path in nut_data.glob('*.h5'):
        (tmp_path / 'blank' / path.name).write_bytes(path.read_bytes())
        with h5py.File(tmp_path / 'blank' / path.name, 'a') as file:
            file['labels'][...] = 0
            file['poses'][...] = 0
    config = small_insegan(tmp_path / 'blank', tmp_path / 'run')
    encoder = replace(config.insegan.encoder, weight_real=1.0)
    config = replace(config, insegan=replace(config.insegan, encoder=encoder))
    assert equal(train_insegan(config), insegan_run / 'checkpoint')
    loaded = Checkpoint.load(insegan_run / 'checkpoint')
    assert set(loaded.weights) == {'generator', 'encoder', 'offsets'} and loaded.part == 'nut'
    assert (loaded.method, loaded.segmenter) == ('insegan', 'offsets')
    assert 0.002 < loaded.scales.pixel_m < 0.003 and 0.02 < loaded.scales.height_m < 0.15
    assert loaded.training['steps'] == {'gan': 10, 'encoder': 4, 'offsets': 4}
    assert loaded.training['taught_by'] == 'the generator'
    taken = replace(config, data=str(nut_data), out=str(insegan_run))
    assert loaded.config == json.loads(json.dumps(asdict(taken)))


def test_an_averaging_generator_teaches_a_dense_network_too(nut_data, tmp_path):
    shape = replace(SMALL.generator, composition='average', placement='volume')
    config = replace(
        small_insegan(nut_data, tmp_path / 'run'), insegan=replace(SMALL, generator=shape)
    )
    checkpoint = Checkpoint.load(train_insegan(config))
    assert (
        checkpoint.segmenter == 'offsets'
        and checkpoint.training['taught_by'] == 'the generator'
        and set(checkpoint.weights) == {'generator', 'encoder', 'offsets'}
    )
    # Its card shows what it renders alone, a line around each.
    draw_singles(checkpoint, tmp_path / 'singles.png')
    assert cv2.imread(str(tmp_path / 'singles.png')).shape == (4 * 130, 8 * 130, 3)


def test_a_2d_generator_of_averaged_pictures_teaches_no_dense_network_and_says_so(
    nut_data, tmp_path, capsys
):
    shape = replace(SMALL.generator, composition='average', placement='volume', shape='2d')
    encoder = replace(SMALL.encoder, align_in='latent')
    config = replace(
        small_insegan(nut_data, tmp_path / 'run'),
        insegan=replace(SMALL, generator=shape, encoder=encoder),
    )
    checkpoint = Checkpoint.load(train_insegan(config))
    assert 'teaches no dense network' in capsys.readouterr().out
    assert checkpoint.segmenter == 'insegan' and set(checkpoint.weights) == {'generator', 'encoder'}


def test_without_a_dense_network_what_a_part_covers_is_known_all_the_same(nut_data, tmp_path):
    config = small_insegan(nut_data, tmp_path / 'run')
    config = replace(config, offsets=replace(config.offsets, steps=0))
    checkpoint = Checkpoint.load(train_insegan(config))
    assert checkpoint.segmenter == 'insegan' and set(checkpoint.weights) == {'generator', 'encoder'}
    # Pieces far smaller are no parts.
    assert (
        checkpoint.scales.part_area_px > 50
        and checkpoint.scales.part_radius_px
        == pytest.approx((checkpoint.scales.part_area_px / (2 * np.pi)) ** 0.5)
    )


def test_isolated_parts_teach_beside_the_generator_where_there_are_enough(tmp_path):
    data = heights_file(tmp_path / 'disks.h5', disks(20))
    config = replace(small_insegan(data, tmp_path / 'run'), insegan=SMALL, factory='both')
    checkpoint = Checkpoint.load(train_insegan(config))
    assert set(checkpoint.weights) == {'generator', 'encoder', 'offsets'}
    assert (
        checkpoint.training['taught_by'] == 'the generator and 60 parts that lie alone in the data'
    )
    # Isolated crops know the part's size best.
    images = read_height_images(config, torch.device('cpu')).images
    crops = CropFactory(find_isolated(images, 97), 3, 64)
    assert checkpoint.scales.part_area_px == crops.median_area != pytest.approx(97, abs=10)


def test_too_few_parts_that_lie_alone_are_named(nut_data, tmp_path):
    for factory in ('isolated', 'both'):
        config = replace(small_insegan(nut_data, tmp_path / 'run'), factory=factory)
        with pytest.raises(
            DatasetError, match='parts lie alone in 6 height maps of 5 parts: expected 30'
        ):
            train_insegan(config)
    assert not (tmp_path / 'run').exists()


def test_there_is_always_a_generator_and_a_number_of_parts():
    with pytest.raises(ConfigError, match='insegan.instances is 0: .*insegan train cutpaste'):
        InseganConfig(0)
    with pytest.raises(ConfigError, match='gan.steps is 0.*insegan train cutpaste'):
        GanConfig(steps=0)
    wide = OffsetTrainConfig(OffsetNetConfig(levels=6, cell=4))
    with pytest.raises(ConfigError, match='multiples of 128 px: expected fewer'):
        TrainInseganConfig(offsets=wide)
    TrainInseganConfig(offsets=replace(wide, steps=0))
    with pytest.raises(ConfigError, match='scenes is -1'):
        TrainInseganConfig(scenes=-1)
    assert 'size' not in asdict(TrainInseganConfig()), 'it is the size of what is generated'


def test_a_generator_is_taken_over_and_one_of_another_shape_is_refused(
    nut_data, insegan_run, tmp_path
):
    first = Checkpoint.load(insegan_run / 'checkpoint')
    config = replace(
        small_insegan(nut_data, tmp_path / 'encoder'),
        offsets=replace(DENSE, steps=0),
        generator=str(insegan_run),
    )
    second = Checkpoint.load(train_insegan(config))
    assert set(second.weights) == {'generator', 'encoder'} and second.segmenter == 'insegan'
    assert all(
        torch.equal(value, second.weights['generator'][name])
        for name, value in first.weights['generator'].items()
    )
    assert not (tmp_path / 'encoder/gan.state.safetensors').exists()
    other = replace(config, out=str(tmp_path / 'other'))
    with pytest.raises(CheckpointError, match="was trained on nut, with generator .*'width': 8"):
        wide = replace(config.insegan, generator=GeneratorConfig(width=16, patch=32))
        train_insegan(replace(other, insegan=wide))
    with pytest.raises(CheckpointError, match='was trained on nut, with generator .*expected disk'):
        train_insegan(replace(other, data=heights_file(tmp_path / 'disks.h5', disks(20))))
    assert not (tmp_path / 'other').exists()


def test_a_generator_of_averages_is_taken_over_for_as_many_instances_alone(
    nut_data, insegan_run, tmp_path
):
    first = Checkpoint.load(insegan_run / 'checkpoint')
    config = replace(small_insegan(nut_data, tmp_path / 'run'), generator=str(tmp_path / 'model'))
    # Of patches every instance is rendered by itself, whatever their number.
    first.save(tmp_path / 'model')
    fewer = replace(config.insegan, instances=3)
    train_insegan(replace(config, insegan=fewer, offsets=replace(DENSE, steps=0)))
    average = GeneratorConfig(width=8, patch=32, composition='average', placement='volume')
    shape = {**first.config['insegan'], 'generator': asdict(average)}
    weights = {**first.weights, 'generator': Generator(average).state_dict()}
    replace(first, config={**first.config, 'insegan': shape}, weights=weights).save(
        tmp_path / 'model'
    )
    with pytest.raises(CheckpointError, match='averages the features of 5 instances: expected'):
        train_insegan(replace(config, insegan=replace(fewer, generator=average)))


def test_without_an_encoder_and_a_dense_network_the_generator_is_kept_alone(nut_data, tmp_path):
    config = small_insegan(nut_data, tmp_path / 'run')
    alone = replace(config.insegan, encoder=EncoderConfig(steps=0))
    config = replace(config, insegan=alone, offsets=replace(DENSE, steps=0))
    assert set(Checkpoint.load(train_insegan(config)).weights) == {'generator'}


def test_the_encoder_learns_beside_the_generator_too_and_goes_on(nut_data, tmp_path, monkeypatch):
    config = small_insegan(nut_data, tmp_path / 'whole')
    joint = replace(SMALL, instances=5, encoder=replace(SMALL.encoder, joint=True))
    config = replace(config, insegan=joint, offsets=replace(DENSE, steps=0))
    whole = Checkpoint.load(train_insegan(config))
    assert whole.training['steps'] == {'joint': 10} and whole.segmenter == 'insegan'
    # E has no hand in what G becomes.
    apart = replace(joint, gan=replace(joint.gan, steps=2))
    stage = JointStage(make_fabric(LOOP), apart, noise_images())
    before, learnt = weights_of(stage.gan.generator), weights_of(stage.inverse.encoder)
    stage.inverse.step(0)
    assert torch.equal(before, weights_of(stage.gan.generator))
    assert not torch.equal(learnt, weights_of(stage.inverse.encoder))
    losses = stage.step(0)
    assert {'L_D', 'L_G', 'L_E^a', 'L_E^i', 'L_E^p'} <= set(losses)
    assert not torch.equal(before, weights_of(stage.gan.generator))
    # Stopped in between, it ends the same.
    step = JointStage.step

    def stopped(self, index):
        if index == 7:
            raise KeyboardInterrupt
        return step(self, index)

    part = replace(config, out=str(tmp_path / 'part'))
    monkeypatch.setattr(JointStage, 'step', stopped)
    with pytest.raises(KeyboardInterrupt):
        train_insegan(part)
    monkeypatch.undo()
    assert equal(train_insegan(part), tmp_path / 'whole/checkpoint')


def test_the_generator_goes_on_with_what_lies_on_top(nut_data, tmp_path, monkeypatch, capsys):
    """An alternate round takes over generator and judges, and resumes; here the network's answers
    are given, since six bins teach none."""
    truth = ShardDataset(nut_data).truth_maps(64)
    monkeypatch.setattr(
        'insegan_ros.methods.insegan.recipe.label_itself',
        lambda *_: (np.arange(len(truth[0])), truth[0].astype(np.int64), truth[1]),
    )
    monkeypatch.setattr('insegan_ros.methods.insegan.recipe.MIN_CROPS', 3)
    config = replace(
        small_insegan(nut_data, tmp_path / 'run'),
        insegan=replace(SMALL, gan=replace(SMALL.gan, rounds=1, round_steps=6)),
        factory='generator',
        offsets=replace(DENSE, self_training=0),
    )
    first = train_insegan(config)
    said, checkpoint = capsys.readouterr().out, Checkpoint.load(first)
    assert 'round 1 of the generator: sure of 6 of 6 height maps' in said and checkpoint.training[
        'steps'
    ] == {'gan': 10, 'encoder': 4, 'teacher-1': 6, 'gan-1': 6, 'offsets': 4}
    with (
        safe_open(tmp_path / 'run/gan-1.state.safetensors', 'pt') as after,
        safe_open(tmp_path / 'run/gan.state.safetensors', 'pt') as before,
    ):
        names = [
            name for name in before.keys() if name.startswith('generator/') and name in after.keys()
        ]
        moved = [
            float((after.get_tensor(name) - before.get_tensor(name)).abs().max()) for name in names
        ]
    # Six steps at a rate of 4e-4 from where the first stage ended, not from new weights.
    assert len(names) > 10 and 0 < max(moved) < 6 * 3 * 4e-4
    made = load_file(first / 'weights.safetensors')
    again = load_file(train_insegan(config) / 'weights.safetensors')
    assert made.keys() == again.keys() and all(
        torch.equal(made[name], again[name]) for name in made
    )


def test_rounds_of_the_generator_need_single_renders_to_compare():
    for wrong in ({'alone': 0.0}, {'round_steps': 0}):
        with pytest.raises(ConfigError, match='gan.rounds'):
            GanConfig(rounds=1, **wrong)
    with pytest.raises(ConfigError, match='expected generator.composition z_order'):
        InseganConfig(generator=GeneratorConfig(placement='volume'), gan=GanConfig(rounds=1))
