"""Options as a user writes them: with - or _ between words, a mesh's scale by either name, and
numbers that begin with a minus."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from jsonargparse import ArgumentParser

# The commands about one mesh say scale, those that also have other scales say whose.
SAME = {'--mesh-scale': '--scale', '--scale': '--mesh-scale'}
# Several numbers of which the first is negative: the parser would take them for an option.
NEGATIVE = re.compile(r'-[\d.][^,]*,')


def known_spelling(words: Sequence[str], known: Collection[str]) -> list[str]:
    """The words of a command line, options by the names that the command knows.

    >>> known_spelling(['--bin-width=0.3', '--mesh_scale', '0.001'], {'--bin_width', '--scale'})
    ['--bin_width=0.3', '--scale', '0.001']
    >>> known_spelling(['--bounds', '-0.1,-0.1,0.1,0.1'], {'--bounds'})
    ['--bounds=-0.1,-0.1,0.1,0.1']
    """
    spelt: list[str] = []
    for word in words:
        if spelt and spelt[-1] in known and NEGATIVE.match(word):
            spelt[-1] += f'={word}'
        else:
            spelt.append(_known(word, known))
    return spelt


def _known(word: str, known: Collection[str]) -> str:
    name, equals, value = word.partition('=')
    if name.startswith('--') and name not in known:
        hyphens = '--' + name[2:].replace('_', '-')
        underscores = '--' + name[2:].replace('-', '_')
        for other in (hyphens, underscores, SAME.get(hyphens)):
            if other in known:
                return f'{other}{equals}{value}'
    return word


def options_of(parser: ArgumentParser, words: Sequence[str]) -> set[str]:
    """The options of the command that the first words name: a subcommand, or one of its own."""
    for word in words:
        choices = [one.choices for one in parser._actions if isinstance(one.choices, dict)]
        inner = next((names[word] for names in choices if word in names), None)
        if inner is None:
            break
        parser = inner
    return set(parser._option_string_actions)
