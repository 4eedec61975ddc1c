"""What earlier versions called otherwise still works, and says so in one line: models, options,
keys and values of configurations, checkpoints, and folders of trainings."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from shell import command, shell
from small_trainings import DENSE, disks, heights_file, small_cutpaste, small_insegan

from insegan_ros.engine.checkpoint import WITHOUT_CHECKSUM, Checkpoint
from insegan_ros.engine.config import configure
from insegan_ros.errors import InseganWarning
from insegan_ros.frame import Frame
from insegan_ros.methods.cutpaste.recipe import TrainCutPasteConfig, train_cutpaste
from insegan_ros.methods.insegan.recipe import TrainInseganConfig, train_insegan
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.renamed import MODELS, modern_config, modern_option

GOES = 'the old name will be removed in the next release'


def old_names(config: dict) -> dict:
    """A configuration of today by the names of earlier versions."""
    out = dict(config)
    dense = out.pop('offsets')
    for new, old in (
        ('self_training', 'rounds'),
        ('self_training_steps', 'round_steps'),
        ('unoccluded', 'tops'),
    ):
        dense[old] = dense.pop(new)
    out['displacement'] = dense
    return out


def old_insegan(config: TrainInseganConfig) -> dict:
    """What `train insegan` noted."""
    out = {**old_names(asdict(config)), 'size': 64}
    if out['factory'] == 'isolated':
        out['factory'] = 'cutouts'
    return out


def old_cutpaste(config: TrainCutPasteConfig) -> dict:
    """What `train insegan` noted where it had no generator, which is cut-paste learning today."""
    out = old_names(asdict(config))
    network = asdict(TrainInseganConfig())['insegan']
    network['gan']['steps'] = network['encoder']['steps'] = 0
    network['instances'] = out.pop('instances')
    return {**out, 'insegan': network, 'factory': 'cutouts', 'generator': ''}


def made_old(folder: Path, note: dict) -> None:
    """Give a training's folder the names of earlier versions: its note, its states, its
    checkpoint's head and networks."""
    fingerprint = yaml.safe_load((folder / 'config.yaml').read_text())['fingerprint']
    plain = json.loads(json.dumps({**note, 'fingerprint': fingerprint}))
    (folder / 'config.yaml').write_text(yaml.safe_dump(plain, sort_keys=False))
    for state in folder.glob('offsets*.state.safetensors'):
        state.rename(folder / state.name.replace('offsets', 'displacement'))
    old_checkpoint(folder / 'checkpoint', note)


def old_checkpoint(folder: Path, note: dict) -> None:
    """Write a checkpoint again as earlier versions did."""
    saved = Checkpoint.load(folder)
    steps = {
        name.replace('offsets', 'displacement'): count
        for name, count in saved.training['steps'].items()
    }
    head = {
        'method': 'insegan',
        'segmenter': saved.segmenter.replace('offsets', 'displacement'),
        'part': saved.part,
        'scales': asdict(saved.scales),
        'config': note,
        'training': {**saved.training, 'steps': {'gan': 0, 'encoder': 0, **steps}},
    }
    tensors = {
        f'{network.replace("offsets", "displacement")}.{name}': value.half()
        if value.is_floating_point()
        else value
        for network, state in saved.weights.items()
        for name, value in state.items()
    }
    path = folder / 'weights.safetensors'
    save_file(tensors, path, {'format': WITHOUT_CHECKSUM, 'head': json.dumps(head)})


# Models.


def test_a_models_old_name_finds_it_and_says_so(root):
    assert len(MODELS) == 10 and all(
        (root / 'checkpoints' / new).is_dir() for new in MODELS.values()
    )
    for old, new in MODELS.items():
        with pytest.warns(
            InseganWarning, match=f'the model {old} is now called {new}; {GOES}'
        ) as said:
            assert find_checkpoint(old) == root / 'checkpoints' / new
        assert len(said) == 1
    with pytest.warns(InseganWarning, match='is now called cutpaste-nut'):
        assert load_segmenter(str(root / 'checkpoints/insegan-nut')).part == 'nut'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        # It holds a generator: it is called insegan still.
        assert find_checkpoint('insegan-generator-nut').name == 'insegan-generator-nut'
        assert find_checkpoint('cutpaste-nut').name == 'cutpaste-nut'


