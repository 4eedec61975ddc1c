"""`insegan train`: a segmenter from data, by any recipe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from insegan_ros.engine.config import instantiate
from insegan_ros.methods.registry import METHODS, recipes

# Of the options within others, those that a first training needs.
BASICS = ('loop.device', 'loop.threads', 'piles.mesh', 'piles.scale', 'offsets.self_training')


class BasicHelp(argparse.Action):
    """`--help` of a recipe: what a first training needs. The rest is in --help-all."""

    def __init__(self, option_strings: list[str], dest: str = argparse.SUPPRESS, **_: Any) -> None:
        super().__init__(
            option_strings, dest, nargs=0, default=argparse.SUPPRESS, help='show this and exit'
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and exit."""
        nested = [one for one in parser._actions if '.' in one.dest and one.dest not in BASICS]
        for one in nested:
            one.help = argparse.SUPPRESS
        groups = sorted({one.dest.split('.')[0] for one in nested})
        parser.epilog = (
            f'{len(nested)} more options, below {", ".join(f"--{name}" for name in groups)}, are'
            ' in --help-all; a YAML file of any of them is given as --config.'
        )
        parser.print_help()
        parser.exit()


def add_arguments(parser: ArgumentParser, chosen: str = '') -> None:
    """The recipes, of which only the chosen one gets its options: the others would be imported for
    their help line."""
    actions = parser.add_subcommands(required=True, dest='recipe')
    for name, method in recipes().items():
        own = recipe_parser(name) if name == chosen else ArgumentParser()
        actions.add_subcommand(name, own, help=method.help)


def recipe_parser(name: str) -> ArgumentParser:
    """The options of one recipe: its configuration's fields."""
    config = METHODS[name].config_class
    parser = ArgumentParser(
        prog=f'insegan train {name}', description=config.__doc__, add_help=False
    )
    parser.add_argument('-h', '--help', action=BasicHelp)
    parser.add_argument('--help-all', action='help', help='show all options and exit')
    parser.add_argument(
        '--config', action=ActionConfigFile, help='YAML file with any of the values below'
    )
    parser.add_class_arguments(config)
    return parser


def check(argv: list[str]) -> None:
    """Of a command within a command jsonargparse cannot say what it does not know: alone it can,
    and ends here."""
    if argv and argv[0] in recipes():
        recipe_parser(argv[0]).parse_args(argv[1:])


def run(arguments: Namespace) -> None:
    """Run `insegan train` with the options that were given."""
    from insegan_ros.engine.checkpoint import MESH

    method = METHODS[arguments.recipe]
    config = instantiate(method.config_class, arguments[arguments.recipe])
    # What else is said goes to standard error: the checkpoint's folder alone is the answer.
    data = getattr(config, 'data', '')
    if not data or Path(data).exists():
        print(f'training {arguments.recipe}{f", reading {data}" if data else ""}', file=sys.stderr)
    checkpoint = method.run(config)
    print(checkpoint)
    # Only recipes of many stages can stop after one.
    if stage := vars(config).get('stop_after'):
        print(
            f'stopped after {stage}: look at its pictures; the same command without --stop_after'
            ' continues'
        )
    else:
        posed = ', with poses by --mesh own' if (checkpoint / MESH).exists() else ''
        print(
            f'next: insegan segment INPUT --model {checkpoint}, or insegan evaluate --data LABELLED'
            f' --model {checkpoint}{posed}',
            file=sys.stderr,
        )
