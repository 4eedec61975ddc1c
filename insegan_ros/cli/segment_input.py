"""`insegan segment`: any input, one label image and one overlay a frame, and what was found as
JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from insegan_ros.data.convert import is_dataset, open_dataset
from insegan_ros.data.photo_sets import PICTURES
from insegan_ros.data.recording_writer import INSTANCES_TOPIC, RecordingWriter
from insegan_ros.data.recordings import (
    is_recording,
    read_colour_image,
    read_depth_image,
    read_frames,
)
from insegan_ros.drawing.overlay import overlay
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.frame import Frame, Instances
from insegan_ros.tasks.segmenter import Segmenter
from insegan_ros.workspace import Workspace


@dataclass(frozen=True)
class Item:
    """One thing to segment: its file's name, or empty where many lie in one; the frame, or None and
    why it cannot be read; the bin where the source knows it."""

    name: str
    frame: Frame | None
    workspace: Workspace | None = None
    error: str = ''


def frames_of(source: Path) -> Iterator[Frame]:
    """The depth frames of an image, a folder of images, a data set, or a recording, in order.
    Raises DatasetError where there is nothing, InputError for an image that cannot be read."""

    def read(item: Item) -> Frame:
        if item.frame is None:
            raise InputError(item.error)
        return item.frame

    return map(read, items_of(source))


def items_of(source: Path, by_colour: bool = False) -> Iterator[Item]:
    """What lies in a source, in order; images are depth, or by_colour photographs, also in
    sub-folders, and recordings give their colour. Raises DatasetError where there is nothing."""
    # At once, not when the first item is asked for.
    if not source.exists():
        raise DatasetError(f'{source} does not exist: expected an image, a folder or a recording')
    return _items_of(source, by_colour)


def _items_of(source: Path, by_colour: bool) -> Iterator[Item]:
    if is_recording(source):
        yield from (Item('', frame) for frame in read_frames(source, colour=by_colour))
    elif source.is_dir() and is_dataset(source):
        yield from (Item('', scene.frame, scene.workspace) for scene in open_dataset(source)[1])
    else:
        yield from _images(source, by_colour)


def _images(source: Path, photographs: bool) -> Iterator[Item]:
    paths = [source]
    if source.is_dir():
        found = source.rglob('*') if photographs else source.glob('*.png')
        paths = sorted(
            path
            for path in found
            if path.suffix.lower() in PICTURES
            and 'masks' not in path.relative_to(source).parts[:-1]
            and not path.stem.endswith('_labels')
        )
    if not paths:
        raise DatasetError(
            f'{source} holds no {"photographs" if photographs else "depth images"}, shards or'
            f' recording: expected {"JPEG or PNG files" if photographs else "*.png"}, scenes-*.h5'
            ' or metadata.yaml'
        )
    for path in paths:
        name = str(path.relative_to(source)) if source.is_dir() else path.name
        try:
            yield Item(name, read_colour_image(path) if photographs else read_depth_image(path))
        except InputError as problem:
            yield Item(name, None, error=str(problem))


def segment_input(source: Path, segmenter: Segmenter, out: Path) -> tuple[int, int]:
    """Segment every frame of `source` into `out` (shards know their bins, and methods of colour
    read photographs): NNNNNN_labels.png (16 bit), NNNNNN_overlay.png, results.json; for a recording
    also `recording`, a rosbag2 folder with its depth, the labels and the overlay.

    Returns the number of frames and of those that could not be used; the reason of each stands in
    results.json. Raises DatasetError where `out` holds results already: nothing is written over;
    InputError where no frame at all could be used.
    """
    results = out / 'results.json'
    if results.exists():
        raise DatasetError(f'{out} holds results already: expected another --out')
    by_colour, own_bins, rows = (
        getattr(segmenter, 'needs_colour', False),
        segmenter.workspace is None,
        [],
    )
    items = items_of(source, by_colour)
    with RecordingWriter(out / 'recording') if is_recording(source) else nullcontext() as recording:
        for index, item in enumerate(tqdm(items, desc='segment', unit='frame')):
            if index == 0:
                out.mkdir(parents=True, exist_ok=True)
            name = {'file': item.name} if item.name else {}
            if item.frame is None:
                rows.append({'frame': index, **name, 'instances': [], 'error': item.error})
                continue
            frame = item.frame
            if own_bins:
                segmenter.workspace = item.workspace
            try:
                found, error = segmenter.segment(frame), None
            except InputError as problem:
                found, error = Instances.none(frame.depth_m.shape), str(problem)
            picture = overlay(
                frame.depth_m, found.labels, frame.colour if by_colour else None, found.classes
            )
            cv2.imwrite(str(out / f'{index:06d}_labels.png'), found.labels)
            cv2.imwrite(
                str(out / f'{index:06d}_overlay.png'), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            )
            if recording is not None:
                recording.add(frame, found.labels, INSTANCES_TOPIC, picture)
            rows.append({**_row(index, frame, found, error), **name})
        if not rows:
            raise DatasetError(f'{source} holds no depth frames')
    results.write_text(json.dumps(rows, indent=1) + '\n')
    refused = [row['error'] for row in rows if 'error' in row]
    if len(refused) == len(rows):
        raise InputError(f'none of {len(rows)} frames could be used: {refused[0]}')
    return len(rows), len(refused)


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