@pytest.mark.slow
def test_the_command_says_it_in_one_line(nut_data, tmp_path):
    given = ('--data', nut_data, '--limit', 1)
    done = shell('evaluate', '--model', 'insegan-nut', '--segmenter', 'displacement', *given)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if 'insegan: ' in line]
    assert lines == [f'insegan: the model insegan-nut is now called cutpaste-nut; {GOES}']


def test_the_old_way_to_run_a_checkpoint_is_the_dense_network(camera):
    frame = Frame(np.full((120, 160), 0.5, np.float32), camera)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        segmenter = load_segmenter('cutpaste-nut', 'displacement')
    assert type(segmenter).__name__ == 'OffsetSegmenter' and len(segmenter.segment(frame)) == 0


# Options.


@pytest.mark.parametrize(
    'old, new',
    [
        ('--displacement.steps', '--offsets.steps'),
        ('--displacement.steps=0', '--offsets.steps=0'),
        ('--displacement.rounds', '--offsets.self_training'),
        ('--displacement.round_steps=3', '--offsets.self_training_steps=3'),
        ('--displacement.tops=false', '--offsets.unoccluded=false'),
        ('--displacement.network.width=8', '--offsets.network.width=8'),
        ('--look=depth', '--modality=depth'),
    ],
)
def test_an_option_of_training_is_known_by_its_old_name(old, new):
    said = f'the option {old.partition("=")[0]} is now called {new.partition("=")[0]}; {GOES}'
    with pytest.warns(InseganWarning, match=said) as all_said:
        assert modern_option(old) == new
    assert len(all_said) == 1


