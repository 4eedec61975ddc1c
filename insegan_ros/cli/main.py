"""The `insegan` command: a file a subcommand, imported when it is asked for."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader, set_parsing_settings

from insegan_ros import __version__
from insegan_ros.cli.log_lines import log_lines
from insegan_ros.cli.spelling import known_spelling, options_of
from insegan_ros.errors import ConfigError, InseganError, InseganWarning
from insegan_ros.files import lost, no_path
from insegan_ros.renamed import modern_file, modern_words
from insegan_ros.texts import read_mapping

# What goes on where it was stopped.
RESUMED, GOES_ON = (['simulate'], ['train']), '; the same command continues from there'
# What a disk says that is full or must not be written.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP)
# Each is a module of this folder with `add_arguments` and `run`.
COMMANDS = {
    'simulate': 'make a data set of simulated bins; continues where it was stopped',
    'dataset': 'convert a data set, inspect one, or draw the parts',
    'train': 'learn a segmenter from unlabelled depth or colour; continues where it was stopped',
    'segment': (
        'masks for depth images (16-bit PNG in mm), recordings (RealSense .bag, rosbag2) or shards;'
        ' photographs too, with methods that use colour'
    ),
    'calibrate': (
        'find floor and inside of an empty bin, for the segmenter to load; hand-eye: where the'
        ' camera is on or beside a robot'
    ),
    'reconstruct': "the part's mesh from unlabelled depth in which it lies alone now and then",
    'evaluate': (
        "score a segmenter on labelled scenes in the honest and the paper's protocol, with K-means"
        ' beside it'
    ),
    'card': 'measure a finished training on unseen simulated bins and write its model card',
    'benchmark': 'measure speed and quality on this machine',
    'export': 'the dense network as ONNX, for runtimes without PyTorch',
    'replay': (
        'play a recording into the live segmenter on real ROS 2 topics; scored where it holds'
        ' labels'
    ),
    'demo': (
        'simulated camera and segmenter as two processes on real ROS 2 topics, scored and drawn'
    ),
    'empty': 'a simulated bin, emptied by picks on real ROS 2 topics; wrong picks are counted',
}


def command(name: str) -> ModuleType:
    """The module of a subcommand."""
    return importlib.import_module(f'insegan_ros.cli.{name}')


def build_parser(chosen: str = '', recipe: str = '') -> ArgumentParser:
    """The command line. Only the chosen command, and of train the chosen recipe (of calibrate what
    is calibrated), gets its arguments: the others would import simulator and torch for their help
    line."""
    # Configuration files of earlier versions are read by today's names. A file is loaded more than
    # once, and said to be old once.
    load = get_loader('yaml')
    modern = cache(lambda text: modern_file(load(text)))
    set_loader('yaml', lambda text: deepcopy(modern(text)), (yaml.YAMLError,))
    # The sentence under every field of a configuration is its help.
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog='insegan',
        description=(
            'Instance masks of identical parts in a bin, learnt without labels. Options may be'
            ' written with - or _ between their words.'
        ),
        version=__version__,
    )
    commands = parser.add_subcommands(required=True, dest='command')
    for name, help_line in COMMANDS.items():
        sub = ArgumentParser(description=help_line)
        commands.add_subcommand(name, sub, help=help_line)
        if name == chosen:
            command(name).add_arguments(sub, *([recipe] if name in ('train', 'calibrate') else []))
    return parser


def check_files(argv: list[str]) -> None:
    """Raise ConfigError for a YAML file on the command line that is none of names with values: the
    parser would wait for a pipe, and load what bursts memory."""
    for before, word in zip(['', *argv], argv):
        option, _, value = word.partition('=')
        path = Path(value if word.startswith('--') else word)
        meant = path.suffix in ('.yaml', '.yml') or '--config' in (before, option if value else '')
        if meant and path.exists():
            read_mapping(path, ConfigError)


def may_not_be_read(error: OSError) -> bool:
    """Whether it is reading that was not permitted, not writing."""
    if not isinstance(error, PermissionError) or error.filename is None:
        return False
    try:
        os.stat(error.filename)
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(error.filename, os.R_OK)


def main(argv: list[str] | None = None) -> int:
    """Entry point. A mistake of the user's is one line and exit status 2; being stopped is 130."""
    argv = sys.argv[1:] if argv is None else argv
    plain = warnings.formatwarning
    warnings.formatwarning = lambda message, category, *rest: (
        f'insegan: {message}\n'
        if issubclass(category, InseganWarning)
        else plain(message, category, *rest)
    )
    try:
        with log_lines():
            _run(argv)
    except InseganError as error:
        print(f'insegan: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f'insegan: stopped{GOES_ON if argv[:1] in RESUMED else ""}', file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.close(sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in NO_PATH or may_not_be_read(error):
            print(f'insegan: {no_path(str(error.filename), error, ConfigError)}', file=sys.stderr)
            return 2
        # A disk that is full shows wherever something is written, in libraries too.
        if error.errno not in UNWRITABLE:
            raise
        print(f'insegan: {lost(Path(error.filename or "a file"), error)}', file=sys.stderr)
        return 2
    return 0


def _run(argv: list[str]) -> None:
    check_files(argv)
    parser = build_parser(*argv[:2])
    argv = known_spelling(argv, options_of(parser, argv))
    if argv[:1] == ['train']:
        argv = modern_words(argv)
        command('train').check(argv[1:])
    arguments: Any = parser.parse_args(argv)
    values = arguments[arguments.command]
    values.pop('config', None)
    command(arguments.command).run(values)


if __name__ == '__main__':
    raise SystemExit(main())
