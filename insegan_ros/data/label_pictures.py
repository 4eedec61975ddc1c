"""Pictures with masks drawn by hand, and nothing more: what a labelling tool leaves.

    NAME_depth.png      16 bit, `depth_unit_m` a step, 0 = no reading
    NAME_labels.png     16 bit, 0 = background, a number a part, 65535 = ignored
    NAME_rgb.png        the colour picture in the same view, where there is one
    camera.yaml         fx, fy, cx, cy in px, depth_unit_m (0.001 if left out)
    workspace.yaml      floor and bounds as `insegan calibrate` writes them, where they are known

No poses, classes or amodal masks are asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import yaml

from insegan_ros.camera.given import GivenCamera, given_camera
from insegan_ros.data.folders import LABELS, colour_of, depth_to_png, intrinsics_json, read_png
from insegan_ros.data.recordings import read_depth_image
from insegan_ros.data.scene import Scene, seen_instances
from insegan_ros.data.shards import DEPTH_UNIT_M
from insegan_ros.errors import DatasetError, InputError, InseganWarning
from insegan_ros.files import write_png, write_whole
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace, read_workspace, write_workspace

DEPTH, COLOUR = '_depth.png', '_rgb.png'
CAMERA_FILE, WORKSPACE_FILE = 'camera.yaml', 'workspace.yaml'


def is_label_pictures(folder: Path) -> bool:
    """Whether a folder holds a NAME_labels.png beside a NAME_depth.png."""
    return folder.is_dir() and any(
        path.with_name(path.name.removesuffix(LABELS) + DEPTH).is_file()
        for path in folder.glob(f'*{LABELS}')
    )


def read_label_pictures(
    folder: Path, workspace: Workspace | None = None, camera: GivenCamera | None = None
) -> tuple[tuple[str, ...], Iterator[Scene]]:
    """The folder's name as the only class, and a scene for every NAME_depth.png, without truth
    where it has no labels. workspace and camera: instead of the folder's own files. Raises
    DatasetError or InputError for what cannot be read."""
    own = folder / CAMERA_FILE
    if camera is None and own.is_file():
        camera = given_camera(str(own))
    if camera is None:
        warnings.warn(
            f"{folder} holds no {CAMERA_FILE}: a D4xx's depth camera is assumed, and depth in mm;"
            ' give --intrinsics fx,fy,cx,cy',
            InseganWarning,
            stacklevel=2,
        )
    place = folder / WORKSPACE_FILE
    bin_ = workspace or (read_workspace(place) if place.is_file() else None)
    paths = sorted(folder.glob(f'*{DEPTH}'))
    return (folder.name,), (_scene(path, bin_, camera, folder.name) for path in paths)


def _scene(path: Path, workspace: Workspace | None, camera: GivenCamera | None, part: str) -> Scene:
    name = path.name.removesuffix(DEPTH)
    try:
        frame = read_depth_image(path, camera)
    except InputError as error:
        raise DatasetError(str(error)) from error
    colour = colour_of(path.with_name(name + COLOUR))
    frame = Frame(frame.depth_m, frame.intrinsics, colour)
    drawn = path.with_name(name + LABELS)
    if not drawn.is_file():
        return Scene(frame, None, workspace)
    labels = read_png(drawn)
    if labels.shape != frame.depth_m.shape or labels.dtype not in (np.uint8, np.uint16):
        raise DatasetError(
            f'{drawn} is {labels.dtype} of shape {labels.shape}: expected the numbers of the'
            f' parts, 8 or 16 bit, of shape {frame.depth_m.shape} like {path.name}'
        )
    return Scene(frame, seen_instances(labels.astype(np.uint16)), workspace, (part,))


def write_label_pictures(
    scenes: Iterable[Scene], classes: tuple[str, ...], out: Path, models: Path | None
) -> None:
    """Write the folder; models is not used. Raises DatasetError where the scenes are of several
    cameras or bins: the folder has room for one."""
    first: Scene | None = None
    for index, scene in enumerate(scenes):
        first = first or scene
        if (scene.frame.intrinsics, scene.workspace) != (first.frame.intrinsics, first.workspace):
            raise DatasetError(
                'the scenes come from several cameras or bins: label pictures have one; convert'
                ' to coco instead'
            )
        name, frame = f'{index:06d}', scene.frame
        write_png(out / (name + DEPTH), depth_to_png(frame.depth_m, DEPTH_UNIT_M))
        if frame.colour is not None:
            write_png(out / (name + COLOUR), frame.colour)
        if scene.truth is not None:
            write_png(out / (name + LABELS), scene.truth.labels)
    if first is None:
        return
    values = {**intrinsics_json(first.frame.intrinsics), 'depth_unit_m': DEPTH_UNIT_M}
    write_whole(out / CAMERA_FILE, yaml.safe_dump(values, sort_keys=False).encode())
    if first.workspace is not None:
        write_workspace(first.workspace, out / WORKSPACE_FILE)
