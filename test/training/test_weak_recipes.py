"""IRNet and CCGR from image-level labels to a segmenter with class names, each stage stopped at,
gone on from, and looked at; small and short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from insegan_ros.data.image_sets import read_image_set
from insegan_ros.data.mask_sets import MaskSet
from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.errors import CheckpointError, ConfigError, DatasetError, InputError
from insegan_ros.frame import Frame
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.ccgr_recipe import (
    MultipleInstanceConfig,
    TrainCcgrConfig,
    train_ccgr,
)
from insegan_ros.methods.image_level.class_maps_stage import ClassMapsConfig
from insegan_ros.methods.image_level.irnet import IRNetConfig
from insegan_ros.methods.image_level.irnet_recipe import (
    IRNetTrainConfig,
    TrainIRNetConfig,
    train_irnet,
)
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig
from insegan_ros.methods.image_level.mask_rcnn_stage import (
    MaskRcnnTrainConfig,
    TrainMaskRcnnConfig,
    train_supervised_masks,
)
from insegan_ros.methods.image_level.proposals import ProposalsConfig
from insegan_ros.methods.image_level.semantic_stage import SemanticTrainConfig
from insegan_ros.methods.registry import load_segmenter

SHORT = {'size': 96, 'seed': 3, 'loop': LoopConfig(device='cpu', threads=1)}
MASKS = MaskRcnnTrainConfig(MaskRcnnConfig(32, 32, 16, 1, 16, 8), steps=2, batch=2)
RELATIONS = IRNetTrainConfig(IRNetConfig(64), steps=2, batch=2, radius=5)
SEMANTIC = SemanticTrainConfig(steps=2, batch=2)


def irnet(data: Path, out: Path, **changes: object) -> TrainIRNetConfig:
    return TrainIRNetConfig(
        data=str(data),
        out=str(out),
        class_maps=ClassMapsConfig(steps=12, batch=4),
        irnet=RELATIONS,
        mask_rcnn=MASKS,
        deeplab=SEMANTIC,
        **{**SHORT, **changes},
    )


def ccgr(data: Path, out: Path, **changes: object) -> TrainCcgrConfig:
    return TrainCcgrConfig(
        data=str(data),
        out=str(out),
        class_maps=ClassMapsConfig(steps=12, batch=4),
        affinity_net=RELATIONS,
        boxes=MultipleInstanceConfig(steps=2, batch=2, width=16),
        semantic=SEMANTIC,
        mask_rcnn=MASKS,
        **{'rounds': 2, **SHORT, **changes},
    )


def test_irnet_from_a_list_of_what_is_there_to_masks_with_names(mixed: Path, tmp_path: Path):
    """Every stage is stopped at and gone on from; the weights are those of a training that was not
    stopped, on a set that has masks as well."""
    config = irnet(mixed / 'image', tmp_path / 'run')
    made = {
        'cam': 'class_maps',
        'relations': 'relations',
        'irnet': 'irnet.state.safetensors',
        'labels': 'labels.json',
    }
    for stage, what in made.items():
        later = [
            other
            for name, other in made.items()
            if list(made).index(name) > list(made).index(stage)
        ]
        assert train_irnet(replace(config, stop_after=stage)) == tmp_path / 'run'
        assert (
            (tmp_path / 'run' / what).exists()
            and (tmp_path / 'run/pictures.png').is_file()
            and not any((tmp_path / 'run' / other).exists() for other in later)
        )
    images = read_image_set(mixed / 'image', 96)
    labels = MaskSet.load(tmp_path / 'run/labels.json')
    for masks, present in zip(labels.masks, images.present):
        assert all(present[one.kind] for one in masks), (
            'labels are of classes that are in the picture'
        )
    folder = train_irnet(config)
    checkpoint = Checkpoint.load(folder)
    assert (checkpoint.method, checkpoint.segmenter, checkpoint.config['classes']) == (
        'irnet',
        'masks',
        ['nut', 'bolt'],
    )
    straight = Checkpoint.load(train_irnet(irnet(mixed / 'full', tmp_path / 'straight')))
    for name, value in checkpoint.weights['mask_rcnn'].items():
        assert torch.equal(value, straight.weights['mask_rcnn'][name]), name

    segmenter = load_segmenter(str(folder), device='cpu')
    scene = next(iter(ShardDataset(mixed / 'full')))
    segmenter.workspace, segmenter.min_score = scene.workspace, 0.0
    found = segmenter.segment(scene.frame)
    assert (
        segmenter.needs_colour
        and found.labels.shape == scene.frame.depth_m.shape
        and set(found.classes) <= {'nut', 'bolt'}
        and len(found) == len(np.unique(found.labels)) - 1
    )
    segmenter.kinds = ('nut',)
    assert set(segmenter.segment(scene.frame).classes) <= {'nut'}
    # One object under two names, and one beside it that is partly covered.
    masks = torch.zeros(3, 1, 96, 96)
    masks[:2, :, 20:60, 20:60], masks[2, :, 20:60, 50:80] = 1, 1
    answers = {
        'masks': masks,
        'scores': torch.tensor([0.9, 0.8, 0.7]),
        'labels': torch.tensor([2, 1, 1]),
    }
    segmenter.network, segmenter.kinds, segmenter.workspace = lambda _: [answers], (), None
    found = segmenter.segment(
        Frame(
            np.full((96, 96), np.nan, np.float32),
            scene.frame.intrinsics,
            np.zeros((96, 96, 3), np.uint8),
        )
    )
    assert (
        found.classes == ('bolt', 'nut')
        and np.bincount(found.labels.ravel()).tolist()[1:] == [40 * 40, 40 * 20]
        and found.scores.tolist() == pytest.approx([0.9, 0.7])
    )
    with pytest.raises(InputError, match='no colour'):
        segmenter.segment(Frame(scene.frame.depth_m, scene.frame.intrinsics))
    with pytest.raises(ConfigError, match='another configuration'):
        train_irnet(replace(config, size=128))


def test_the_semantic_variant_names_classes(mixed: Path, tmp_path: Path):
    folder = train_irnet(irnet(mixed / 'image', tmp_path / 'run', final='semantic', look='both'))
    segmenter, scene = (
        load_segmenter(str(folder), device='cpu'),
        next(iter(ShardDataset(mixed / 'full'))),
    )
    segmenter.workspace = scene.workspace
    found = segmenter.segment(scene.frame)
    assert len(set(found.classes)) == len(found.classes) <= 2 and found.labels.max() == len(found)
    assert (tmp_path / 'run/semantic').is_dir()


def test_ccgr_renews_its_labels_every_round(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begun = irnet(mixed / 'image', tmp_path / 'irnet', stop_after='relations')
    train_irnet(begun)
    config = ccgr(mixed / 'image', tmp_path / 'run', begin=str(tmp_path / 'irnet'))
    for stage in ('relations', 'proposals', 'boxes', 'labels'):
        assert train_ccgr(replace(config, stop_after=stage)) == tmp_path / 'run'
    assert (
        not (tmp_path / 'run/mask_rcnn-1.state.safetensors').exists()
        and (tmp_path / 'run/pictures-1.png').is_file()
    )
    # At test time the instance branch alone: nobody asks for a proposal.
    folder = train_ccgr(config)
    monkeypatch.setattr(
        'insegan_ros.methods.image_level.proposals.propose',
        lambda *_: pytest.fail('a proposal at test time'),
    )
    first, second = (MaskSet.load(tmp_path / f'run/labels-{number}.json') for number in (1, 2))
    assert first != second and (tmp_path / 'run/answers-1.json').is_file()
    scene = next(iter(ShardDataset(mixed / 'full')))
    assert (
        load_segmenter(str(folder), workspace=scene.workspace, device='cpu')
        .segment(scene.frame)
        .classes
        is not None
    )
    # More rounds go on where it ended.
    assert (
        train_ccgr(replace(config, rounds=3)) == folder
        and (tmp_path / 'run/labels-3.json').is_file()
    )
    trained = (folder / 'weights.safetensors').read_bytes()
    with pytest.raises(ConfigError, match='rounds is 2, and .* has had 3: expected 3 or more'):
        train_ccgr(config)
    assert (folder / 'weights.safetensors').read_bytes() == trained
    other = ccgr(mixed / 'image', tmp_path / 'other', begin=str(tmp_path / 'irnet'))
    for wrong, said in (
        (dict(scenes=6), 'whose scenes is 0 and here 6'),
        (dict(begin=str(tmp_path / 'nothing')), 'holds no classifier'),
        (dict(backbone=BackboneConfig('resnet18')), 'whose backbone is'),
        (
            dict(proposals=ProposalsConfig(network='insegan-nut')),
            'a checkpoint for displacement: expected a Mask R-CNN',
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            train_ccgr(replace(other, **wrong))
    # A refusal does not keep the folder from the right command.
    assert not (tmp_path / 'other').exists()
    # Another Mask R-CNN can propose, and IRNet too can begin with what was made before.
    assert (
        train_ccgr(
            replace(other, proposals=ProposalsConfig(network=str(folder)), stop_after='proposals')
        )
        == tmp_path / 'other'
    )
    again = replace(
        begun,
        out=str(tmp_path / 'again'),
        begin=str(tmp_path / 'irnet'),
        stop_after='irnet',
        crf=replace(begun.crf, labels=False),
    )
    assert (
        train_irnet(again) == tmp_path / 'again'
        and not (tmp_path / 'again/cam.state.safetensors').exists()
    )
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='file is a file: expected --out to be a folder'):
        train_irnet(replace(begun, out=str(tmp_path / 'file/run')))
    with pytest.raises(ConfigError, match='expected auto or cpu here|expected auto, cpu'):
        train_irnet(
            replace(begun, out=str(tmp_path / 'device'), loop=replace(begun.loop, device='cuda:9'))
        )


def test_the_ceiling_learns_from_true_masks(mixed: Path, tmp_path: Path):
    config = TrainMaskRcnnConfig(
        data=str(mixed / 'full'), out=str(tmp_path / 'run'), mask_rcnn=MASKS, **SHORT
    )
    assert (
        Checkpoint.load(train_supervised_masks(config)).training['data']
        == '8 pictures with true masks'
    )
    with pytest.raises(InputError, match='image-level labels only'):
        train_supervised_masks(
            replace(config, data=str(mixed / 'image'), out=str(tmp_path / 'other'))
        )
    with pytest.raises(CheckpointError, match='no checkpoint at'):
        train_supervised_masks(
            replace(config, begin=str(tmp_path / 'nothing'), out=str(tmp_path / 'third'))
        )


def test_what_cannot_be_learnt_from_is_refused_before_any_work(mixed: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match='every picture shows|no picture shows'):
        train_irnet(irnet(mixed / 'image', tmp_path / 'one', scenes=1))
    assert not (tmp_path / 'one').exists()
    for wrong in ({'size': 100}, {'colours': 1.0}, {'scenes': -1}, {'loop': LoopConfig(devices=2)}):
        with pytest.raises(ConfigError):
            irnet(mixed / 'image', tmp_path, **wrong)
    with pytest.raises(ConfigError, match='rounds is 0'):
        ccgr(mixed / 'image', tmp_path, rounds=0)
