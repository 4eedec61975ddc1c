"""`insegan evaluate`: a segmenter scored on labelled data."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from insegan_ros.cli.options import (
    add_intrinsics_argument,
    add_model_arguments,
    chosen_segmenter,
    chosen_workspace,
    mind_part,
)
from insegan_ros.errors import ConfigError
from insegan_ros.files import write_json


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan evaluate`."""
    add_model_arguments(parser)
    add_intrinsics_argument(parser)
    parser.add_argument(
        '--data',
        type=str,
        required=True,
        help=(
            'labelled scenes that were not used in training: shards, BOP, COCO, Insta-10, a folder'
            ' of NAME_depth.png and NAME_labels.png, or a recording with labels; for methods that'
            ' use colour, shards or photographs with masks; for classes, shards, PASCAL VOC or COCO'
        ),
    )
    parser.add_argument(
        '--workspace',
        type=str,
        default='',
        help=(
            "for a recording: YAML of `insegan calibrate`; the recording's own workspace.yaml if"
            ' left out'
        ),
    )
    parser.add_argument(
        '--split',
        choices=['training', 'validation', 'test'],
        default='test',
        help='which split of a published set of photographs',
    )
    parser.add_argument(
        '--limit',
        type=int,
        default=100,
        help='how many scenes: the first N, and N on which K-means fails',
    )
    parser.add_argument(
        '--json', type=str | None, default=None, help='file for the numbers, scene by scene'
    )
    parser.add_argument(
        '--picture',
        type=str | None,
        default=None,
        help='PNG of the worst, the median and the best scene',
    )


def run(arguments: Namespace) -> None:
    """Run `insegan evaluate` with the options that were given."""
    from insegan_ros.camera.given import given_camera
    from insegan_ros.files import check_new
    from insegan_ros.tasks.base import Source, task_named

    if arguments.limit < 1:
        raise ConfigError(f'--limit is {arguments.limit}: expected 1 or more')
    for path, suffix in ((arguments.json, '.json'), (arguments.picture, '.png')):
        if path:
            check_new(Path(path), suffix)
    segmenter = chosen_segmenter(arguments)
    workspace = chosen_workspace(arguments)
    camera = given_camera(arguments.intrinsics)
    source = Source(Path(arguments.data), workspace, arguments.split, arguments.limit, camera)
    task = task_named(segmenter.task_for(source.path))
    data = task.load(segmenter, source)
    mind_part(segmenter, source.path, arguments.model)
    result = task.evaluate(segmenter, data)
    print(result.printed())
    if arguments.json:
        told = {'model': arguments.model, 'data': arguments.data}
        numbers = {**told, **result.summary, **result.rows}
        write_json(Path(arguments.json), numbers)
    if arguments.picture:
        result.draw(Path(arguments.picture))
