"""CCGR from image-level labels to a segmenter with class names."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_image_level import small_ccgr, small_irnet

from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.data.shards import ShardDataset
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.bags import bags_of_masks
from insegan_ros.methods.image_level.box_refinement import RefinementConfig, refine_chosen
from insegan_ros.methods.image_level.ccgr_recipe import find_instances, train_ccgr
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, dense_crf
from insegan_ros.methods.image_level.irnet_recipe import train_irnet
from insegan_ros.methods.image_level.later_labels import along_edges, keep_unfound, union_of
from insegan_ros.methods.image_level.proposals import ProposalsConfig
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.methods.registry import load_segmenter


def test_the_union_of_masks_is_the_next_rounds_semantic_label():
    one, other = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    one[2:10, 2:10], other[6:16, 6:16] = True, True
    label = union_of((Mask.of(0, 0.9, one), Mask.of(1, 0.5, other)), (20, 30))
    assert (
        label.shape == (20, 30)
        and (label[one] == 1).all()
        and (label[other & ~one] == 2).all()
        and not label[~(one | other)].any()
        and not union_of((), (20, 30)).any()
    )


def test_what_was_not_found_keeps_its_label_of_the_round_before():
    found, before = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    found[:4, :4] = 1
    before[2:6, 2:6], before[6:, :], before[:2, 6:] = 2, 1, 3
    label = keep_unfound(found, before, np.array([True, True, False]))
    # The second class is in the picture and was not found; the third is not in it.
    assert (label[:4, :4] == 1).all() and (label[4:6, 4:6] == 2).all()
    assert not label[6:].any() and not label[:2, 6:].any()


def test_labels_are_laid_along_a_pictures_edges():
    picture, rough = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)
    picture[10:30, 10:30], rough[12:31, 9:29] = 200, 3
    label = along_edges(rough, partial(dense_crf, picture, config=DenseCrfConfig()))
    true = picture[..., 0] > 0
    assert set(np.unique(label)) == {0, 3}
    assert ((label == 3) != true).mean() < 0.01 < ((rough == 3) != true).mean()
    assert not along_edges(np.zeros_like(rough), lambda scores: pytest.fail('nothing')).any()


def test_a_box_without_a_pixel_is_no_object_of_the_next_round(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Mask R-CNN may be sure of a box and of none of its pixels, which leaves a mask whose box has
    no area; a round that was begun with one could not be refined."""
    run = ImageRun(small_ccgr(mixed / 'image', tmp_path / 'run'))
    run.claim_folder()
    kind, shape = int(run.images.present[0].argmax()), run.images.picture(0).shape[:2]
    pixels = np.zeros(shape, bool)
    pixels[10:30, 10:30] = True
    answers = Mask.of(kind, 0.9, np.zeros(shape, bool)), Mask.of(kind, 0.8, pixels)
    monkeypatch.setattr('insegan_ros.methods.image_level.ccgr_recipe.detect', lambda *_: answers)
    found = find_instances(run, torch.nn.Identity(), 1)
    assert found.masks[0] == answers[1:] and len(found) == len(run.images)
    bags, boxes = bags_of_masks(found.masks[0], np.zeros((0, 4), np.float32))
    chosen = [(bag.class_id, 1.0, boxes[bag.proposals[0]]) for bag in bags]
    maps = torch.rand(kind + 1, 24, 24)
    assert len(refine_chosen([maps], [chosen], RefinementConfig(steps=2))[0]) == 1


def test_ccgr_renews_its_labels_every_round(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    begun = small_irnet(mixed / 'image', tmp_path / 'irnet', stop_after='relations')
    train_irnet(begun)
    config = small_ccgr(mixed / 'image', tmp_path / 'run', begin=str(tmp_path / 'irnet'))
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
    pictures = {path.name for path in (tmp_path / 'run/semantic').iterdir()}
    assert {path.name for path in (tmp_path / 'run/semantic-2').iterdir()} == pictures
    scene = next(iter(ShardDataset(mixed / 'full')))
    segmenter = load_segmenter(str(folder), device='cpu')
    assert segmenter.segment(scene.frame, scene.workspace).classes is not None
    # More rounds go on where it ended.
    assert (
        train_ccgr(replace(config, rounds=3)) == folder
        and (tmp_path / 'run/labels-3.json').is_file()
    )
    trained = (folder / 'weights.safetensors').read_bytes()
    with pytest.raises(ConfigError, match='rounds is 2, and .* has had 3: expected 3 or more'):
        train_ccgr(config)
    assert (folder / 'weights.safetensors').read_bytes() == trained
    other = small_ccgr(mixed / 'image', tmp_path / 'other', begin=str(tmp_path / 'irnet'))
    for wrong, said in (
        (dict(scenes=6), 'whose scenes is 0 and here 6'),
        (dict(begin=str(tmp_path / 'nothing')), 'holds no classifier'),
        (dict(backbone=BackboneConfig('resnet18')), 'whose backbone is'),
        # What was made with it is taken over; it would be said of the checkpoint, and not be so.
        (
            dict(relations=ConfidentAreasConfig(foreground=0.4)),
            'whose relations.foreground is 0.3 and here 0.4',
        ),
        (
            dict(class_maps=replace(other.class_maps, steps=99)),
            'whose class_maps.steps is 12 and here 99',
        ),
        (dict(crf=replace(other.crf, steps=5)), 'whose crf.steps is 10 and here 5'),
        (
            dict(proposals=ProposalsConfig(network='cutpaste-nut')),
            'a checkpoint for offsets: expected a Mask R-CNN',
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
