"""What several subcommands share: which model, which bin."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.errors import ConfigError, InputError, InseganWarning

if TYPE_CHECKING:
    from insegan_ros.segmenters.base import Segmenter
    from insegan_ros.workspace import Workspace


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the options that say which method is meant, and how it is run."""
    parser.add_argument(
        '--model',
        type=str,
        required=True,
        help=(
            'checkpoint folder, shipped name (cutpaste-nut), or a method by its name: kmeans,'
            ' spectral, grabcut, graphcut, felzenszwalb; grabcut-colour, kmeans-colour,'
            ' depth-threshold'
        ),
    )
    parser.add_argument(
        '--segmenter',
        type=str,
        default='',
        help=(
            "another way to run the checkpoint, such as insegan (the paper's pose encoder) or"
            ' insegan-views (poses and hidden parts without a mesh)'
        ),
    )
    parser.add_argument('--device', type=str, default='auto', help='auto, cpu, cuda, cuda:N')
    parser.add_argument(
        '--instances', type=int, default=5, help='number of parts, for the classical methods'
    )
    parser.add_argument(
        '--mesh',
        type=str,
        default='',
        help=(
            "the part's STL, OBJ or PLY; or own, the mesh that the model was taught with (piles-*)."
            " Poses are then given in that mesh's frame, instead of along principal axes"
        ),
    )
    parser.add_argument(
        '--roi-filter',
        '--gate',
        type=str,
        default='',
        help=(
            'a foreground method or checkpoint (layered-gan-tote, depth-threshold): the model sees'
            ' floor where it finds background'
        ),
    )
    parser.add_argument(
        '--mesh-scale',
        type=float,
        default=1.0,
        help='metres per unit of the mesh: 0.001 for a file in millimetres',
    )


def add_intrinsics_argument(parser: ArgumentParser) -> None:
    """Add the option that says which camera took pictures that do not say it."""
    parser.add_argument(
        '--intrinsics',
        type=str,
        default='',
        help=(
            'camera of depth images and clouds: fx,fy,cx,cy in px (for clouds with ,width,height),'
            ' or a YAML or JSON file with these names or K, and depth_unit_m'
        ),
    )


def add_bin_arguments(parser: ArgumentParser, floor: str, bounds: str) -> None:
    """Add the options that say where the bin is by hand; floor and bounds: the rest of their
    help."""
    parser.add_argument(
        '--floor',
        type=str,
        default='',
        help=f"the floor's plane a,b,c,d in the optical frame, {floor}",
    )
    parser.add_argument(
        '--bounds',
        type=str,
        default='',
        help=f"the bin's x_min,y_min,x_max,y_max in m on the floor, {bounds}",
    )


def four_numbers(option: str, text: str) -> tuple[float, float, float, float] | None:
    """The value of an option that four numbers belong to, as 0,0,-1,0.6 or [0, 0, -1, 0.6]; None
    where it is not given. Raises ConfigError."""
    from insegan_ros.errors import MALFORMED
    from insegan_ros.workspace import four

    if not text:
        return None
    try:
        return four(float(word) for word in text.strip('[] ').split(','))
    except (InputError, *MALFORMED) as error:
        raise ConfigError(
            f'{option} is {text}: expected four numbers such as 0,0,-1,0.6'
        ) from error


def chosen_segmenter(arguments: Namespace) -> Segmenter:
    """The method that the options of `add_model_arguments` name."""
    from insegan_ros.methods.registry import load_segmenter

    return load_segmenter(
        arguments.model,
        arguments.segmenter,
        arguments.device,
        arguments.instances,
        arguments.mesh,
        arguments.mesh_scale,
        arguments.roi_filter,
    )


def chosen_workspace(arguments: Namespace) -> Workspace | None:
    """The bin that --workspace, or --floor and --bounds name; None where none is given. Raises
    ConfigError for a wrong combination, InputError for a bin that cannot be."""
    from insegan_ros.workspace import Workspace, read_workspace

    floor, bounds = (
        four_numbers(f'--{name}', arguments.get(name, '')) for name in ('floor', 'bounds')
    )
    if bounds and not floor:
        raise ConfigError('--bounds is given without --floor: expected both')
    if floor and arguments.workspace:
        raise ConfigError('--floor and --workspace are given: expected one of them')
    if arguments.workspace:
        return read_workspace(Path(arguments.workspace))
    return Workspace(floor, bounds) if floor else None


def mind_part(segmenter: Segmenter, data: Path, model: str) -> None:
    """Say so where a checkpoint is of another part than shards of one part are. Other formats name
    their parts in ways of their own, and other methods are called by the set that they have learnt
    from."""
    from insegan_ros.data.shards import ShardDataset, is_shards

    if segmenter.task != 'instances' or not segmenter.part or not is_shards(data):
        return
    names = ShardDataset(data).classes
    if len(names) == 1 and segmenter.part not in names:
        warnings.warn(
            f'{model} has learnt {segmenter.part}, but the data hold {", ".join(names)}: expected'
            ' a checkpoint for the same part',
            InseganWarning,
            stacklevel=2,
        )
