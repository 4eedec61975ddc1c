"""`insegan card`: a finished training measured on unseen simulated data, and described."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.errors import ConfigError


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan card`."""
    parser.add_argument(
        '--model',
        type=str,
        required=True,
        help=(
            'checkpoint folder of a finished training; for irnet or ccgr, one in the runs/ of'
            ' insegan benchmark weak'
        ),
    )
    parser.add_argument(
        '--out',
        type=str,
        required=True,
        help='new folder for weights, card.json, README.md and pictures',
    )
    parser.add_argument(
        '--mesh',
        type=str,
        default='',
        help=(
            "STL, OBJ or PLY of a part of your own; if left out, the mesh that the checkpoint's"
            ' training data keep'
        ),
    )
    parser.add_argument(
        '--part',
        type=str,
        default='',
        help="one of the simulator's parts to measure on, if not the checkpoint's own",
    )
    parser.add_argument(
        '--mesh-scale',
        type=float,
        default=1.0,
        help='metres per unit of the mesh: 0.001 for a file in millimetres',
    )
    parser.add_argument(
        '--limit',
        type=int,
        default=100,
        help=(
            'how many random scenes, and how many on which K-means fails; three times'
            ' as many totes for foreground methods'
        ),
    )


def run(arguments: Namespace) -> None:
    """Run `insegan card` with the options that were given."""
    from insegan_ros.engine.checkpoint import Checkpoint
    from insegan_ros.methods.registry import find_checkpoint, task_of
    from insegan_ros.tasks.base import make_card, task_named

    if arguments.limit < 1:
        raise ConfigError(f'--limit is {arguments.limit}: expected 1 or more')
    model = find_checkpoint(arguments.model)
    task = task_named(task_of(Checkpoint.load(model)))
    if arguments.mesh:
        task = task.of_mesh(Path(arguments.mesh), arguments.mesh_scale)
    elif arguments.part:
        task = task.of_part(arguments.part)
    make_card(task, model, Path(arguments.out), arguments.limit)
    print((Path(arguments.out) / 'README.md').read_text())
