"""What is shipped: cards that are whole, weights that load, the size that was promised, the configuration that made them."""
import json
from pathlib import Path

import pytest
import yaml

from insegan_ros.segmenters.checkpoint import Checkpoint

CHECKPOINTS = sorted((Path(__file__).resolve().parents[1] / 'checkpoints').glob('insegan-*'))


def test_the_demos_parts_are_shipped():
    assert {'insegan-nut', 'insegan-bolt', 'insegan-cylinder', 'insegan-cone'} <= {folder.name for folder in CHECKPOINTS}


@pytest.mark.parametrize('folder', CHECKPOINTS, ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_has_a_whole_card(folder):
    card = json.loads((folder / 'card.json').read_text())
    assert {'method', 'part', 'data', 'taught_by', 'seed', 'steps', 'hardware', 'minutes', 'metrics', 'command'} <= card.keys()
    assert {'honest_miou', 'paper_miou', 'kmeans_honest_miou', 'kmeans_paper_miou'} <= card['metrics'].keys()
    assert card['metrics']['scenes'] == 100 and card['metrics']['honest_miou'] > card['metrics']['kmeans_honest_miou']
    assert (folder / 'weights.safetensors').stat().st_size < 5e6 and (folder / 'scenes.png').stat().st_size > 1000
    assert (folder / 'singles.png').exists() == bool(card['steps']['gan'])
    text = (folder / 'README.md').read_text()
    assert f'{card["metrics"]["honest_miou"]:.3f}' in text and card['command'] in text and card['taught_by'] in text
    checkpoint = Checkpoint.load(folder)
    assert checkpoint.part == card['part'] and folder.name == f'insegan-{checkpoint.part}' and checkpoint.training['seed'] == card['seed']
    # A path of the machine that trained it helps nobody.
    assert not Path(checkpoint.config['data']).is_absolute() and not Path(checkpoint.config['out']).is_absolute()


@pytest.mark.parametrize('folder', CHECKPOINTS, ids=lambda folder: folder.name)
def test_the_configuration_that_made_it_is_in_config(root, folder):
    recorded = Checkpoint.load(folder).config
    given = yaml.safe_load((root / 'config/train/insegan.yaml').read_text())

    def compare(small: dict, large: dict) -> None:
        for key, value in small.items():
            if isinstance(value, dict):
                compare(value, large[key])
            else:
                assert large[key] == value, key
    compare(given, recorded)


@pytest.mark.parametrize('name', ['insegan', 'insegan-generator', 'insegan-paper'])
def test_every_training_file_is_a_configuration(root, name):
    from jsonargparse import ArgumentParser

    from insegan_ros.evaluation.insta10 import PAPER_FORM
    from insegan_ros.training.recipes import TrainInseganConfig
    parser = ArgumentParser()
    parser.add_class_arguments(TrainInseganConfig, 'it')
    text = yaml.safe_dump({'it': yaml.safe_load((root / f'config/train/{name}.yaml').read_text())})
    config = parser.instantiate_classes(parser.parse_string(text)).it
    assert config.insegan.instances == 5
    if name == 'insegan-paper':
        for key, value in PAPER_FORM.items():
            found = config
            for field in key.split('.'):
                found = getattr(found, field)
            assert found == value, key
