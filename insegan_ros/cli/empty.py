"""`insegan empty`: a simulated bin, emptied by the live segmenter's picks."""

from __future__ import annotations

import json

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.cli.ros import needs_ros
from insegan_ros.nodes.empty_bin_config import EmptyBinConfig


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan empty`."""
    parser.add_class_arguments(EmptyBinConfig)


def run(arguments: Namespace) -> None:
    """Run `insegan empty` with the options that were given."""
    with needs_ros():
        from insegan_ros.nodes.empty_bin import run_empty_bin
    numbers = run_empty_bin(EmptyBinConfig(**arguments.as_dict()))
    print(json.dumps({name: one for name, one in numbers.items() if name != 'bins'}, indent=2))