@pytest.mark.parametrize(
    'option', ['--offsets.steps=0', '--insegan.gan.rounds=2', '--rounds=3', 'displacement', '-h']
)
def test_options_of_today_stay_as_they_are(option):
    """Rounds of the generator, of CCGR and of the layered GAN have kept their name."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert modern_option(option) == option


def train(words: str, tmp_path: Path, *more: object) -> Path:
    """A training of two steps by the command, with options in old or new words."""
    data = heights_file(tmp_path / 'disks.h5', disks(20))
    small = '--instances=3 --loop.device=cpu --offsets.network.width=8 --offsets.network.levels=2'
    out = tmp_path / 'run'
    words = f'{small} {words}'.split()
    assert command('train', 'cutpaste', f'--data={data}', f'--out={out}', *words, *more) == 0
    return out


def test_a_training_takes_old_options_from_the_command_line(tmp_path):
    with pytest.warns(InseganWarning) as said:
        out = train(
            '--displacement.steps 2 --displacement.batch=2 --displacement.rounds=0', tmp_path
        )
    assert [str(one.message).split(';')[0] for one in said] == [
        'the option --displacement.steps is now called --offsets.steps',
        'the option --displacement.batch is now called --offsets.batch',
        'the option --displacement.rounds is now called --offsets.self_training',
    ]
    config = Checkpoint.load(out / 'checkpoint').config['offsets']
    assert (config['steps'], config['batch'], config['self_training']) == (2, 2, 0)


def test_an_old_value_of_an_option_is_known_too(tmp_path):
    data = heights_file(tmp_path / 'few.h5', disks(6))
    for value in ('cutouts', 'isolated'):
        # Refused for what it means, too few parts that lie alone, not for its name.
        words = ('train', 'insegan', '--data', data, '--out', tmp_path / 'run', '--factory', value)
        assert command(*words, '--insegan.instances=3', '--loop.device=cpu') == 2


# Configuration files.


def test_keys_and_values_of_old_files_become_todays():
    old = {
        'factory': 'cutouts',
        'displacement': {'steps': 5, 'rounds': 2, 'round_steps': 7, 'tops': False},
        'insegan': {'gan': {'rounds': 1, 'round_steps': 9}},
        'look': 'both',
        'proposals': {'least': 0.01, 'most': 0.4},
    }
    config = modern_config(old)
    assert config == {
        'factory': 'isolated',
        'offsets': {'steps': 5, 'self_training': 2, 'self_training_steps': 7, 'unoccluded': False},
        'insegan': {'gan': {'rounds': 1, 'round_steps': 9}},
        'modality': 'both',
        'proposals': {'min_area': 0.01, 'max_area': 0.4},
    }
    for of_others in ('modality', 'proposals'):
        del config[of_others]
    del old['look'], old['proposals']
    made = configure(TrainInseganConfig, old)
    assert made == configure(TrainInseganConfig, config) and made.offsets.self_training == 2


def test_a_training_takes_an_old_file_and_says_so_in_one_line(tmp_path):
    (tmp_path / 'old.yaml').write_text(
        'displacement:\n  steps: 2\n  batch: 2\n  rounds: 0\nloop:\n  device: cpu\n'
    )
    with pytest.warns(InseganWarning, match=GOES) as said:
        out = train('', tmp_path, '--config', tmp_path / 'old.yaml')
    assert len(said) == 1 and 'displacement' in str(said[0].message)
    config = Checkpoint.load(out / 'checkpoint').config['offsets']
    assert (config['steps'], config['batch'], config['self_training']) == (2, 2, 0)


# Checkpoints and folders of trainings.


def test_an_old_checkpoint_without_a_generator_is_one_of_cut_paste_learning(small_checkpoint, root):
    folder = root / 'checkpoints/cutpaste-nut'
    saved = Checkpoint.load(folder)
    assert (saved.method, saved.segmenter) == ('cutpaste', 'offsets')
    assert {'gan', 'encoder'}.isdisjoint(saved.training['steps'])
    assert 'insegan' not in saved.config and saved.config['instances'] == 5


@pytest.fixture(scope='module')
def old_run(tmp_path_factory: pytest.TempPathFactory) -> TrainCutPasteConfig:
    """A training of cut-paste learning, in a folder as earlier versions left it."""
    folder = tmp_path_factory.mktemp('old')
    data = heights_file(folder / 'disks.h5', disks(20))
    config = small_cutpaste(data, folder / 'run')
    train_cutpaste(config)
    made_old(folder / 'run', old_cutpaste(config))
    return config


def test_an_old_checkpoint_is_read_by_todays_names(old_run):
    loaded = Checkpoint.load(Path(old_run.out) / 'checkpoint')
    assert (loaded.method, loaded.segmenter, set(loaded.weights)) == (
        'cutpaste',
        'offsets',
        {'offsets'},
    )
    assert loaded.config == json.loads(json.dumps(asdict(old_run)))
    assert loaded.training['steps'] == {'offsets': 4}
    assert load_segmenter(old_run.out).scales == loaded.scales


def test_an_old_folder_of_cut_paste_learning_is_gone_on_with(old_run, tmp_path):
    out = tmp_path / 'run'
    shutil.copytree(old_run.out, out)
    before = load_file(out / 'checkpoint/weights.safetensors')
    folder = train_cutpaste(replace(old_run, out=str(out)))
    after = load_file(folder / 'weights.safetensors')
    assert not (out / 'offsets.state.safetensors').exists(), 'nothing was left to do'
    for name, value in after.items():
        assert torch.equal(value, before[name.replace('offsets', 'displacement')]), name


def test_an_old_folder_of_a_generator_is_gone_on_with(nut_data, insegan_run, tmp_path):
    out = tmp_path / 'run'
    shutil.copytree(insegan_run, out)
    config = small_insegan(nut_data, out)
    encoder = replace(config.insegan.encoder, weight_real=1.0)
    config = replace(config, insegan=replace(config.insegan, encoder=encoder), offsets=DENSE)
    made_old(out, old_insegan(config))
    loaded = Checkpoint.load(out / 'checkpoint')
    assert (loaded.method, loaded.segmenter) == ('insegan', 'offsets')
    assert loaded.config == json.loads(json.dumps(asdict(config)))
    folder = train_insegan(config)
    after, before = (
        load_file(some / 'weights.safetensors') for some in (folder, insegan_run / 'checkpoint')
    )
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert not (out / 'offsets.state.safetensors').exists(), 'nothing was left to do'
