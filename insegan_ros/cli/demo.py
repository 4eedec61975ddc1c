"""`insegan demo`: simulated camera and segmenter on real ROS 2 topics."""

from __future__ import annotations

import json

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.cli.ros import needs_ros
from insegan_ros.nodes.demo_config import DemoConfig


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan demo`."""
    parser.add_class_arguments(DemoConfig)


def run(arguments: Namespace) -> None:
    """Run `insegan demo` with the options that were given."""
    with needs_ros():
        from insegan_ros.nodes.demo import run_demo
    print(json.dumps(run_demo(DemoConfig(**arguments.as_dict())), indent=2))
