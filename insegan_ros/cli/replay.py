"""`insegan replay`: a recording played into the live segmenter."""

from __future__ import annotations

import json

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.cli.ros import needs_ros
from insegan_ros.nodes.replay_config import ReplayConfig


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan replay`."""
    parser.add_class_arguments(ReplayConfig)


def run(arguments: Namespace) -> None:
    """Run `insegan replay` with the options that were given."""
    with needs_ros():
        from insegan_ros.nodes.replay import run_replay
    print(json.dumps(run_replay(ReplayConfig(**arguments.as_dict())), indent=2))
