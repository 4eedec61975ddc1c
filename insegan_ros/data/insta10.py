"""Insta-10's folders: what the InSeGAN paper says its data set holds for a part, in files that any
program reads.

    depth/000000.png       16 bit, `depth_unit_m` a step, 0 = no reading
    masks/000000.png       16 bit, 0 = background, i = the i-th instance
    clouds/000000.ply      binary PLY of the points seen: x y z in m, and their instance
    camera.json            depth_unit_m, and for every picture its intrinsics, floor and bounds

The paper names depth images, point clouds and instance masks, and no file names; these are ours.
Poses, classes and amodal masks have no place in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from insegan_ros.data.folders import (
    depth_from_png,
    depth_to_png,
    instances_of,
    intrinsics_json,
    read_png,
    workspace_from_json,
    workspace_json,
    write_entries,
)
from insegan_ros.data.run_lengths import check_count
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import DEPTH_UNIT_M
from insegan_ros.errors import MALFORMED, DatasetError, InputError
from insegan_ros.files import write_png, write_whole
from insegan_ros.frame import IGNORE, Frame, Intrinsics, highest_label
from insegan_ros.texts import read_json, reason


def is_insta10(folder: Path) -> bool:
    """Whether a folder has depth/ and masks/ beside camera.json."""
    return (
        (folder / 'camera.json').is_file()
        and (folder / 'depth').is_dir()
        and (folder / 'masks').is_dir()
    )


def read_insta10(folder: Path) -> tuple[tuple[str, ...], Iterator[Scene]]:
    """Class names (one: the part) and scenes. Raises DatasetError for a file that is missing or
    damaged."""
    camera = read_json(folder / 'camera.json', DatasetError)
    try:
        part = str(camera['part'])
        unit_m = float(camera['depth_unit_m'])
        pictures = sorted(camera['pictures'].items())
    except MALFORMED as error:
        raise DatasetError(
            f'{folder / "camera.json"} lacks {reason(error)}: expected part, depth_unit_m, pictures'
        ) from error
    return (part,), (_read(folder, name, picture, unit_m, part) for name, picture in pictures)


def _read(folder: Path, name: str, picture: dict[str, Any], unit_m: float, part: str) -> Scene:
    if not name.isdigit():
        raise DatasetError(
            f'{folder / "camera.json"} names the picture "{name}": expected numbers such as 000000'
        )
    try:
        frame = Frame(
            depth_from_png(read_png(folder / f'depth/{name}.png'), unit_m),
            Intrinsics(**picture['intrinsics']),
        )
        workspace = workspace_from_json(picture.get('workspace'))
        labels = read_png(folder / f'masks/{name}.png').astype(np.uint16)
        count = int(picture.get('instances', highest_label(labels)))
        if not highest_label(labels) <= count < IGNORE:
            raise ValueError(f'{count} instances, masks up to {highest_label(labels)}')
        check_count(count, labels.shape)
    except MALFORMED as error:
        raise DatasetError(
            f'{folder / "camera.json"}: picture {name} is damaged ({reason(error)}): expected'
            ' intrinsics, workspace and instances'
        ) from error
    except InputError as error:
        raise DatasetError(f'{folder / "camera.json"}: picture {name}: {error}') from error
    truth = instances_of(labels, (part,) * count, None, [])
    return Scene(frame, truth, workspace, (part,) if count else ())


def write_insta10(
    scenes: Iterable[Scene], classes: tuple[str, ...], out: Path, models: Path | None
) -> None:
    """Write the folders. models is not used. Raises DatasetError for more than one kind of part, or
    no masks."""
    if len(classes) != 1:
        raise DatasetError(
            f'the scenes hold {len(classes)} kinds of part: Insta-10 has one per folder; convert'
            ' to coco or bop instead'
        )
    pictures = {}
    for index, scene in enumerate(scenes):
        name, frame, truth = f'{index:06d}', scene.frame, scene.labelled()
        write_png(out / f'depth/{name}.png', depth_to_png(frame.depth_m, DEPTH_UNIT_M))
        write_png(out / f'masks/{name}.png', truth.labels)
        write_cloud(out / f'clouds/{name}.ply', frame, truth.labels)
        pictures[name] = {
            'intrinsics': intrinsics_json(frame.intrinsics),
            'workspace': workspace_json(scene.workspace),
            'instances': len(truth),
        }
    write_entries(
        out / 'camera.json',
        {'part': classes[0], 'depth_unit_m': DEPTH_UNIT_M, 'pictures': pictures},
    )


def write_clouds(
    scenes: Iterable[Scene], classes: tuple[str, ...], out: Path, models: Path | None
) -> None:
    """Write one labelled point cloud for each scene, NNNNNN.ply; with colour where the frame has
    it. models is not used."""
    for index, scene in enumerate(scenes):
        write_cloud(out / f'{index:06d}.ply', scene.frame, scene.known_labels())


def write_cloud(path: Path, frame: Frame, labels: np.ndarray) -> None:
    """Write a binary PLY of the pixels with a reading: x y z in m in the optical frame, red green
    blue where known, the instance by labels (H, W)."""
    seen = np.isfinite(frame.depth_m)
    fields = [(axis, '<f4') for axis in 'xyz']
    if frame.colour is not None:
        fields += [(channel, 'u1') for channel in ('red', 'green', 'blue')]
    fields.append(('instance', '<i4'))
    rows = np.empty(int(seen.sum()), fields)
    for axis, values in zip('xyz', frame.points()[seen].T):
        rows[axis] = values
    if frame.colour is not None:
        for channel, values in zip(('red', 'green', 'blue'), frame.colour[seen].T):
            rows[channel] = values
    rows['instance'] = labels[seen]
    words = {'<f4': 'float', 'u1': 'uchar', '<i4': 'int'}
    header = [
        'ply',
        'format binary_little_endian 1.0',
        f'element vertex {len(rows)}',
        *(f'property {words[kind]} {name}' for name, kind in fields),
        'end_header',
        '',
    ]
    write_whole(path, '\n'.join(header).encode() + rows.tobytes(), sync=False)
