"""What is shipped: cards that are whole, weights that load, the size that was promised, the
configuration that made them."""

import json
from pathlib import Path

import pytest
import yaml

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import score
from insegan_ros.tasks.card import shipped_name
from insegan_sim.scenes import bin_setup, scene_stream

CHECKPOINTS = sorted((Path(__file__).resolve().parents[1] / 'checkpoints').glob('insegan-*'))


def assert_same(given: dict, recorded: dict) -> None:
    """What a configuration's file says is what was recorded."""
    for key, value in given.items():
        if isinstance(value, dict):
            assert_same(value, recorded[key])
        else:
            assert recorded[key] == value, key


def test_the_shipped_generator_renders_nuts_and_its_pose_encoder_runs():
    card = json.loads((CHECKPOINTS[0].parent / 'insegan-generator-nut/card.json').read_text())
    metrics = card['metrics']
    assert (
        card['steps']['gan']
        and card['steps']['encoder']
        and card['taught_by'].startswith('the generator')
    )
    assert (
        metrics['insegan_honest_miou']
        < metrics['insegan-refined_honest_miou']
        < metrics['honest_miou']
    )
    scene = next(scene_stream(bin_setup('nut', seed=77)))
    honest = [
        score(
            scene.labelled(),
            load_segmenter('insegan-generator-nut', segmenter, scene.workspace).segment(
                scene.frame
            ),
        ).honest_miou
        for segmenter in ('insegan', 'insegan-refined', '')
    ]
    assert honest[0] > 0.3 and honest[2] > 0.7


def test_the_demos_parts_are_shipped():
    assert {'insegan-nut', 'insegan-bolt', 'insegan-cylinder', 'insegan-cone'} <= {
        folder.name for folder in CHECKPOINTS
    }


