"""`insegan dataset convert`: any of our formats into any other. One registry; what a folder holds
is found by looking."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from tqdm import tqdm

from insegan_ros.camera.given import GivenCamera
from insegan_ros.data.bop import is_bop, read_bop, write_bop
from insegan_ros.data.coco import is_coco, read_coco, write_coco
from insegan_ros.data.insta10 import is_insta10, read_insta10, write_clouds, write_insta10
from insegan_ros.data.label_pictures import (
    is_label_pictures,
    read_label_pictures,
    write_label_pictures,
)
from insegan_ros.data.models import find_models
from insegan_ros.data.recording_writer import write_recording
from insegan_ros.data.recordings import is_recording, read_recording
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset, ShardInfo, is_shards, pack_shard, shard_path
from insegan_ros.data.whole_sets import all_scenes, check_scenes, state_scenes, stated_form
from insegan_ros.errors import DatasetError, unknown
from insegan_ros.files import lost, make_folder, write_whole
from insegan_ros.workspace import Workspace

SHARD_SCENES = 100


@dataclass(frozen=True)
class Format:
    """A format: whether a folder is of it, how it is read (class names and scenes), how it is
    written (scenes, class names, new folder, folder of models); None where it cannot be read."""

    found: Callable[[Path], bool] | None
    read: Callable[[Path], tuple[tuple[str, ...], Iterator[Scene]]] | None
    write: Callable[[Iterable[Scene], tuple[str, ...], Path, Path | None], None]


def _read_shards(folder: Path) -> tuple[tuple[str, ...], Iterator[Scene]]:
    dataset = ShardDataset(folder)
    return dataset.classes, iter(dataset)


def _write_shards(
    scenes: Iterable[Scene], classes: tuple[str, ...], out: Path, models: Path | None
) -> None:
    if models is not None:
        shutil.copytree(models, out / 'models')
    stream = iter(scenes)
    for index in range(10**9):
        batch = list(islice(stream, SHARD_SCENES))
        if not batch:
            break
        write_whole(
            shard_path(out, index), pack_shard(batch, ShardInfo(classes, 0, index * SHARD_SCENES))
        )
    # One shard may hold larger pictures than another: it refuses to be read then.
    ShardDataset(out)


FORMATS = {
    'shards': Format(is_shards, _read_shards, _write_shards),
    'bop': Format(is_bop, read_bop, write_bop),
    'coco': Format(is_coco, read_coco, write_coco),
    'recording': Format(is_recording, read_recording, write_recording),
    'pictures': Format(is_label_pictures, read_label_pictures, write_label_pictures),
    'insta10': Format(is_insta10, read_insta10, write_insta10),
    'clouds': Format(None, None, write_clouds),
}


def open_dataset(
    folder: Path,
    workspace: Workspace | None = None,
    colour: bool = False,
    camera: GivenCamera | None = None,
) -> tuple[tuple[str, ...], Iterator[Scene]]:
    """Class names and scenes of a folder in any format that can be read. workspace: the bin of a
    recording or of label pictures, instead of their own file's; camera: of label pictures. colour:
    of a recording, depth in the colour camera's view, and colour. Raises DatasetError."""
    if not folder.exists():
        raise DatasetError(f'{folder} does not exist: expected a data set')
    if is_recording(folder):
        classes, scenes = read_recording(folder, workspace, colour)
        return classes, all_scenes(folder, scenes)
    if is_label_pictures(folder):
        classes, scenes = read_label_pictures(folder, workspace, camera)
        return classes, all_scenes(folder, scenes)
    if workspace is not None:
        raise DatasetError(
            f'a workspace is given but {folder} is not a recording: leave it out, data sets hold'
            ' the bin of every scene themselves'
        )
    for form in FORMATS.values():
        if form.found is not None and form.read is not None and form.found(folder):
            classes, scenes = form.read(folder)
            return classes, all_scenes(folder, scenes)
    readable = ', '.join(name for name, form in FORMATS.items() if form.read)
    stated = FORMATS.get(str(stated_form(folder)))
    if stated is not None and stated.read is None:
        raise DatasetError(
            f'{folder} is of the format {stated_form(folder)}, which is written only: expected one'
            f' of {readable}'
        )
    # Of a simulation that was stopped before its first scenes, say, there is the note alone.
    check_scenes(folder, 0)
    raise DatasetError(f'{folder} holds no data set of a known format: expected one of {readable}')


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a data set that `open_dataset` reads."""
    return any(
        form.found is not None and form.read is not None and form.found(folder)
        for form in FORMATS.values()
    )


def convert(source: Path, out: Path, to: str, camera: GivenCamera | None = None) -> int:
    """Write `source` into the new folder `out` in the format `to`; returns the number of scenes.

    Raises DatasetError where `out` holds something, or for scenes that the format cannot hold; what
    was begun is removed then, and `out` is there when it is whole, not before.
    """
    if to not in FORMATS:
        raise unknown('format', to, list(FORMATS))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f'{out} is not empty: expected a new folder')
    classes, scenes = open_dataset(source, camera=camera)
    first = next(scenes, None)
    if first is None:
        raise DatasetError(f'{source} holds no scenes: expected at least one')
    count = 0

    def counted() -> Iterator[Scene]:
        nonlocal count
        for scene in tqdm(chain([first], scenes), desc=f'convert to {to}', unit='scene'):
            count += 1
            yield scene

    with _new_folder(out) as half:
        FORMATS[to].write(counted(), classes, half, find_models(source))
        state_scenes(half, count, to)
    return count


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when it is whole: what is killed leaves no set that reads as one.
    Raises DatasetError where that is not possible."""
    out = out.absolute()
    # Of the same name: a recording calls its files after its folder.
    half = out.parent / f'.{out.name}.part' / out.name
    make_folder(out.parent)
    try:
        half.parent.mkdir()
    except FileExistsError:
        raise DatasetError(
            f'{half.parent} already exists: another conversion to {out} is running, or was killed;'
            ' if none is running, delete it and give the same command again'
        ) from None
    except OSError as error:
        raise lost(out, error) from error
    try:
        half.mkdir()
        yield half
        half.rename(out)
    except OSError as error:
        raise lost(out, error) from error
    finally:
        shutil.rmtree(half.parent, ignore_errors=True)
