"""The HOC recipe on a small picture: exactly one file is opened, a kill changes nothing, it ends in
a segmenter of any size."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import LoopConfig, run_stage
from insegan_ros.errors import ConfigError, DatasetError, InputError
from insegan_ros.files import read_content
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.methods.hoc.generator import HocConfig
from insegan_ros.methods.hoc.recipe import HocGanConfig, TrainHocConfig, train_hoc
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.offsets.network import OffsetNetConfig
from insegan_ros.offsets.stage import OffsetTrainConfig


@pytest.fixture
def heap(tmp_path: Path) -> Path:
    """Many red disks of 20 px."""
    rng, image = np.random.default_rng(0), np.full((240, 240, 3), 12, np.uint8)
    for x, y in rng.integers(0, 240, (110, 2)):
        cv2.circle(image, (int(x), int(y)), 10, (40, 60, int(rng.integers(150, 230))), -1)
    path = tmp_path / 'heap.png'
    cv2.imwrite(str(path), image)
    return path


def config(image: Path, out: Path) -> TrainHocConfig:
    """A recipe of seconds."""
    return TrainHocConfig(
        image=str(image),
        out=str(out),
        instance_px=20,
        generator=HocConfig(size=32, z=8, width=8, providers=3),
        gan=HocGanConfig(steps=4, batch=4, discriminator_width=8),
        offsets=OffsetTrainConfig(
            OffsetNetConfig(8, 2, height_votes=False), steps=4, batch=2, self_training=0
        ),
        loop=LoopConfig(device='cpu', save_every=2),
    )


def test_it_ends_in_a_segmenter_and_opens_one_picture(heap, tmp_path, monkeypatch):
    shutil.copy(heap, tmp_path / 'other.png')
    opened: list[str] = []
    monkeypatch.setattr(
        'insegan_ros.data.images.read_content',
        lambda path, *limit: opened.append(path.name) or read_content(path, *limit),
    )
    folder = train_hoc(config(heap, tmp_path / 'run'))
    assert opened == ['heap.png']
    checkpoint = Checkpoint.load(folder)
    assert (checkpoint.method, checkpoint.segmenter, checkpoint.part) == (
        'hoc',
        'hoc',
        'heap',
    ) and set(checkpoint.weights) == {'generator', 'offsets'}
    assert (
        checkpoint.config['zoom'] == pytest.approx(32 / 30)
        and 'one picture, 240x240 px' in checkpoint.training['data']
    )
    assert (tmp_path / 'run' / 'contact.png').stat().st_size > 1000
    segmenter = load_segmenter(str(folder))
    frame = Frame(
        np.full((90, 130), np.nan, np.float32),
        Intrinsics(100, 100, 64.5, 44.5, 130, 90),
        np.zeros((90, 130, 3), np.uint8),
    )
    found = segmenter.segment(frame)
    assert (
        segmenter.needs_colour
        and found.labels.shape == (90, 130)
        and found.labels.max() == len(found)
    )
    with pytest.raises(InputError, match='no colour'):
        segmenter.segment(replace(frame, colour=None))


def test_a_kill_changes_nothing(heap, tmp_path, monkeypatch):
    whole = Checkpoint.load(train_hoc(config(heap, tmp_path / 'whole')))
    calls = 0

    def stopping(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return run_stage(*arguments, **options)

    monkeypatch.setattr('insegan_ros.engine.run.run_stage', stopping)
    with pytest.raises(KeyboardInterrupt):
        train_hoc(config(heap, tmp_path / 'resumed'))
    monkeypatch.setattr('insegan_ros.engine.run.run_stage', run_stage)
    resumed = Checkpoint.load(train_hoc(config(heap, tmp_path / 'resumed')))
    for network, weights in whole.weights.items():
        assert all(
            torch.equal(value, resumed.weights[network][name]) for name, value in weights.items()
        )


def test_what_cannot_be_learnt_from_is_refused_before_anything_is_made(heap, tmp_path):
    with pytest.raises(DatasetError, match='expected 12 or more'):
        train_hoc(replace(config(heap, tmp_path / 'run'), instance_px=90))
    with pytest.raises(
        DatasetError, match='expected a folder of shards for colour and depth together'
    ):
        train_hoc(replace(config(heap, tmp_path / 'run'), modality='both'))
    with pytest.raises(DatasetError, match='is a folder without shards'):
        train_hoc(replace(config(heap, tmp_path / 'run'), image=str(tmp_path)))
    cv2.imwrite(str(tmp_path / 'tiny.png'), np.zeros((15, 20, 3), np.uint8))
    with pytest.raises(DatasetError, match='is 20x15 px: expected 48 px or more'):
        train_hoc(replace(config(tmp_path / 'tiny.png', tmp_path / 'run')))
    for changes, words in (
        ({}, 'height_votes is true'),
        ({'network': OffsetNetConfig(height_votes=False)}, 'offsets.self_training is 1'),
        (
            {'network': OffsetNetConfig(height_votes=False), 'self_training': 0, 'steps': 0},
            'offsets.steps is 0',
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            TrainHocConfig(offsets=OffsetTrainConfig(**changes))
    with pytest.raises(ConfigError, match='instance_px is 3: expected 8 px or more'):
        TrainHocConfig(instance_px=3)
    with pytest.raises(ConfigError, match='generator.padding is 3: expected above 0, to 1'):
        HocConfig(padding=3)
    assert not (tmp_path / 'run').exists()
