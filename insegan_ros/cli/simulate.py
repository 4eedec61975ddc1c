"""`insegan simulate`: a data set of simulated bins."""

from __future__ import annotations

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from insegan_ros.engine.config import instantiate


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan simulate`."""
    from insegan_sim.generate import SimulateConfig

    parser.add_argument(
        '--config',
        action=ActionConfigFile,
        help='YAML file with any of the values below, such as config/simulate/heap.yaml',
    )
    parser.add_class_arguments(SimulateConfig)


def run(arguments: Namespace) -> None:
    """Run `insegan simulate` with the options that were given."""
    from insegan_sim.generate import SimulateConfig, simulate

    print(simulate(instantiate(SimulateConfig, arguments)))
