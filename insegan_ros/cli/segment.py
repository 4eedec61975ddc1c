"""`insegan segment`: any input, one label image and one overlay a frame, and what was found as
JSON."""

from __future__ import annotations

import re
import shutil
from contextlib import nullcontext
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from insegan_ros.camera.given import GivenCamera, given_camera
from insegan_ros.cli.options import (
    add_bin_arguments,
    add_intrinsics_argument,
    add_model_arguments,
    chosen_segmenter,
    chosen_workspace,
    mind_part,
)
from insegan_ros.data.convert import is_dataset
from insegan_ros.data.folders import LABELS
from insegan_ros.data.items import items_of
from insegan_ros.data.recording_writer import INSTANCES_TOPIC, RecordingWriter
from insegan_ros.data.recordings import is_recording
from insegan_ros.drawing.overlay import overlay
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.files import hold_folder, write_json, write_png
from insegan_ros.frame import Frame, Instances
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace

# There when a run has gone through all frames, and until it has, or where none could be used.
RESULTS, UNFINISHED = 'results.json', 'unfinished.json'
# What masks and overlays are called.
NUMBERED = re.compile(rf'\d{{6,}}({LABELS}|_overlay\.png)')


def segment_input(
    source: Path,
    segmenter: Segmenter,
    out: Path,
    workspace: Workspace | None = None,
    camera: GivenCamera | None = None,
) -> tuple[int, int]:
    """Segment every frame of `source` into `out` (shards know their bins, and methods of colour
    read photographs): NNNNNN_labels.png (16 bit), NNNNNN_overlay.png, results.json; for a recording
    also `recording`, a rosbag2 folder with its depth, the labels and the overlay.

    Returns the number of frames and of those that could not be used; the reason of each stands in
    results.json. What a run left in `out` that was stopped, or could use no frame, is made anew.
    Raises DatasetError where `out` holds other results, or masks of anything else: nothing is
    written over; where another process writes into it; or where something cannot be written, and
    then there is no results.json.
    Raises InputError where no frame at all could be used.
    """
    check_results_folder(out)
    by_colour, rows = segmenter.needs_colour, []
    items = items_of(source, by_colour, camera)
    first = next(items, None)
    if first is None:
        raise DatasetError(f'{source} holds no depth frames')
    _lock = hold_folder(out, DatasetError)
    recorded = begin_results(out, is_recording(source))
    with RecordingWriter(recorded) if recorded else nullcontext() as recording:
        for index, item in enumerate(tqdm(chain([first], items), desc='segment', unit='frame')):
            name = {'file': item.name} if item.name else {}
            if item.frame is None:
                rows.append({'frame': index, **name, 'instances': [], 'error': item.error})
                continue
            frame = item.frame
            try:
                found, error = segmenter.segment(frame, workspace or item.workspace), None
            except InputError as problem:
                found, error = Instances.none(frame.depth_m.shape), str(problem)
            colour = frame.colour if by_colour else None
            picture = overlay(frame.depth_m, found.labels, colour, found.classes, numbers=True)
            write_png(out / f'{index:06d}{LABELS}', found.labels)
            write_png(out / f'{index:06d}_overlay.png', picture)
            if recording is not None:
                recording.add(frame, found.labels, INSTANCES_TOPIC, picture)
            rows.append({**_row(index, frame, found, error), **name})
    write_json(out / RESULTS, rows)
    refused = [row['error'] for row in rows if 'error' in row]
    if len(refused) == len(rows):
        # The mark stays: the same command is given again, corrected.
        raise InputError(f'none of {len(rows)} frames could be used: {refused[0]}')
    (out / UNFINISHED).unlink(missing_ok=True)
    return len(rows), len(refused)


def check_results_folder(out: Path) -> None:
    """Raise DatasetError where a folder holds results, or masks, overlays or a recording of which
    nothing says that they are of a run that was stopped: they may be drawn by hand."""
    if (out / UNFINISHED).exists():
        return
    if (out / RESULTS).exists():
        raise DatasetError(f'{out} already holds results: expected another --out')
    if kept := _numbered(out):
        raise DatasetError(
            f'{out} already holds {kept[0].name}, which would be written over: expected another'
            ' --out'
        )


def begin_results(out: Path, with_recording: bool) -> Path | None:
    """Remove from `out` what a run that was stopped left there, and say in it that this one has not
    finished; the folder for its recording, if it makes one. Raises DatasetError where something
    must not be written over."""
    check_results_folder(out)
    recorded, mark = out / 'recording', out / UNFINISHED
    if mark.exists():
        for path in _numbered(out):
            path.unlink()
        # The recording is the stopped run's own where its mark says so.
        if 'recording' in mark.read_text():
            shutil.rmtree(recorded, ignore_errors=True)
    if with_recording and recorded.exists() and any(recorded.iterdir()):
        raise DatasetError(f'{recorded} is not empty: expected another --out')
    write_json(mark, {'unfinished': ['masks', *(['recording'] if with_recording else [])]})
    return recorded if with_recording else None


def _numbered(out: Path) -> list[Path]:
    return [path for path in sorted(out.glob('*.png')) if NUMBERED.fullmatch(path.name)]


def _row(index: int, frame: Frame, found: Instances, error: str | None) -> dict[str, object]:
    valid = frame.depth_m[np.isfinite(frame.depth_m)]
    row: dict[str, object] = {
        # A photograph, without depth, says nothing of its camera, and so of places in space.
        'frame': index,
        'stamp_ns': frame.stamp_ns,
        'frame_id': frame.frame_id,
        'intrinsics': asdict(frame.intrinsics) if valid.size else None,
        'depth_m': (
            {
                'min': float(valid.min()),
                'median': float(np.median(valid)),
                'max': float(valid.max()),
            }
            if valid.size
            else None
        ),
        'instances': [
            {
                'label': i + 1,
                'score': round(float(score), 4),
                'area_px': int((found.labels == i + 1).sum()),
                **({'class': found.classes[i]} if found.classes else {}),
                'pose': (
                    np.round(found.poses[i], 5).tolist()
                    if found.poses is not None and valid.size
                    else None
                ),
            }
            for i, score in enumerate(found.scores)
        ],
    }
    return {**row, 'error': error} if error else row


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `insegan segment`."""
    parser.add_argument(
        'input',
        type=str,
        help=(
            'depth image (a photograph for methods that use colour) or PLY or PCD cloud, folder of'
            ' images, clouds or shards, or recording'
        ),
    )
    add_model_arguments(parser)
    add_intrinsics_argument(parser)
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
    add_bin_arguments(parser, 'fitted to every frame if left out', 'needs --floor')


def run(arguments: Namespace) -> None:
    """Run `insegan segment` with the options that were given."""
    from insegan_ros.data.recordings import own_workspace

    source = Path(arguments.input)
    workspace = chosen_workspace(arguments) or own_workspace(source)
    segmenter = chosen_segmenter(arguments)
    # Data sets hold the bin of every scene themselves.
    knows = source.is_dir() and is_dataset(source) and not is_recording(source)
    if workspace is None and not knows and not segmenter.needs_colour:
        print(
            'it is not given where the bin is (--workspace): the floor is fitted to every frame,'
            ' and everything that stands on it is taken for parts, walls included'
        )
    mind_part(segmenter, source, arguments.model)
    camera = given_camera(arguments.intrinsics)
    count, refused = segment_input(source, segmenter, Path(arguments.out), workspace, camera)
    print(
        f'{count - refused} frames segmented into {arguments.out}'
        + (f'; {refused} could not be used, results.json says why' if refused else '')
    )
