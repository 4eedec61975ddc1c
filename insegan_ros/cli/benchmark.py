"""`insegan benchmark`: speed and quality measured on this machine."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.files import write_json


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan benchmark`."""
    from insegan_ros.benchmarks.registry import BENCHMARKS

    parser.add_argument('name', choices=sorted(BENCHMARKS), help='what to measure')
    parser.add_argument(
        '--budget',
        choices=['small', 'short', 'medium', 'full'],
        default='full',
        help=(
            'small: minutes; short (weak): fewer kinds and smaller pictures; medium: a day or two'
            ' on two cores for insta10, an afternoon for foreground, hoc and weak; every row says'
            ' so'
        ),
    )
    kept = ', '.join(name for name, one in BENCHMARKS.items() if one.keeps)
    parser.add_argument(
        '--out',
        type=str,
        default='',
        help=(
            f'{kept}: folder (runs/NAME if left out) of data, trainings, results and report; one'
            ' that was begun is continued'
        ),
    )
    parser.add_argument(
        '--only',
        type=str,
        default='',
        help=(
            f'{kept}: tables, methods and parts, separated by commas, such as'
            ' methods,kmeans,shipped,bolt'
        ),
    )
    parser.add_argument(
        '--measured',
        action='store_true',
        help=(
            f'{kept}: write the tables of what has been measured in --out so far, and measure'
            ' nothing'
        ),
    )
    parser.add_argument(
        '--pictures',
        type=str,
        default='',
        help=(
            'hoc: folder of photographs NAME.png with NAME_labels.png; the first is learnt from'
            ' and all are scored; with more than three, each of the first three is learnt from'
            ' and the others are scored'
        ),
    )
    parser.add_argument('--json', type=str | None, default=None, help='file for the rows')


def run(arguments: Namespace) -> None:
    """Run `insegan benchmark` with the options that were given."""
    from insegan_ros.benchmarks.registry import run_benchmark

    rows = run_benchmark(
        arguments.name,
        arguments.budget,
        Path(arguments.out) if arguments.out else None,
        {name.strip() for name in arguments.only.split(',') if name.strip()},
        arguments.measured,
        Path(arguments.pictures) if arguments.pictures else None,
    )
    if arguments.json:
        write_json(Path(arguments.json), rows)
