"""`insegan dataset`: convert a data set, look into one, draw the parts."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.cli.options import add_intrinsics_argument


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan dataset`."""
    actions = parser.add_subcommands(required=True, dest='action')
    for name, add, text in (
        ('convert', _add_convert, 'from one format to another'),
        ('inspect', _add_inspect, 'counts, sizes, fill, occlusion, contact sheet'),
        (
            'heights',
            _add_heights,
            'the small height maps that training reads, in one file, to train on another machine',
        ),
        (
            'pictures',
            _add_pictures,
            'the small colour pictures that foreground segmenters learn from, in one file',
        ),
        ('parts', _add_parts, 'a picture of the parts'),
        ('sensor', _add_sensor, "a depth camera's noise, measured in a recording"),
    ):
        own = ArgumentParser()
        add(own)
        actions.add_subcommand(name, own, help=text)


def _add_convert(parser: ArgumentParser) -> None:
    parser.add_argument(
        'source',
        type=str,
        help=(
            'folder of shards, BOP scenes, COCO annotations or Insta-10 folders; the format is'
            ' detected'
        ),
    )
    parser.add_argument('out', type=str, help='new folder')
    parser.add_argument(
        '--to',
        type=str,
        required=True,
        help=(
            'shards, bop, coco, insta10, pictures (depth and label PNGs), recording (rosbag2,'
            ' mcap), or clouds (labelled PLY)'
        ),
    )
    add_intrinsics_argument(parser)


def _add_inspect(parser: ArgumentParser) -> None:
    parser.add_argument('source', type=str, help='folder in any of these formats')
    parser.add_argument(
        '--sheet', type=str | None, default=None, help='new PNG with a sample of the scenes'
    )
    parser.add_argument('--json', type=str | None, default=None, help='file for the numbers')


def _add_heights(parser: ArgumentParser) -> None:
    parser.add_argument('source', type=str, help='folder of shards')
    parser.add_argument(
        'out', type=str, help='new file, such as nut.h5; `insegan train ... --data nut.h5` reads it'
    )
    parser.add_argument(
        '--truth', action='store_true', help='labels too, for `insegan train supervised`'
    )


def _add_pictures(parser: ArgumentParser) -> None:
    parser.add_argument('source', type=str, help='folder of shards with colour, or of photographs')
    parser.add_argument(
        'out',
        type=str,
        help='new file, such as tote.h5; `insegan train layered-gan --data tote.h5` reads it',
    )
    parser.add_argument('--size', type=int, default=64, help='side in px')
    parser.add_argument(
        '--view',
        choices=['scene', 'box'],
        default='scene',
        help="scene: the bin's inside, or the middle of a photograph; box: around the object's box",
    )
    parser.add_argument(
        '--context', type=float, default=1.2, help='how much larger than the box the square is'
    )
    parser.add_argument(
        '--split',
        choices=['training', 'validation', 'test'],
        default='training',
        help='which split of a published set',
    )
    parser.add_argument('--truth', action='store_true', help='masks too, for evaluation')
    parser.add_argument(
        '--empty',
        action='store_true',
        help=(
            'instead: the empty scenes, as backgrounds for `insegan train independence-foreground`'
        ),
    )


def _add_parts(parser: ArgumentParser) -> None:
    parser.add_argument('sheet', type=str, help='new PNG')
    parser.add_argument(
        '--part', type=str, default='', help='which parts; the ten of the paper if left out'
    )


def _add_sensor(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--data',
        type=str,
        required=True,
        help='recording or depth images of one still scene: parts on the floor of a bin',
    )
    parser.add_argument(
        '--workspace', type=str, default='', help="the bin, if not in the recording's own file"
    )
    parser.add_argument(
        '--frames', type=int, default=60, help='how many frames to measure, the first ones'
    )
    parser.add_argument(
        '--out',
        type=str,
        required=True,
        help=(
            'new YAML, such as mine.yaml; `insegan simulate --sensor mine.yaml` takes it. A picture'
            ' of the recording, beside what the models make of the same scene, is written with it'
        ),
    )
    add_intrinsics_argument(parser)


def _fit_sensor(values: Namespace) -> None:
    from itertools import islice

    from insegan_ros.camera.given import given_camera
    from insegan_ros.cli.options import chosen_workspace
    from insegan_ros.data.items import frames_of
    from insegan_ros.data.recordings import own_workspace
    from insegan_ros.errors import ConfigError
    from insegan_ros.files import check_new, write_png
    from insegan_sim.sensor import load_sensor
    from insegan_sim.sensor_fit import fit_sensor, write_sensor
    from insegan_sim.sensor_view import beside_models

    if values.frames < 1:
        raise ConfigError(f'--frames is {values.frames}: expected 1 or more')
    out = Path(values.out)
    drawn = out.with_suffix('.png')
    check_new(out, '.yaml')
    check_new(drawn, '.png')
    source = Path(values.data)
    workspace = chosen_workspace(values) or own_workspace(source)
    if workspace is None:
        raise ConfigError(
            'it is not known where the bin is: expected --workspace with the YAML of `insegan'
            ' calibrate`'
        )
    frames = list(islice(frames_of(source, given_camera(values.intrinsics)), values.frames))
    found = fit_sensor(frames, workspace)
    models = {'as measured': found.sensor(), 'd435': load_sensor('d435')}
    picture, figures = beside_models(frames, workspace, models, found.edge_px)
    write_sensor(found, out)
    write_png(drawn, picture)
    for name, one in figures.items():
        print(f'{name:12} {one.text()}')
    print(f'{out} and {drawn}')


def run(arguments: Namespace) -> None:
    """Run `insegan dataset` with the options that were given."""
    values = arguments[arguments.action]
    if arguments.action == 'convert':
        from insegan_ros.camera.given import given_camera
        from insegan_ros.data.convert import convert

        camera = given_camera(values.intrinsics)
        count = convert(Path(values.source), Path(values.out), values.to, camera)
        print(f'{count} scenes in {values.out}')
    elif arguments.action == 'inspect':
        from insegan_ros.files import check_new, write_json
        from insegan_ros.metrics.inspect import describe, inspect

        if values.json:
            check_new(Path(values.json), '.json')
        result = inspect(Path(values.source), Path(values.sheet) if values.sheet else None)
        print(describe(result))
        if values.json:
            write_json(Path(values.json), result)
    elif arguments.action == 'heights':
        from insegan_ros.data.height_maps import write_height_maps
        from insegan_ros.heights import IMAGE_SIZE

        print(
            f'{write_height_maps(Path(values.source), Path(values.out), IMAGE_SIZE, values.truth)}'
            f' height maps in {values.out}'
        )
    elif arguments.action == 'pictures':
        from insegan_ros.data.pictures import write_pictures

        count = write_pictures(
            Path(values.source),
            Path(values.out),
            values.size,
            values.view,
            values.context,
            values.truth,
            values.split,
            values.empty,
        )
        print(f'{count} pictures in {values.out}')
    elif arguments.action == 'sensor':
        _fit_sensor(values)
    else:
        from insegan_sim.parts import PARTS, load_parts
        from insegan_sim.thumbnails import draw_parts

        draw_parts(load_parts(values.part or ','.join(PARTS)), Path(values.sheet))
