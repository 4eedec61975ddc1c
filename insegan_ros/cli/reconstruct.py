"""`insegan reconstruct`: the part's mesh from unlabelled depth."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.errors import ConfigError


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan reconstruct`."""
    parser.add_argument(
        '--data',
        type=str,
        required=True,
        help='recording or data set that shows parts of one kind, some of them alone on the floor',
    )
    parser.add_argument(
        '--workspace',
        type=str,
        default='',
        help='the bin of a recording: the YAML of `insegan calibrate`, if not in its own file',
    )
    parser.add_argument(
        '--out',
        type=str,
        required=True,
        help='new folder for part.ply, part.json and part.png, or one that was begun, which is'
        ' continued',
    )
    parser.add_argument('--views', type=int, default=40, help='how many views to use, at most')
    parser.add_argument('--seed', type=int, default=0, help='which views are held out')


def run(arguments: Namespace) -> None:
    """Run `insegan reconstruct` with the options that were given."""
    import torch

    from insegan_ros.data.convert import open_dataset
    from insegan_ros.reconstruction.checks import MIN_VIEWS
    from insegan_ros.reconstruction.pipeline import reconstruct
    from insegan_ros.reconstruction.report import STAGES, check_new_folder, write_reconstruction
    from insegan_ros.reconstruction.stages import stages_of
    from insegan_ros.workspace import read_workspace

    if arguments.views < MIN_VIEWS:
        raise ConfigError(f'--views is {arguments.views}: expected at least {MIN_VIEWS}')
    out = Path(arguments.out)
    check_new_folder(out)
    # Many small products: threads would wait for one another.
    torch.set_num_threads(1)
    workspace = read_workspace(Path(arguments.workspace)) if arguments.workspace else None
    _, scenes = open_dataset(Path(arguments.data), workspace)
    stages = stages_of(
        out / STAGES, Path(arguments.data), workspace, arguments.views, arguments.seed
    )
    found = reconstruct(scenes, arguments.views, arguments.seed, stages)
    facts = write_reconstruction(found, out)
    print(
        f'{out / "part.ply"}: {facts["diameter_mm"]:g} mm across, from {facts["views"]} views in'
        f' {len(facts["resting_poses"])} resting poses; explains'
        f' {100 * facts["held_out_explained"]:.0f} % of {len(facts["held_out"])} views that were'
        f' held out; {100 * facts["surface_never_seen"]:.0f} % of its surface was never seen.'
        f' Look at {out / "part.png"} before you use it'
    )
