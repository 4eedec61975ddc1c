"""What lies in an image, a folder of images, a data set or a recording, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from insegan_ros.data.convert import is_dataset, open_dataset
from insegan_ros.data.photo_sets import PICTURES
from insegan_ros.data.recordings import (
    is_recording,
    read_colour_image,
    read_depth_image,
    read_frames,
)
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.frame import Frame
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
