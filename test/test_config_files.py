"""What is shipped to train with: every file is a configuration that says only what differs from the
defaults, and every shipped checkpoint was made by the file of its recipe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from insegan_ros.benchmarks.classes_rows import ClassesBudget
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.config import configure, shipped_yaml
from insegan_ros.errors import ConfigError
from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig
from insegan_ros.methods.registry import METHODS
from insegan_ros.texts import read_mapping

ROOT = Path(__file__).resolve().parents[1]
FILES = {path.stem: path for path in sorted((ROOT / 'config/train').glob('*.yaml'))}
CHECKPOINTS = sorted(path for path in (ROOT / 'checkpoints').iterdir() if path.is_dir())
# The recipe that a file is for, where its name is not the recipe's, or the recipe's with -paper.
RECIPES = {
    'recording': 'cutpaste',
    'insegan-generator': 'insegan',
    'insegan-generator-cpu': 'insegan',
    'insegan-generator-views': 'insegan',
    'piles-base': 'piles',
}
# The file that a shipped checkpoint was made by, where it is not that of its method's name.
GENERATORS = [path.name for path in CHECKPOINTS if path.name.startswith('insegan-generator-')]
MADE_BY = {
    **dict.fromkeys(GENERATORS, 'insegan-generator-views'),
    'insegan-generator-nut': 'insegan-generator-cpu',
    'piles-base': 'piles-base',
}
# Where a training lies, what it begins with and how it is run: a user's own.
OWN = ('data', 'image', 'out', 'begin', 'loop.', 'piles.part', 'piles.mesh', 'piles.workers')
# What the shipped ccgr-mixed was taught by: an AffinityNet at an eighth of the picture.
EARLIER = 'of an earlier version of what made the labels'
AFFINITY_NET = ('batch', 'width', 'network.width', 'background', 'beta', 'walk', 'rate', 'radius')
# Fields that a checkpoint's configuration holds and the recipe's has not, or the other way round,
# and why. Nothing else may differ.
YOUNGER = 'younger than the checkpoint; its default is what was then'
DIFFERENCES: dict[str, dict[str, str]] = {
    'cutpaste': {
        'offsets.network.channels': YOUNGER,
        'offsets.network.cell': YOUNGER,
        'offsets.sensor': YOUNGER,
        'size': YOUNGER,
        'workspace': YOUNGER,
    },
    'insegan': {
        'insegan.gan.noise': YOUNGER,
        'insegan.gan.rounds': YOUNGER,
        'insegan.gan.round_steps': YOUNGER,
        'insegan.gan.warm_up': YOUNGER,
        'insegan.candidates': YOUNGER,
        'insegan.encoder.joint': YOUNGER,
        'offsets.network.cell': YOUNGER,
        'offsets.sensor': YOUNGER,
    },
    'hoc': {
        'zoom': 'found in the picture: from its px to those of the patches',
        'flatten': YOUNGER,
        'generator.ground': YOUNGER,
        'generator.shadow': YOUNGER,
        'generator.disk_masks': YOUNGER,
    },
    'piles': {},
    'layered-gan': {},
    'independence-foreground': {
        'unet.network.width': "the student's, by the name that inference knows it by",
        'unet.network.levels': "the student's, by the name that inference knows it by",
    },
    'irnet': {
        'classes': 'found in the data',
        'frozen_norm': 'found in the training: whether it began with weights of ImageNet',
    },
    'ccgr': {
        'classes': 'found in the data',
        'frozen_norm': 'found in the training: whether it began with weights of ImageNet',
        'refinement.axes': YOUNGER,
        'relabel': YOUNGER,
        **{f'affinity_net.{name}': EARLIER for name in AFFINITY_NET},
    },
}


def recipe_of(name: str) -> str:
    """The recipe that a file is for."""
    return RECIPES.get(name, name.removesuffix('-paper'))


def configuration(name: str) -> Any:
    """A file laid over the defaults of its recipe."""
    return configure(METHODS[recipe_of(name)].config_class, read_mapping(FILES[name], ConfigError))


def flat(values: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested mappings as one, by names as in `offsets.network.width`; tuples as YAML's lists."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            out |= flat(value, f'{prefix}{key}.')
        else:
            out[prefix + key] = list(value) if isinstance(value, tuple) else value
    return out


@pytest.mark.parametrize('name', FILES)
def test_a_file_says_only_what_differs(name):
    defaults = flat(asdict(METHODS[recipe_of(name)].config_class()))
    said = flat(read_mapping(FILES[name], ConfigError))
    assert said and flat(asdict(configuration(name))) == {**defaults, **said}
    needless = {key: value for key, value in said.items() if defaults[key] == value}
    assert not needless, 'said as it is by default'


def test_every_recipe_that_ships_a_checkpoint_has_its_file():
    assert {recipe_of(name) for name in FILES} <= {m for m in METHODS if METHODS[m].train}
    assert {MADE_BY.get(f.name, Checkpoint.load(f).method) for f in CHECKPOINTS} <= set(FILES)
    assert set(DIFFERENCES) == {Checkpoint.load(folder).method for folder in CHECKPOINTS}


def different_of(folder: Path) -> dict[str, tuple[Any, Any]]:
    """What a checkpoint's configuration and its file's do not say alike: (stored, said)."""
    saved = Checkpoint.load(folder)
    stored = flat(saved.config)
    said = flat(asdict(configuration(MADE_BY.get(folder.name, saved.method))))
    nowhere = object()
    return {
        key: (stored.get(key), said.get(key))
        for key in {*stored, *said}
        if stored.get(key, nowhere) != said.get(key, nowhere) and not key.startswith(OWN)
    }


@pytest.mark.parametrize('method', DIFFERENCES)
def test_what_may_differ_does_so_in_a_shipped_checkpoint(method):
    """Checkpoints of one method may be of several versions."""
    folders = [folder for folder in CHECKPOINTS if Checkpoint.load(folder).method == method]
    assert {key for folder in folders for key in different_of(folder)} == set(DIFFERENCES[method])


@pytest.mark.parametrize('folder', CHECKPOINTS, ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_was_made_by_its_file(folder):
    """Both ways: nothing is stored that the file and the defaults do not say, and they say nothing
    that is not stored."""
    saved, different = Checkpoint.load(folder), different_of(folder)
    assert set(different) <= set(DIFFERENCES[saved.method]), different
    stored = flat(saved.config)
    said = flat(asdict(configuration(MADE_BY.get(folder.name, saved.method))))
    for key in different:
        if DIFFERENCES[saved.method][key] == EARLIER:
            continue
        assert (key in said) != (key in stored), f'{key} is another value, not a younger field'


def test_the_insegan_paper_is_followed():
    """Averaged features, one volume, Eq. 3 on the whole picture, IPOT on z; of ours noise and a
    slow start, without which the discriminator wins, and an average of weights."""
    config = configuration('insegan-paper').insegan
    generator, gan, encoder = config.generator, config.gan, config.encoder
    assert (config.instances, generator.latent, generator.width) == (5, 128, 64)
    assert (generator.composition, generator.placement, generator.shape) == (
        'average',
        'volume',
        '3d',
    )
    assert (gan.loss, gan.scope, gan.rate, gan.batch, gan.discriminator_width) == (
        'cross_entropy',
        'image',
        2e-4,
        128,
        64,
    )
    assert gan.candidates == config.candidates == 1 and gan.rounds == 0
    assert (gan.compactness, gan.equal_area, gan.alone) == (0, 0, 0)
    assert (gan.noise, gan.warm_up, gan.average) == (0.3, 300, 0.99)
    assert (encoder.align_in, encoder.alignment, encoder.width, encoder.weight_real) == (
        'latent',
        'ipot',
        64,
        0,
    )
    assert configuration('insegan-paper').offsets.steps == 0, 'it ends in the pose encoder'


def test_the_layered_gan_paper_is_followed():
    """Appendix C and Table C.1, birds."""
    config = configuration('layered-gan-paper')
    assert (
        config.rounds,
        config.gan.steps * config.gan.batch,
        config.gan.rate,
        config.gan.betas,
        config.unet.rate,
    ) == (5, 2_000_000, 2e-4, (0.5, 0.999), 1e-3)
    perturbation, generator = config.perturbation, config.generator
    assert (perturbation.scale, 128 * perturbation.shift, perturbation.rotation_deg) == (
        (-0.2, 0.0),
        16,
        15,
    )
    assert (
        generator.codes,
        generator.group,
        generator.z,
        config.gan.gamma_mi,
        config.gan.gamma_bg,
    ) == (200, 10, 100, 1, 2)


def test_the_independence_paper_is_followed():
    config = configuration('independence-foreground-paper')
    assert (config.size, config.gan.rate_g, config.gan.rate_d, config.view) == (
        128,
        4e-4,
        2e-4,
        'box',
    )
    assert config.gan.betas == (0.5, 0.999)


def test_the_irnet_paper_is_followed():
    config = configuration('irnet-paper')
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


def test_lengths_of_irnet_are_those_of_its_maps():
    """The paper's are of pictures of 512 px: on smaller ones a centroid takes in whole parts, and
    what it takes in is one."""
    for config in (configuration('irnet'), ClassesBudget.read('short').config('irnet')):
        share, lengths = config.size / 512, config.labels
        assert config.irnet.radius == pytest.approx(10 * share, abs=0.5)
        assert lengths.radius == pytest.approx(5 * share, abs=0.5)
        assert lengths.centroid == pytest.approx(2.5 * share, abs=0.05)
        assert lengths.walk == 256


def test_the_ccgr_paper_is_followed():
    config = configuration('ccgr-paper')
    assert (
        config.boxes.steps,
        config.semantic.steps * config.semantic.batch,
        config.mask_rcnn.steps,
        config.mask_rcnn.batch,
    ) == (55_000, 80_000, 24_000, 16)
    assert config.refinement.steps == 200 and 3 <= config.rounds <= 5


def test_the_hoc_paper_is_followed():
    """Application 2, as far as it gives sizes."""
    config = configuration('hoc-paper')
    generator = config.generator
    assert (generator.size, generator.disk, config.gan.binary) == (64, 0.31, 0.0)


def test_a_name_that_is_no_field_and_a_value_that_cannot_be_are_named(tmp_path):
    with pytest.raises(ConfigError, match='TrainCutPasteConfig: .*ofsets'):
        configure(TrainCutPasteConfig, {'ofsets': {'steps': 3}})
    with pytest.raises(ConfigError, match='TrainCutPasteConfig: .*offsets.steps'):
        configure(TrainCutPasteConfig, {'offsets': {'steps': 'many'}})
    (tmp_path / 'list.yaml').write_text('- 1\n')
    with pytest.raises(ConfigError, match='list.yaml holds list: expected names with values'):
        read_mapping(tmp_path / 'list.yaml', ConfigError)
    (tmp_path / 'broken.yaml').write_text('a: [')
    for name in ('broken', 'nowhere'):
        with pytest.raises(ConfigError, match=f'{name}.yaml cannot be read'):
            read_mapping(tmp_path / f'{name}.yaml', ConfigError)
    with pytest.raises(ConfigError, match='config/train/nowhere.yaml is missing'):
        shipped_yaml('train/nowhere.yaml')
    assert shipped_yaml('train/cutpaste.yaml') == read_mapping(FILES['cutpaste'], ConfigError)


def test_later_overlays_go_before_earlier_ones():
    config = configure(
        TrainCutPasteConfig,
        {'offsets': {'steps': 10, 'batch': 2}, 'seed': 1},
        {'offsets': {'steps': 20}},
    )
    assert (config.offsets.steps, config.offsets.batch, config.seed) == (20, 2, 1)
