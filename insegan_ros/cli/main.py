"""The `insegan` command. Each subcommand is a few lines that call a library function; heavy imports
happen inside."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, set_parsing_settings

from insegan_ros import __version__
from insegan_ros.errors import ConfigError, InseganError, InseganWarning

if TYPE_CHECKING:
    from insegan_ros.frame import Frame
    from insegan_ros.methods.image_level.mask_segmenter import MaskSegmenter
    from insegan_ros.methods.image_level.semantic_segmenter import SemanticSegmenter
    from insegan_ros.tasks.foreground_segmenter import PictureSegmenter
    from insegan_ros.tasks.heap_segmenter import HeapSegmenter
    from insegan_ros.tasks.segmenter import Segmenter
    from insegan_ros.workspace import Workspace


def build_parser(command: str = '') -> ArgumentParser:
    """The command line. Only `command` gets its arguments: the others would import simulator and
    torch for their help line."""
    # The sentence under every field of a configuration is its help.
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog='insegan',
        description='Instance masks of equal parts in a bin, learnt without labels.',
        version=__version__,
    )
    commands = parser.add_subcommands(required=True, dest='command')
    for name, (help_line, add_arguments, _) in COMMANDS.items():
        sub = ArgumentParser(description=help_line)
        commands.add_subcommand(name, sub, help=help_line)
        if name == command:
            add_arguments(sub)
    return parser


def _simulate_arguments(parser: ArgumentParser) -> None:
    from insegan_sim.generate import SimulateConfig

    parser.add_argument(
        '--config',
        action=ActionConfigFile,
        help='YAML file with any of the values below, such as config/simulate/heap.yaml',
    )
    parser.add_class_arguments(SimulateConfig)


def _dataset_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subcommands(required=True, dest='action')
    convert, inspect, heights, pictures, parts = (ArgumentParser() for _ in range(5))
    convert.add_argument(
        'source',
        type=str,
        help=(
            'folder of shards, BOP scenes, COCO annotations or Insta-10 folders; which of them is'
            ' found by looking'
        ),
    )
    convert.add_argument('out', type=str, help='new folder')
    convert.add_argument(
        '--to',
        type=str,
        required=True,
        help='shards, bop, coco, insta10, recording (rosbag2, mcap), or clouds (labelled PLY)',
    )
    inspect.add_argument('source', type=str, help='folder in any of these formats')
    inspect.add_argument(
        '--sheet', type=str | None, default=None, help='new PNG with a sample of the scenes'
    )
    inspect.add_argument('--json', type=str | None, default=None, help='file for the numbers')
    heights.add_argument('source', type=str, help='folder of shards')
    heights.add_argument(
        'out', type=str, help='new file, such as nut.h5; `insegan train ... --data nut.h5` reads it'
    )
    heights.add_argument(
        '--truth', action='store_true', help='labels too, for `insegan train supervised`'
    )
    pictures.add_argument(
        'source', type=str, help='folder of shards with colour, or of photographs'
    )
    pictures.add_argument(
        'out',
        type=str,
        help='new file, such as tote.h5; `insegan train layered-gan --data tote.h5` reads it',
    )
    pictures.add_argument('--size', type=int, default=64, help='side in px')
    pictures.add_argument(
        '--view',
        choices=['scene', 'box'],
        default='scene',
        help="scene: the bin's inside, or the middle of a photograph; box: around the object's box",
    )
    pictures.add_argument('--context', type=float, default=1.2, help='how much larger than the box')
    pictures.add_argument(
        '--split',
        choices=['training', 'validation', 'test'],
        default='training',
        help='of a published set',
    )
    pictures.add_argument('--truth', action='store_true', help='masks too, for evaluation')
    pictures.add_argument(
        '--empty',
        action='store_true',
        help=(
            'instead: the scenes in which nothing lies, backgrounds for `insegan train'
            ' independence-foreground`'
        ),
    )
    parts.add_argument('sheet', type=str, help='new PNG')
    parts.add_argument(
        '--part', type=str, default='', help='which parts; the ten of the paper if left out'
    )
    for name, sub, text in (
        ('convert', convert, 'from one format to another'),
        ('inspect', inspect, 'counts, sizes, fill, occlusion, contact sheet'),
        (
            'heights',
            heights,
            'the small height maps that training reads, in one file, to train on another machine',
        ),
        (
            'pictures',
            pictures,
            'the small colour pictures that foreground segmenters learn from, in one file',
        ),
        ('parts', parts, 'a picture of the parts'),
    ):
        actions.add_subcommand(name, sub, help=text)


def _train_arguments(parser: ArgumentParser) -> None:
    from insegan_ros.methods.recipes import RECIPES

    recipes = parser.add_subcommands(required=True, dest='recipe')
    for name in RECIPES:
        recipes.add_subcommand(name, _recipe_parser(name))


def _recipe_parser(name: str) -> ArgumentParser:
    from insegan_ros.methods.recipes import RECIPES

    config = RECIPES[name][0]
    parser = ArgumentParser(prog=f'insegan train {name}', description=config.__doc__)
    parser.add_argument(
        '--config', action=ActionConfigFile, help='YAML file with any of the values below'
    )
    parser.add_class_arguments(config)
    return parser


def _check_recipe(argv: list[str]) -> None:
    """Of a command within a command jsonargparse cannot say what it does not know: alone it can,
    and ends here."""
    if argv[:1] == ['train'] and len(argv) > 1:
        from insegan_ros.methods.recipes import RECIPES

        if argv[1] in RECIPES:
            _recipe_parser(argv[1]).parse_args(argv[2:])


def _segment_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        'input',
        type=str,
        help=(
            'depth image (a photograph for methods of colour), folder of images or shards, or'
            ' recording'
        ),
    )
    _model_arguments(parser)
    parser.add_argument(
        '--out',
        type=str,
        default='masks',
        help='folder for labels (16-bit PNG), overlays, results.json; must not hold results yet',
    )
    parser.add_argument(
        '--workspace',
        type=str,
        default='',
        help=(
            "YAML of `insegan calibrate`: floor and inside of the bin; a recording's own"
            ' workspace.yaml if left out'
        ),
    )
    parser.add_argument(
        '--floor',
        type=list[float] | None,
        default=None,
        help="the floor's plane a, b, c, d in the optical frame; fitted to every frame if left out",
    )
    parser.add_argument(
        '--bounds',
        type=list[float] | None,
        default=None,
        help="the bin's x_min, y_min, x_max, y_max in m; needs --floor",
    )


def _calibrate_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        'input',
        type=str,
        nargs='?',
        default='',
        help='the empty bin: a recording, a depth image, a folder of either',
    )
    parser.add_argument(
        '--topic',
        type=str,
        default='',
        help='instead: a live depth topic, such as /camera/camera/depth/image_rect_raw',
    )
    parser.add_argument(
        '--out',
        type=str,
        required=True,
        help=(
            "new YAML file with the segmenter's floor and bounds; a picture of what was found goes"
            ' beside it'
        ),
    )


def _evaluate_arguments(parser: ArgumentParser) -> None:
    _model_arguments(parser)
    parser.add_argument(
        '--data',
        type=str,
        required=True,
        help=(
            'labelled scenes that no training has seen: shards, BOP, COCO, Insta-10, or a recording'
            ' with labels; for methods of colour shards or photographs with masks; for classes'
            ' shards, PASCAL VOC or COCO'
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
        help='of a published set of photographs',
    )
    parser.add_argument(
        '--limit',
        type=int,
        default=100,
        help='scenes a set: the first ones, and the first ones where K-means fails',
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


def _card_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--model',
        type=str,
        required=True,
        help=(
            'checkpoint folder of a finished training; of irnet or ccgr one in the runs/ of insegan'
            ' benchmark weak'
        ),
    )
    parser.add_argument(
        '--out',
        type=str,
        required=True,
        help='new folder for weights, card.json, README.md and pictures',
    )
    parser.add_argument(
        '--limit',
        type=int,
        default=100,
        help=(
            'random scenes, and scenes on which K-means fails; three times as many totes for'
            ' foreground methods'
        ),
    )


def _benchmark_arguments(parser: ArgumentParser) -> None:
    from insegan_ros.benchmarks.benchmark import BENCHMARKS, LONG_BENCHMARKS

    parser.add_argument(
        'name', choices=sorted([*BENCHMARKS, *LONG_BENCHMARKS]), help='what to measure'
    )
    parser.add_argument(
        '--budget',
        choices=['small', 'medium', 'full'],
        default='full',
        help=(
            'small: minutes; medium: a day or two on two cores for insta10, an afternoon for'
            ' foreground, hoc and weak; every row says so'
        ),
    )
    parser.add_argument(
        '--out',
        type=str,
        default='',
        help=(
            'insta10, foreground, hoc, weak: folder (runs/NAME if left out) of data, trainings,'
            ' results and report; one that was begun is continued'
        ),
    )
    parser.add_argument(
        '--only',
        type=str,
        default='',
        help=(
            'insta10, foreground, hoc, weak: tables, methods and parts, joined by commas, such as'
            ' methods,kmeans,shipped,bolt'
        ),
    )
    parser.add_argument(
        '--measured',
        action='store_true',
        help=(
            'insta10, foreground, hoc, weak: write the tables of what has been measured in --out so'
            ' far, and measure nothing'
        ),
    )
    parser.add_argument(
        '--pictures',
        type=str,
        default='',
        help=(
            'hoc: folder of photographs NAME.png with NAME_labels.png; the first is learnt from,'
            ' all are judged'
        ),
    )
    parser.add_argument('--json', type=str | None, default=None, help='file for the rows')


def _export_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--model', type=str, required=True, help='checkpoint folder or shipped name (insegan-nut)'
    )
    parser.add_argument('--format', choices=['onnx'], default='onnx', help='what to write')
    parser.add_argument('--out', type=str, required=True, help='new file, such as nut.onnx')


def _demo_arguments(parser: ArgumentParser) -> None:
    from insegan_ros.nodes.demo_config import DemoConfig

    parser.add_class_arguments(DemoConfig)


def _replay_arguments(parser: ArgumentParser) -> None:
    from insegan_ros.nodes.replay_config import ReplayConfig

    parser.add_class_arguments(ReplayConfig)


def _model_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--model',
        type=str,
        required=True,
        help=(
            'checkpoint folder, shipped name (insegan-nut), or a method by its name: kmeans,'
            ' spectral, grabcut, graphcut, felzenszwalb; grabcut-colour, kmeans-colour,'
            ' depth-threshold'
        ),
    )
    parser.add_argument(
        '--segmenter',
        type=str,
        default='',
        help="another way to run the checkpoint, such as insegan (the paper's pose encoder)",
    )
    parser.add_argument('--device', type=str, default='auto', help='auto, cpu, cuda, cuda:N')
    parser.add_argument(
        '--instances', type=int, default=5, help='number of parts, for the classical methods'
    )
    parser.add_argument(
        '--mesh',
        type=str,
        default='',
        help="the part's STL, OBJ or PLY: poses are then the part's own, instead of principal axes",
    )
    parser.add_argument(
        '--gate',
        type=str,
        default='',
        help=(
            'a foreground method or checkpoint (layered-gan-tote, depth-threshold): what it takes'
            ' for background is floor to the model'
        ),
    )
    parser.add_argument(
        '--mesh-scale',
        type=float,
        default=1.0,
        help='metres in a unit of the mesh: 0.001 for a file in millimetres',
    )


def _simulate(arguments: Namespace) -> None:
    from insegan_sim.generate import SimulateConfig, simulate

    print(simulate(_instantiate(SimulateConfig, arguments)))


def _dataset(arguments: Namespace) -> None:
    values = arguments[arguments.action]
    if arguments.action == 'convert':
        from insegan_ros.data.convert import convert

        print(f'{convert(Path(values.source), Path(values.out), values.to)} scenes in {values.out}')
    elif arguments.action == 'inspect':
        from insegan_ros.data.inspect import describe, inspect

        if values.json:
            from insegan_ros.files import check_new

            check_new(Path(values.json), '.json')
        result = inspect(Path(values.source), Path(values.sheet) if values.sheet else None)
        print(describe(result))
        if values.json:
            Path(values.json).write_text(json.dumps(result, indent=1) + '\n')
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
    else:
        from insegan_sim.parts import PARTS, load_parts
        from insegan_sim.thumbnails import draw_parts

        draw_parts(load_parts(values.part or ','.join(PARTS)), Path(values.sheet))


def _train(arguments: Namespace) -> None:
    from insegan_ros.methods.recipes import RECIPES

    config_class, train = RECIPES[arguments.recipe]
    values = arguments[arguments.recipe]
    config = _instantiate(config_class, values)
    print(train(config))
    if getattr(config, 'stop_after', ''):
        print(
            f'stopped after {config.stop_after}: look at the pictures there; the same command'
            ' without --stop_after goes on'
        )


def _instantiate(config_class: type, values: Namespace) -> Any:
    """A configuration of nested dataclasses from parsed values."""
    values.pop('config', None)
    parser = ArgumentParser()
    parser.add_class_arguments(config_class, 'it')
    return parser.instantiate(Namespace(it=values)).it


def _segment(arguments: Namespace) -> None:
    from insegan_ros.cli.segment_input import segment_input
    from insegan_ros.data.recordings import own_workspace
    from insegan_ros.data.shards import ShardDataset, is_shards
    from insegan_ros.methods.registry import load_segmenter

    source = Path(arguments.input)
    workspace = _workspace(arguments) or own_workspace(source)
    segmenter = load_segmenter(
        arguments.model,
        arguments.segmenter,
        workspace,
        arguments.device,
        arguments.instances,
        arguments.mesh,
        arguments.mesh_scale,
        arguments.gate,
    )
    if (
        workspace is None
        and not is_shards(source)
        and not getattr(segmenter, 'needs_colour', False)
    ):
        print(
            'where the bin is, is not given (--workspace): the floor is fitted to every frame, and'
            ' all that stands on it is taken for parts, walls too'
        )
    if is_shards(source):
        _mind_part(segmenter, source, ShardDataset(source).classes, arguments)
    count, refused = segment_input(source, segmenter, Path(arguments.out))
    print(
        f'{count - refused} frames segmented into {arguments.out}'
        + (f'; {refused} could not be used, results.json says why' if refused else '')
    )


def _mind_part(
    segmenter: Segmenter, data: Path, names: tuple[str, ...], arguments: Namespace
) -> None:
    """Say so where a checkpoint is of another part than shards of one part are. Other formats name
    their parts in ways of their own."""
    from insegan_ros.data.shards import is_shards

    part = getattr(segmenter, 'part', '')
    if part and is_shards(data) and len(names) == 1 and part not in names:
        warnings.warn(
            f'{arguments.model} has learnt {part}, the data hold {", ".join(names)}: expected a'
            ' checkpoint of the same part',
            InseganWarning,
            stacklevel=2,
        )


def _workspace(arguments: Namespace) -> Workspace | None:
    """The bin that --workspace, or --floor and --bounds name; None where none is given."""
    from insegan_ros.workspace import Workspace, read_workspace

    floor, bounds = arguments.get('floor'), arguments.get('bounds')
    if bounds and not floor:
        raise ConfigError('--bounds is given without --floor: expected both')
    if floor and arguments.workspace:
        raise ConfigError('--floor and --workspace are given: expected one of them')
    if arguments.workspace:
        return read_workspace(Path(arguments.workspace))
    return Workspace(tuple(floor), tuple(bounds) if bounds else None) if floor else None


def _calibrate(arguments: Namespace) -> None:
    from insegan_ros.cli.segment_input import frames_of
    from insegan_ros.data.recordings import is_recording
    from insegan_ros.data.shards import is_shards
    from insegan_ros.picking.calibrate import (
        FRAMES,
        calibrate,
        check_calibration_path,
        write_calibration,
    )

    if bool(arguments.input) == bool(arguments.topic):
        raise ConfigError(
            'calibrate needs a recording or picture of the empty bin, or --topic: expected one of'
            ' them'
        )
    check_calibration_path(Path(arguments.out))
    if arguments.topic:
        with _needs_ros():
            from insegan_ros.nodes.live import live_frames
        frames: Iterable[Frame] = live_frames(arguments.topic, FRAMES)
    else:
        source = Path(arguments.input)
        frames = frames_of(source)
        if source.suffix == '.png' or (
            source.is_dir() and not is_recording(source) and not is_shards(source)
        ):
            print(
                "a depth image does not say its camera: a D435's field of view is assumed, and"
                ' lengths are as good as that; a recording or --topic knows it'
            )
    found, picture = calibrate(frames)
    drawn = write_calibration(found, picture, Path(arguments.out))
    print(f'{found.text()}\n{arguments.out} and {drawn}')


def _evaluate(arguments: Namespace) -> None:
    from insegan_ros.data.bop import is_bop
    from insegan_ros.data.convert import open_dataset
    from insegan_ros.data.recordings import is_recording
    from insegan_ros.files import check_new
    from insegan_ros.methods.image_level.mask_segmenter import MaskSegmenter
    from insegan_ros.methods.image_level.semantic_segmenter import SemanticSegmenter
    from insegan_ros.methods.registry import load_segmenter
    from insegan_ros.tasks.foreground_segmenter import PictureSegmenter
    from insegan_ros.tasks.heap_segmenter import HeapSegmenter
    from insegan_ros.tasks.instances import evaluate, print_summary, worst_to_best

    data, workspace = Path(arguments.data), _workspace(arguments)
    if arguments.limit < 1:
        raise ConfigError(f'--limit is {arguments.limit}: expected 1 or more')
    for path, suffix in ((arguments.json, '.json'), (arguments.picture, '.png')):
        if path:
            check_new(Path(path), suffix)
    segmenter = load_segmenter(
        arguments.model,
        arguments.segmenter,
        None,
        arguments.device,
        arguments.instances,
        gate=arguments.gate,
        mesh=arguments.mesh,
        mesh_scale=arguments.mesh_scale,
    )
    if isinstance(segmenter, PictureSegmenter):
        _evaluate_pictures(arguments, segmenter)
        return
    if isinstance(segmenter, HeapSegmenter):
        _evaluate_heaps(arguments, segmenter)
        return
    # Labels of recordings and of BOP have no names of classes that we know: there parts are told
    # apart, as those of any other method.
    if (
        isinstance(segmenter, (MaskSegmenter, SemanticSegmenter))
        and not is_recording(data)
        and not is_bop(data)
    ):
        _evaluate_classes(arguments, segmenter)
        return
    by_colour = getattr(segmenter, 'needs_colour', False)
    names, scenes = open_dataset(data, workspace, by_colour)
    _mind_part(segmenter, data, names, arguments)
    result = evaluate(segmenter, scenes, arguments.limit)
    print_summary(result.summary())
    if arguments.json:
        numbers = {
            'model': arguments.model,
            'data': arguments.data,
            **result.summary(),
            'rows': result.rows(),
        }
        Path(arguments.json).write_text(json.dumps(numbers, indent=1) + '\n')
    if arguments.picture:
        worst_to_best(
            segmenter, open_dataset(data, workspace, by_colour)[1], result, Path(arguments.picture)
        )


def _evaluate_pictures(arguments: Namespace, segmenter: PictureSegmenter) -> None:
    """Foreground against background, on pictures of one object each."""
    from insegan_ros.benchmarks.foreground import TEST_PX, mean_scores, score_pictures
    from insegan_ros.data.pictures import read_pictures
    from insegan_ros.tasks.card import draw_foregrounds

    pictures = read_pictures(
        Path(arguments.data),
        TEST_PX[segmenter.view],
        segmenter.view,
        segmenter.context,
        arguments.limit,
        truth=True,
        split=arguments.split,
    )
    scores = score_pictures(segmenter, pictures)
    summary = {'pictures': len(scores), **mean_scores(scores)}
    print(json.dumps(summary, indent=1))
    if arguments.json:
        Path(arguments.json).write_text(
            json.dumps(
                {'model': arguments.model, 'data': arguments.data, **summary, 'rows': scores},
                indent=1,
            )
            + '\n'
        )
    if arguments.picture:
        draw_foregrounds(segmenter, pictures, scores, Path(arguments.picture))


def _evaluate_heaps(arguments: Namespace, segmenter: HeapSegmenter) -> None:
    """Heaps: shards, of which parts seen by half or more are judged, or photographs with labels
    beside them."""
    from insegan_ros.data.shards import is_shards
    from insegan_ros.tasks.heaps import (
        divide_heap,
        draw_heaps,
        photographed_heaps,
        score_heaps,
        simulated_heaps,
    )

    data = Path(arguments.data)
    heaps = list(
        islice(
            simulated_heaps(data) if is_shards(data) else photographed_heaps(data), arguments.limit
        )
    )
    found = [divide_heap(segmenter, heap) for heap in heaps]
    rows = [{'heap': heap.name, **score_heaps([heap], [one])} for heap, one in zip(heaps, found)]
    summary = {'heaps': len(heaps), **score_heaps(heaps, found)}
    print(json.dumps(summary, indent=1))
    if arguments.json:
        Path(arguments.json).write_text(
            json.dumps(
                {'model': arguments.model, 'data': arguments.data, **summary, 'rows': rows},
                indent=1,
            )
            + '\n'
        )
    if arguments.picture:
        draw_heaps(heaps, found, Path(arguments.picture), segmenter.needs_colour)


def _evaluate_classes(arguments: Namespace, segmenter: MaskSegmenter | SemanticSegmenter) -> None:
    """Masks with classes, or classes alone: shards, PASCAL VOC or COCO."""
    from insegan_ros.benchmarks.classes import draw_found
    from insegan_ros.data.image_sets import read_image_set
    from insegan_ros.methods.image_level.mask_segmenter import MaskSegmenter
    from insegan_ros.methods.image_level.run import truth_of
    from insegan_ros.metrics.average_precision import precision_by_class
    from insegan_ros.metrics.classes import score_masks
    from insegan_ros.tasks.classes import detect_all, label_all

    images = read_image_set(
        arguments.data, segmenter.size, segmenter.look, arguments.split, arguments.limit
    )
    truth = truth_of(images, progress=False)
    if isinstance(segmenter, MaskSegmenter):
        found = detect_all(segmenter, images)
        summary, more = (
            {'pictures': len(images), **score_masks(truth, found)},
            {'classes': precision_by_class(truth, found)},
        )
    else:
        found, miou = label_all(segmenter, images, truth)
        summary, more = {'pictures': len(images), 'miou': round(miou, 4)}, {}
    print(json.dumps({**summary, **more}, indent=1))
    if arguments.json:
        Path(arguments.json).write_text(
            json.dumps(
                {'model': arguments.model, 'data': arguments.data, **summary, **more}, indent=1
            )
            + '\n'
        )
    if arguments.picture:
        draw_found(images, found, truth, Path(arguments.picture))


def _card(arguments: Namespace) -> None:
    from insegan_ros.methods.registry import find_checkpoint
    from insegan_ros.tasks.card import make_card
    from insegan_ros.tasks.instances import print_summary

    metrics = make_card(find_checkpoint(arguments.model), Path(arguments.out), arguments.limit)[
        'metrics'
    ]
    if 'scenes_hard' in metrics:
        print_summary(metrics)
    else:
        print(json.dumps(metrics, indent=1))


def _benchmark(arguments: Namespace) -> None:
    from insegan_ros.benchmarks.benchmark import LONG_BENCHMARKS, run_benchmark

    if arguments.name in LONG_BENCHMARKS:
        folder = Path(arguments.out or f'runs/{arguments.name}')
        options = (
            {'pictures': Path(arguments.pictures)}
            if arguments.name == 'hoc' and arguments.pictures
            else {}
        )
        rows = LONG_BENCHMARKS[arguments.name](
            folder,
            arguments.budget,
            {name.strip() for name in arguments.only.split(',') if name.strip()},
            arguments.measured,
            **options,
        )
    else:
        rows = run_benchmark(arguments.name, arguments.budget)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + '\n')


def _export(arguments: Namespace) -> None:
    from insegan_ros.engine.checkpoint import Checkpoint
    from insegan_ros.methods.registry import find_checkpoint
    from insegan_ros.offsets.export import export_onnx

    difference = export_onnx(Checkpoint.load(find_checkpoint(arguments.model)), Path(arguments.out))
    print(f'{arguments.out}: onnxruntime agrees with PyTorch to {difference:.1g}')


def _demo(arguments: Namespace) -> None:
    with _needs_ros():
        from insegan_ros.nodes.demo import run_demo
    from insegan_ros.nodes.demo_config import DemoConfig

    print(json.dumps(run_demo(DemoConfig(**arguments.as_dict())), indent=2))


def _replay(arguments: Namespace) -> None:
    with _needs_ros():
        from insegan_ros.nodes.replay import run_replay
    from insegan_ros.nodes.replay_config import ReplayConfig

    print(json.dumps(run_replay(ReplayConfig(**arguments.as_dict())), indent=2))


@contextmanager
def _needs_ros() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f'ROS 2 is not there ({error}): expected a sourced ROS 2, or the rclpy wheels that'
            ' `make setup` installs'
        ) from error


# name -> (help, what adds its arguments, what runs it)
COMMANDS: dict[str, tuple[str, Callable[[ArgumentParser], None], Callable[[Namespace], None]]] = {
    'simulate': (
        'make a data set of simulated bins; goes on where it was stopped',
        _simulate_arguments,
        _simulate,
    ),
    'dataset': (
        'convert a data set, look into one, or draw the parts',
        _dataset_arguments,
        _dataset,
    ),
    'train': (
        'learn a segmenter from unlabelled depth or colour; goes on where it was stopped',
        _train_arguments,
        _train,
    ),
    'segment': (
        (
            'masks for depth images (16-bit PNG in mm), recordings (RealSense .bag, rosbag2) or'
            ' shards; for photographs with a method of colour'
        ),
        _segment_arguments,
        _segment,
    ),
    'calibrate': (
        'find floor and inside of an empty bin, for the segmenter to load',
        _calibrate_arguments,
        _calibrate,
    ),
    'evaluate': (
        "score a segmenter on labelled scenes: honest and paper's protocol, K-means beside it",
        _evaluate_arguments,
        _evaluate,
    ),
    'card': (
        'measure a finished training on unseen simulated bins and write its model card',
        _card_arguments,
        _card,
    ),
    'benchmark': ('measure speed and quality on this machine', _benchmark_arguments, _benchmark),
    'export': (
        'the dense network as ONNX, for runtimes without PyTorch',
        _export_arguments,
        _export,
    ),
    'replay': (
        (
            'play a recording into the live segmenter on real ROS 2 topics; scored where it holds'
            ' labels'
        ),
        _replay_arguments,
        _replay,
    ),
    'demo': (
        'simulated camera and segmenter as two processes on real ROS 2 topics, scored and drawn',
        _demo_arguments,
        _demo,
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Entry point. A mistake of the user's is one line and exit status 2; being stopped is 130."""
    argv = sys.argv[1:] if argv is None else argv
    plain = warnings.formatwarning
    warnings.formatwarning = lambda message, category, *rest: (
        f'insegan: {message}\n'
        if issubclass(category, InseganWarning)
        else plain(message, category, *rest)
    )
    try:
        parser = build_parser(argv[0] if argv else '')
        _check_recipe(argv)
        arguments: Any = parser.parse_args(argv)
        values = arguments[arguments.command]
        values.pop('config', None)
        COMMANDS[arguments.command][2](values)
    except InseganError as error:
        print(f'insegan: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.close(sys.stdout.fileno())
        return 0
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