@pytest.mark.parametrize('folder', CHECKPOINTS, ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_has_a_whole_card(folder):
    card = json.loads((folder / 'card.json').read_text())
    assert {
        'method',
        'part',
        'data',
        'taught_by',
        'seed',
        'steps',
        'hardware',
        'minutes',
        'metrics',
        'command',
    } <= card.keys()
    assert {'honest_miou', 'paper_miou', 'kmeans_honest_miou', 'kmeans_paper_miou'} <= card[
        'metrics'
    ].keys()
    assert (
        card['metrics']['scenes'] == 100
        and card['metrics']['honest_miou'] > card['metrics']['kmeans_honest_miou']
    )
    assert (folder / 'weights.safetensors').stat().st_size < 5e6 and (
        folder / 'scenes.png'
    ).stat().st_size > 1000
    assert (folder / 'singles.png').exists() == bool(card['steps']['gan'])
    text = (folder / 'README.md').read_text()
    assert (
        f'{card["metrics"]["honest_miou"]:.3f}' in text
        and card['command'] in text
        and card['taught_by'] in text
    )
    checkpoint = Checkpoint.load(folder)
    assert (
        checkpoint.part == card['part']
        and folder.name == shipped_name(checkpoint)
        and checkpoint.training['seed'] == card['seed']
    )
    # A path of the machine that trained it helps nobody.
    assert (
        not Path(checkpoint.config['data']).is_absolute()
        and not Path(checkpoint.config['out']).is_absolute()
    )


@pytest.mark.parametrize('folder', CHECKPOINTS, ids=lambda folder: folder.name)
def test_the_configuration_that_made_it_is_in_config(root, folder):
    recorded = Checkpoint.load(folder).config
    name = 'insegan-generator-cpu' if folder.name.startswith('insegan-generator') else 'insegan'
    given = yaml.safe_load((root / f'config/train/{name}.yaml').read_text())
    assert_same(given, recorded)


@pytest.mark.parametrize(
    'name', ['insegan', 'insegan-generator', 'insegan-generator-cpu', 'insegan-paper']
)
def test_every_training_file_is_a_configuration(root, name):
    from jsonargparse import ArgumentParser

    from insegan_ros.benchmarks.insta10 import PAPER_FORM
    from insegan_ros.methods.recipes import TrainInseganConfig

    parser = ArgumentParser()
    parser.add_class_arguments(TrainInseganConfig, 'it')
    text = yaml.safe_dump({'it': yaml.safe_load((root / f'config/train/{name}.yaml').read_text())})
    config = parser.instantiate(parser.parse_string(text)).it
    assert config.insegan.instances == 5
    if name == 'insegan-paper':
        for key, value in PAPER_FORM.items():
            found = config
            for field in key.split('.'):
                found = getattr(found, field)
            assert found == value, key


@pytest.mark.parametrize(
    'name',
    [
        'layered-gan',
        'layered-gan-paper',
        'independence-foreground',
        'independence-foreground-paper',
    ],
)
def test_every_foreground_file_is_a_configuration(root, name):
    from jsonargparse import ArgumentParser

    from insegan_ros.methods.recipes import RECIPES

    parser = ArgumentParser()
    parser.add_class_arguments(RECIPES[name.removesuffix('-paper')][0], 'it')
    text = yaml.safe_dump({'it': yaml.safe_load((root / f'config/train/{name}.yaml').read_text())})
    config = parser.instantiate(parser.parse_string(text)).it
    assert config.gan.betas == (0.5, 0.999)
    if name == 'layered-gan-paper':
        # Appendix C and Table C.1, birds.
        assert (
            config.rounds,
            config.gan.steps * config.gan.batch,
            config.gan.rate,
            config.unet.rate,
        ) == (5, 2_000_000, 2e-4, 1e-3)
        assert (
            config.perturbation.scale,
            128 * config.perturbation.shift,
            config.perturbation.rotation_deg,
        ) == ((-0.2, 0.0), 16, 15)
        assert (
            config.generator.codes,
            config.generator.group,
            config.generator.z,
            config.gan.gamma_mi,
            config.gan.gamma_bg,
        ) == (200, 10, 100, 1, 2)
    if name == 'independence-foreground-paper':
        assert (config.size, config.gan.rate_g, config.gan.rate_d, config.view) == (
            128,
            4e-4,
            2e-4,
            'box',
        )


FOREGROUND = sorted(
    folder
    for name in ('layered-gan-*', 'independence-foreground-*')
    for folder in (Path(__file__).resolve().parents[1] / 'checkpoints').glob(name)
)


def test_both_foreground_methods_are_shipped():
    assert [folder.name for folder in FOREGROUND] == [
        'independence-foreground-tote',
        'layered-gan-tote',
    ]


@pytest.mark.parametrize('folder', FOREGROUND, ids=lambda folder: folder.name)
def test_a_shipped_foreground_method_has_a_whole_card(root, folder):
    card, checkpoint = json.loads((folder / 'card.json').read_text()), Checkpoint.load(folder)
    assert {
        'method',
        'part',
        'data',
        'seed',
        'steps',
        'hardware',
        'minutes',
        'metrics',
        'command',
    } <= card.keys()
    assert {'iou', 'miou', 'iou_grabcut', 'iou_kmeans'} <= card['metrics'].keys() and card[
        'metrics'
    ]['scenes'] >= 290
    assert (folder / 'weights.safetensors').stat().st_size < 5e6 and (
        folder / 'scenes.png'
    ).stat().st_size > 1000
    assert f'{card["metrics"]["iou"]:.3f}' in (folder / 'README.md').read_text()
    assert (
        folder.name
        == f'{card["method"]}-{card["part"]}'
        == f'{checkpoint.method}-{checkpoint.part}'
    )
    assert (
        not Path(checkpoint.config['data']).is_absolute()
        and not Path(checkpoint.config['out']).is_absolute()
    )
    given = yaml.safe_load((root / f'config/train/{card["method"]}.yaml').read_text())
    assert_same(given, checkpoint.config)


def test_the_shipped_heap_learner_has_a_whole_card_and_divides_a_heap(root):
    folder = root / 'checkpoints/hoc-nut'
    card, checkpoint = json.loads((folder / 'card.json').read_text()), Checkpoint.load(folder)
    assert {
        'method',
        'part',
        'data',
        'seed',
        'steps',
        'hardware',
        'minutes',
        'metrics',
        'command',
        'look',
    } <= card.keys()
    assert {
        'ap50',
        'honest_miou',
        'count_error',
        'ap50_watershed',
        'ap50_felzenszwalb',
        'count_error_watershed',
        'count_error_felzenszwalb',
        'single',
    } <= card['metrics'].keys()
    assert (folder / 'weights.safetensors').stat().st_size < 5e6 and card['metrics']['scenes'] >= 8
    assert f'{card["metrics"]["ap50"]:.3f}' in (folder / 'README.md').read_text()
    assert (
        not Path(checkpoint.config['image']).is_absolute()
        and not Path(checkpoint.config['out']).is_absolute()
    )
    assert_same(yaml.safe_load((root / 'config/train/hoc.yaml').read_text()), checkpoint.config)


@pytest.mark.parametrize('method', ['irnet', 'ccgr'])
def test_shipped_masks_with_classes_have_a_whole_card_and_name_parts(root, method):
    from itertools import islice

    from insegan_ros.methods.registry import load_segmenter
    from insegan_sim.generate import SimulateConfig
    from insegan_sim.scenes import scene_stream

    folder = root / f'checkpoints/{method}-mixed'
    card, checkpoint = json.loads((folder / 'card.json').read_text()), Checkpoint.load(folder)
    assert {
        'method',
        'part',
        'classes',
        'data',
        'seed',
        'steps',
        'hardware',
        'minutes',
        'metrics',
        'command',
    } <= card.keys()
    assert {
        'ap25',
        'ap50',
        'ap75',
        'box_ap50',
        'pseudo_ap50',
        'ap50_prm',
        'ap50_supervised',
    } <= card['metrics'].keys() and card['metrics']['pictures'] >= 200
    assert (
        folder / 'weights.safetensors'
    ).stat().st_size < 10e6 and f'{card["metrics"]["ap50"]:.3f}' in (
        folder / 'README.md'
    ).read_text()
    assert checkpoint.part == 'mixed' and not any(
        Path(checkpoint.config[name]).is_absolute() for name in ('data', 'out')
    )
    assert_same(
        yaml.safe_load((root / f'config/train/{method}.yaml').read_text()), checkpoint.config
    )
    # A bin of another seed, at another camera's size: most parts are found and named.
    setup = SimulateConfig(
        part='nut,bolt,cone', instances='4', size='320x240', fill=0.4, colour=True, seed=91
    )
    segmenter, right, there = load_segmenter(str(folder), device='cpu'), 0, 0
    for scene in islice(scene_stream(setup.setup(setup.parts())), 4):
        segmenter.workspace = scene.workspace
        found, truth = segmenter.segment(scene.frame), scene.labelled()
        masks = found.masks()
        for name, mask in zip(truth.classes, truth.masks()):
            there += 1
            right += any(
                (own & mask).sum() > 0.5 * (own | mask).sum() and name == kind
                for own, kind in zip(masks, found.classes)
            )
    assert there == 16 and right >= 8


@pytest.mark.parametrize('name', ['irnet', 'irnet-paper', 'ccgr', 'ccgr-paper'])
def test_every_file_of_classes_is_a_configuration(root, name):
    from jsonargparse import ArgumentParser

    from insegan_ros.methods.recipes import RECIPES

    parser = ArgumentParser()
    parser.add_class_arguments(RECIPES[name.removesuffix('-paper')][0], 'it')
    text = yaml.safe_dump({'it': yaml.safe_load((root / f'config/train/{name}.yaml').read_text())})
    config = parser.instantiate(parser.parse_string(text)).it
    if name == 'irnet-paper':
        assert (
            config.irnet.network.width,
            config.irnet.radius,
            config.irnet.batch,
            config.labels.radius,
            config.labels.beta,
            config.labels.walk,
        ) == (256, 10, 32, 5, 10, 256)
        assert (
            config.relations.foreground,
            config.relations.background,
            config.labels.background,
            config.labels.centroid,
        ) == (0.3, 0.05, 0.25, 2.5)
        assert (
            10_582 * 3 // 32 <= config.irnet.steps <= 10_582 * 3 // 32 + 1
            and config.class_maps.pooling == 'average'
        )
    if name == 'ccgr-paper':
        assert (
            config.boxes.steps,
            config.semantic.steps * config.semantic.batch,
            config.mask_rcnn.steps,
            config.mask_rcnn.batch,
        ) == (55_000, 80_000, 24_000, 16)
        assert config.refinement.steps == 200 and 3 <= config.rounds <= 5
