"""IRNet from image-level labels to a segmenter with class names, each stage stopped at, gone on
from, and looked at; small and short."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_image_level import small_ccgr, small_irnet

from insegan_ros.data.image_set_reader import read_image_set
from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import MaskSet
from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import LoopConfig
from insegan_ros.errors import ConfigError, DatasetError, InputError
from insegan_ros.files import write_whole
from insegan_ros.frame import Frame
from insegan_ros.methods.image_level.ccgr_recipe import train_ccgr
from insegan_ros.methods.image_level.irnet_recipe import train_irnet
from insegan_ros.methods.image_level.proposals import Proposals
from insegan_ros.methods.image_level.pseudo_labels import read_class_maps, read_labels, unpack_masks
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.methods.registry import load_segmenter


def test_irnet_from_a_list_of_what_is_there_to_masks_with_names(mixed: Path, tmp_path: Path):
    """Every stage is stopped at and gone on from; the weights are those of a training that was not
    stopped, on a set that has masks as well."""
    config = small_irnet(mixed / 'image', tmp_path / 'run')
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
    straight = Checkpoint.load(train_irnet(small_irnet(mixed / 'full', tmp_path / 'straight')))
    for name, value in checkpoint.weights['mask_rcnn'].items():
        assert torch.equal(value, straight.weights['mask_rcnn'][name]), name

    segmenter = load_segmenter(str(folder), device='cpu')
    scene = next(iter(ShardDataset(mixed / 'full')))
    segmenter.min_score = 0.0
    found = segmenter.segment(scene.frame, scene.workspace)
    assert (
        segmenter.needs_colour
        and found.labels.shape == scene.frame.depth_m.shape
        and set(found.classes) <= {'nut', 'bolt'}
        and len(found) == len(np.unique(found.labels)) - 1
    )
    segmenter.kinds = ('nut',)
    assert set(segmenter.segment(scene.frame, scene.workspace).classes) <= {'nut'}
    # One object under two names, and one beside it that is partly covered.
    masks = torch.zeros(3, 1, 96, 96)
    masks[:2, :, 20:60, 20:60], masks[2, :, 20:60, 50:80] = 1, 1
    answers = {
        'masks': masks,
        'scores': torch.tensor([0.9, 0.8, 0.7]),
        'labels': torch.tensor([2, 1, 1]),
    }
    segmenter.network, segmenter.kinds = lambda _: [answers], ()
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
    folder = train_irnet(
        small_irnet(mixed / 'image', tmp_path / 'run', final='semantic', modality='both')
    )
    segmenter = load_segmenter(str(folder), device='cpu')
    scene = next(iter(ShardDataset(mixed / 'full')))
    found = segmenter.segment(scene.frame, scene.workspace)
    assert len(set(found.classes)) == len(found.classes) <= 2 and found.labels.max() == len(found)
    assert (tmp_path / 'run/semantic').is_dir()


def test_what_a_stage_made_and_is_cut_short_is_to_be_deleted(tmp_path: Path):
    maps, present = np.zeros((1, 8, 8), np.uint8), np.ones((1, 1), bool)
    pictures = ImageSet('', ('nut',), present, ('a',), 32, 3, lambda index: maps, None, '')
    buffer = io.BytesIO()
    np.savez_compressed(buffer, maps=maps, kinds=np.zeros(1, int))
    for path, whole, read in (
        ('cams/a.npz', buffer.getvalue(), lambda: read_class_maps(tmp_path, 'a')),
        ('cams/a.npz', buffer.getvalue(), lambda: Proposals.load(tmp_path / 'cams/a.npz')),
        ('labels/a.json', b'[{"kind": 0', lambda: unpack_masks(tmp_path / 'labels/a.json')),
        ('labels.json', b'{"images": []', lambda: MaskSet.load(tmp_path / 'labels.json')),
        ('semantic/a.png', b'', lambda: read_labels(tmp_path, pictures, 8)),
    ):
        write_whole(tmp_path / path, whole[: len(whole) - 9])
        with pytest.raises(DatasetError, match=f'{path} .*delete it, and it is made again'):
            read()


def test_the_rarest_classes_are_named_before_any_work(mixed: Path, tmp_path: Path, capsys):
    """A name that was misspelt once is one of them."""
    run = ImageRun(small_irnet(mixed / 'image', tmp_path / 'run'))
    count, name = min(zip(run.images.present.sum(0), run.images.classes))
    assert f'classes; the rarest: {name} in {count}, ' in capsys.readouterr().out


def test_what_cannot_be_learnt_from_is_refused_before_any_work(mixed: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match='every picture shows|no picture shows'):
        train_irnet(small_irnet(mixed / 'image', tmp_path / 'one', scenes=1))
    assert not (tmp_path / 'one').exists()
    for wrong in ({'size': 100}, {'colours': 1.0}, {'scenes': -1}, {'loop': LoopConfig(devices=2)}):
        with pytest.raises(ConfigError):
            small_irnet(mixed / 'image', tmp_path, **wrong)
    with pytest.raises(ConfigError, match='rounds is 0'):
        small_ccgr(mixed / 'image', tmp_path, rounds=0)


@pytest.mark.parametrize('small, train', [(small_irnet, train_irnet), (small_ccgr, train_ccgr)])
def test_more_classes_than_a_byte_counts_are_refused(small, train, tmp_path: Path):
    """The 300th class was taught as the 44th, and the 255th was ignored."""
    data = tmp_path / 'articles'
    data.mkdir()
    names = [f'article-{number:03d}' for number in range(255)]
    rows = []
    for number, shown in enumerate((names[:128], names[128:])):
        picture = np.full((64, 64, 3), 60 * number, np.uint8)
        assert cv2.imwrite(str(data / f'{number}.png'), picture)
        rows.append(','.join([f'{number}.png', *shown]))
    (data / 'labels.csv').write_text('\n'.join(rows))
    with pytest.raises(DatasetError, match='has 255 classes: expected 254 or fewer'):
        train(small(data, tmp_path / 'run', stop_after='cam'))
    assert not (tmp_path / 'run').exists()
