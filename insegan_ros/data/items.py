"""What lies in an image, a folder of images, a data set or a recording, frame by frame."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from insegan_ros.camera.given import GivenCamera
from insegan_ros.data.clouds import CLOUDS, depth_of_cloud, read_cloud
from insegan_ros.data.convert import is_dataset, open_dataset
from insegan_ros.data.folders import LABELS
from insegan_ros.data.photo_sets import PICTURES
from insegan_ros.data.recordings import (
    is_recording,
    read_colour_image,
    read_depth_image,
    read_frames,
)
from insegan_ros.errors import DatasetError, InputError, InseganWarning
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


def frames_of(source: Path, camera: GivenCamera | None = None) -> Iterator[Frame]:
    """The depth frames of an image or cloud, a folder of them, a data set, or a recording, in
    order. camera: of images and clouds. Raises DatasetError where there is nothing, InputError for
    an image that cannot be read."""

    def read(item: Item) -> Frame:
        if item.frame is None:
            raise InputError(item.error)
        return item.frame

    return map(read, items_of(source, camera=camera))


def items_of(
    source: Path, by_colour: bool = False, camera: GivenCamera | None = None
) -> Iterator[Item]:
    """What lies in a source, in order; images are depth, or by_colour photographs, also in
    sub-folders, and recordings give their colour. Raises DatasetError where there is nothing."""
    # At once, not when the first item is asked for.
    if not source.exists():
        raise DatasetError(f'{source} does not exist: expected an image, a folder or a recording')
    return _items_of(source, by_colour, camera)


def _items_of(source: Path, by_colour: bool, camera: GivenCamera | None) -> Iterator[Item]:
    if is_recording(source):
        yield from (Item('', frame) for frame in read_frames(source, colour=by_colour))
    elif source.is_dir() and is_dataset(source):
        _, scenes = open_dataset(source, camera=camera)
        yield from (Item('', scene.frame, scene.workspace) for scene in scenes)
    else:
        yield from _images(source, by_colour, camera)


def _images(source: Path, photographs: bool, camera: GivenCamera | None) -> Iterator[Item]:
    paths = [source]
    if source.is_dir():
        suffixes = PICTURES if photographs else ('.png', *CLOUDS)
        paths = sorted(
            path
            for path in (source.rglob('*') if photographs else source.glob('*'))
            if path.suffix.lower() in suffixes
            and 'masks' not in path.relative_to(source).parts[:-1]
            and not path.name.endswith(LABELS)
        )
    if not paths:
        raise DatasetError(
            f'{source} holds no {"photographs" if photographs else "depth images"}, shards or'
            f' recording: expected {"JPEG or PNG files" if photographs else "*.png, *.ply, *.pcd"},'
            ' scenes-*.h5 or metadata.yaml'
        )
    told = photographs or camera is not None
    for path in paths:
        name = str(path.relative_to(source)) if source.is_dir() else path.name
        try:
            frame = _read(path, photographs, camera)
        except InputError as problem:
            yield Item(name, None, error=str(problem))
            continue
        if not told:
            told = True
            warnings.warn(_guess(path, frame), InseganWarning, stacklevel=2)
        yield Item(name, frame)


def _read(path: Path, photograph: bool, camera: GivenCamera | None) -> Frame:
    if path.suffix.lower() in CLOUDS:
        if camera is None:
            raise InputError(
                f'{path} is a cloud, which does not describe its camera: expected --intrinsics'
                ' fx,fy,cx,cy,width,height'
            )
        return depth_of_cloud(read_cloud(path), camera.intrinsics())
    return read_colour_image(path, camera) if photograph else read_depth_image(path, camera)


def _guess(path: Path, frame: Frame) -> str:
    k = frame.intrinsics
    return (
        f"{path} does not describe its camera: a D4xx's depth stream of {k.width}x{k.height} is"
        f' assumed, fx = fy = {k.fx:.0f} px, and depth in mm; lengths are only as good as that'
        ' guess. Give --intrinsics fx,fy,cx,cy (those of the colour camera where depth is aligned'
        ' to colour)'
    )
