"""What is shipped: cards that are whole, weights that load, the size that was promised."""
import json

import pytest

from insegan_ros.segmenters.checkpoint import Checkpoint

# The parts that a checkpoint is shipped for.
PARTS = ('nut', 'bolt', 'cylinder', 'cone')


@pytest.mark.parametrize('part', PARTS)
def test_a_shipped_checkpoint_has_a_whole_card(root, part):
    folder = root / f'checkpoints/insegan-{part}'
    card = json.loads((folder / 'card.json').read_text())
    assert {'method', 'part', 'data', 'seed', 'steps', 'hardware', 'minutes', 'metrics', 'command'} <= card.keys()
    assert {'honest_miou', 'paper_miou', 'kmeans_honest_miou', 'kmeans_paper_miou', 'honest_miou_hard'} <= card['metrics'].keys()
    assert card['metrics']['scenes'] == 100
    assert (folder / 'weights.safetensors').stat().st_size < 5e6 and (folder / 'singles.png').stat().st_size > 1000
    text = (folder / 'README.md').read_text()
    assert f'{card["metrics"]["honest_miou"]:.3f}' in text and card['command'] in text
    checkpoint = Checkpoint.load(folder)
    assert checkpoint.part == part and checkpoint.training['seed'] == card['seed']


@pytest.mark.parametrize('part', PARTS)
def test_the_configuration_that_made_it_is_in_config(root, part):
    import yaml
    recorded = Checkpoint.load(root / f'checkpoints/insegan-{part}').config
    given = yaml.safe_load((root / f'config/train/insegan-{part}.yaml').read_text())

    def compare(small: dict, large: dict) -> None:
        for key, value in small.items():
            if isinstance(value, dict):
                compare(value, large[key])
            elif key in large:
                assert large[key] == value, key
    compare(given, recorded)
