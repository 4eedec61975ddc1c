"""What has been renamed, and the ways from the old names, which keep working, to the new ones:
models, options, configurations of older files and checkpoints."""

from __future__ import annotations

import warnings
from typing import Any

from insegan_ros.errors import InseganWarning

PARTS = (
    'nut', 'stopper', 'cylinder', 'bolt', 'cone', 'connector', '5-pin', 'obj01', 'obj14', 'obj05',
)  # fmt: skip
# Isolated crops taught them, no generator: what holds one is called insegan.
MODELS = {f'insegan-{part}': f'cutpaste-{part}' for part in PARTS}
# Fields of configurations, at any depth.
FIELDS = {'displacement': 'offsets', 'look': 'modality'}
# Fields within one other field.
INNER = {
    'offsets': {
        'rounds': 'self_training',
        'round_steps': 'self_training_steps',
        'tops': 'unoccluded',
    },
    'proposals': {'least': 'min_area', 'most': 'max_area'},
}
# Values of fields.
VALUES = {('factory', 'cutouts'): 'isolated'}
# Ways to run a checkpoint, and the networks in it.
SEGMENTERS = {'displacement': 'offsets'}


def modern_model(name: str) -> str:
    """The name that a shipped model has now; says so where it was renamed."""
    if name not in MODELS:
        return name
    _say(f'the model {name} is now called {MODELS[name]}')
    return MODELS[name]


def modern_segmenter(name: str) -> str:
    """The name that a way to run a checkpoint has now."""
    return SEGMENTERS.get(name, name)


def modern_config(config: Any, within: str = '') -> Any:
    """A configuration of nested mappings by its present names. within: the field that holds it.

    >>> modern_config({'displacement': {'rounds': 1}, 'seed': 0})
    {'offsets': {'self_training': 1}, 'seed': 0}
    """
    if not isinstance(config, dict):
        return config
    out = {}
    for key, value in config.items():
        name = _modern_field(key, within)
        if isinstance(value, str):
            value = VALUES.get((name, value), value)
        out[name] = modern_config(value, name)
    return out


def _modern_field(name: str, within: str) -> str:
    return INNER.get(within, {}).get(name) or FIELDS.get(name, name)


def modern_option(word: str) -> str:
    """A word of the command line, such as --displacement.rounds or --displacement.rounds=1, by the
    option's present name; says so where it was renamed."""
    if not word.startswith('--'):
        return word
    option, equals, value = word[2:].partition('=')
    path, within = [], ''
    for part in option.split('.'):
        within = _modern_field(part, within)
        path.append(within)
    new = '.'.join(path)
    if new != option:
        _say(f'the option --{option} is now called --{new}')
    return f'--{new}{equals}{modern_value(new, value)}'


def modern_value(option: str, value: str) -> str:
    """A value of an option, by its present name; says so where it was renamed."""
    new = VALUES.get((option, value), value)
    if new != value:
        _say(f'{value} of --{option} is now called {new}')
    return new


def modern_words(words: list[str]) -> list[str]:
    """The words of a command line by the present names of its options and their values.

    >>> modern_words(['train', 'insegan', '--factory', 'isolated'])
    ['train', 'insegan', '--factory', 'isolated']
    """
    out: list[str] = []
    for word in words:
        before = out[-1] if out else ''
        follows = before.startswith('--') and not word.startswith('--')
        out.append(modern_value(before[2:], word) if follows else modern_option(word))
    return out


def modern_file(config: Any) -> Any:
    """The content of a configuration file by the present names; says so where any was renamed."""
    new = modern_config(config)
    if new != config:
        old = ', '.join(sorted(_names(config) - _names(new)))
        _say(f'a configuration file has names of an earlier version ({old})')
    return new


def _names(config: Any) -> set[str]:
    """All keys of nested mappings, and their values where these are words."""
    if isinstance(config, dict):
        return set(config).union(*map(_names, config.values()))
    return {config} if isinstance(config, str) else set()


def modern_run(config: dict[str, Any], cutpaste: bool) -> dict[str, Any]:
    """The configuration of an earlier training of `train insegan`, as its recipe has it now.
    cutpaste: that of cut-paste learning, which had no command of its own."""
    config = modern_config(config)
    if not cutpaste:
        # Always 64, as the generator.
        config.pop('size', None)
        return config
    inner = config.pop('insegan', {})
    config.pop('factory', None)
    config.pop('generator', None)
    config.setdefault('instances', inner.get('instances'))
    return config


def modern_head(head: dict[str, Any], networks: set[str]) -> dict[str, Any]:
    """What an older checkpoint says of itself, by the present names. networks: those it holds."""
    config, method = modern_config(head['config']), head['method']
    if method == 'insegan':
        method = 'insegan' if 'generator' in networks else 'cutpaste'
        config = modern_run(config, method == 'cutpaste')
    training = dict(head['training'])
    if isinstance(steps := training.get('steps'), dict):
        unused = ('gan', 'encoder') if method == 'cutpaste' else ()
        training['steps'] = {
            name.replace('displacement', 'offsets'): count
            for name, count in steps.items()
            if name not in unused
        }
    segmenter = modern_segmenter(head['segmenter'])
    return {
        **head,
        'method': method,
        'segmenter': segmenter,
        'config': config,
        'training': training,
    }


def modern_network(name: str) -> str:
    """The name that a checkpoint's network has now."""
    return SEGMENTERS.get(name, name)


def _say(text: str) -> None:
    warnings.warn(
        f'{text}; the old name will be removed in the next release', InseganWarning, stacklevel=4
    )
