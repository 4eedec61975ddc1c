"""BOP: the benchmark format of 6-D pose estimation. Scene folders with depth, rgb, masks, scene_gt,
scene_camera.

Lengths in mm there. The floor is kept as the world frame (cam_R_w2c, cam_t_w2c: z up, origin on the
floor); the bin's bounds, for which BOP has no place, as `bounds_m` beside it, and pixels that are
ignored as mask_ignore/, which other readers skip.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from insegan_ros.data.folders import (
    colour_of,
    depth_from_png,
    depth_to_png,
    inside,
    instances_of,
    labels_of,
    read_png,
    write_entries,
)
from insegan_ros.data.run_lengths import check_count
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.data.shards import DEPTH_UNIT_M
from insegan_ros.errors import MALFORMED, DatasetError, InputError
from insegan_ros.files import write_png
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics
from insegan_ros.texts import read_json, reason
from insegan_ros.workspace import SCALARS, Workspace, workspace_of, workspace_values

IMAGES_A_SCENE = 1000
NUMBER = re.compile('[0-9]{1,9}')


def is_bop(folder: Path) -> bool:
    """Whether a folder is a BOP data set, one of its splits, or one scene."""
    return next(_scene_folders(folder), None) is not None


def _scene_folders(folder: Path) -> Iterator[Path]:
    for depth in ('', '*/', '*/*/'):
        found = sorted(path.parent for path in folder.glob(f'{depth}scene_camera.json'))
        if found:
            yield from found
            return


def read_bop(folder: Path) -> tuple[tuple[str, ...], Iterator[Scene]]:
    """Class names and scenes. Raises DatasetError for a file that is missing or damaged."""
    scenes = list(_scene_folders(folder))
    names = _names(folder, scenes)
    return tuple(names.values()), (scene for path in scenes for scene in _read_scene(path, names))


def _names(folder: Path, scenes: list[Path]) -> dict[int, str]:
    """Object id to name: from models_info.json where it has names, else obj_000001."""
    info: dict[str, Any] = {}
    for place in (folder, *folder.resolve().parents[:2]):
        if (place / 'models/models_info.json').is_file():
            info = read_json(place / 'models/models_info.json', DatasetError)
            break
    try:
        ids = {int(key) for key in info}
        for path in scenes:
            if (path / 'scene_gt.json').is_file():
                ids |= {
                    int(one['obj_id'])
                    for image in read_json(path / 'scene_gt.json', DatasetError).values()
                    for one in image
                }
        return {
            number: str(info.get(str(number), {}).get('name', f'obj_{number:06d}'))
            for number in sorted(ids)
        }
    except MALFORMED as error:
        raise DatasetError(
            f'{folder}: models_info.json or scene_gt.json is not in BOP format ({reason(error)}):'
            ' expected object numbers'
        ) from error


def _read_scene(path: Path, names: dict[int, str]) -> Iterator[Scene]:
    cameras = read_json(path / 'scene_camera.json', DatasetError)
    if not isinstance(cameras, dict) or not all(NUMBER.fullmatch(key) for key in cameras):
        raise DatasetError(
            f'{path / "scene_camera.json"} is not in BOP format: expected a camera for every image'
            ' number'
        )
    truths = (
        read_json(path / 'scene_gt.json', DatasetError)
        if (path / 'scene_gt.json').is_file()
        else None
    )
    for key, camera in sorted(cameras.items(), key=lambda item: int(item[0])):
        try:
            truth = None if truths is None else truths.get(key, [])
            scene = _read_image(path, int(key), camera, truth, names)
        except MALFORMED as error:
            raise DatasetError(
                f'{path}: image {key} is not in BOP format ({reason(error)}): expected cam_K,'
                ' cam_R_m2c, cam_t_m2c, obj_id and a mask for every instance'
            ) from error
        except InputError as error:
            raise DatasetError(f'{path}: image {key}: {error}') from error
        yield scene


def _read_image(
    path: Path,
    number: int,
    camera: dict[str, Any],
    truth: list[dict[str, Any]] | None,
    names: dict[int, str],
) -> Scene:
    """An image of the scene folder `path`: what scene_camera and scene_gt say of it. Errors are
    those of a JSON that is not as BOP has it."""
    depth = depth_from_png(
        read_png(inside(path, f'depth/{number:06d}.png')),
        float(camera.get('depth_scale', 1.0)) / 1000,
    )
    height, width = depth.shape
    k = np.reshape(camera['cam_K'], (3, 3))
    intrinsics = Intrinsics(
        float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), width, height
    )
    colours = (colour_of(path / f'rgb/{number:06d}.{suffix}') for suffix in ('png', 'jpg'))
    frame = Frame(depth, intrinsics, next((one for one in colours if one is not None), None))
    workspace = _workspace(camera)
    if truth is None:
        return Scene(frame, None, workspace, tuple(camera.get('present', ())))
    classes = tuple(names[int(one['obj_id'])] for one in truth)
    present = tuple(name for name in names.values() if name in classes)
    instances = _read_instances(path, number, truth, classes, depth.shape)
    return Scene(frame, instances, workspace, present)


def _read_instances(
    path: Path,
    number: int,
    truth: list[dict[str, Any]],
    classes: tuple[str, ...],
    shape: tuple[int, int],
) -> Instances:
    poses = np.tile(np.eye(4, dtype=np.float32), (len(truth), 1, 1))
    for pose, one in zip(poses, truth):
        pose[:3, :3] = np.reshape(one['cam_R_m2c'], (3, 3))
        pose[:3, 3] = np.asarray(one['cam_t_m2c']) / 1000
    files = [f'{number:06d}_{index:06d}.png' for index in range(len(truth))]
    check_count(len(truth), shape)
    seen = [read_png(path / 'mask_visib' / file) > 0 for file in files]
    masks = [path / 'mask' / file for file in files]
    whole = [read_png(mask) > 0 for mask in masks if mask.is_file()]
    labels = labels_of(seen, shape)
    ignore = path / 'mask_ignore' / f'{number:06d}.png'
    if ignore.is_file():
        labels[(read_png(ignore) > 0) & (labels == 0)] = IGNORE
    return instances_of(labels, classes, poses, whole)


def _workspace(camera: dict[str, Any]) -> Workspace | None:
    if 'cam_R_w2c' not in camera:
        return None
    up = np.reshape(camera['cam_R_w2c'], (3, 3))[:, 2]
    distance = float(-up @ np.asarray(camera['cam_t_w2c'])) / 1000
    if distance <= 0:
        return None
    scalars = {name: camera[name] for name in SCALARS if name in camera}
    return workspace_of({'floor': (*up, distance), 'bounds': camera.get('bounds_m'), **scalars})


def _world(workspace: Workspace) -> dict[str, list[float]]:
    """Floor as BOP's world frame: z is the floor's normal, the origin the floor's point nearest to
    the camera."""
    up = np.asarray(workspace.floor[:3], float)
    across = np.cross([0.0, 1.0, 0.0], up)
    across /= np.linalg.norm(across)
    rotation = np.stack([across, np.cross(up, across), up], 1)
    rest = workspace_values(workspace)
    bounds = {'bounds_m': rest.pop('bounds')} if workspace.bounds else {}
    rest.pop('floor')
    return {
        'cam_R_w2c': rotation.ravel().tolist(),
        'cam_t_w2c': (-1000 * workspace.floor[3] * up / (up @ up)).tolist(),
        **bounds,
        **rest,
    }


def write_bop(
    scenes: Iterable[Scene], classes: tuple[str, ...], out: Path, models: Path | None
) -> None:
    """Write scene folders of up to 1,000 images under out/train, and the folder `models` if there
    is one, whose numbers the classes have. Raises DatasetError for scenes without poses or
    classes."""
    numbers = _numbers(classes, models)
    if models is not None:
        shutil.copytree(models, out / 'models')
    else:
        (out / 'models').mkdir(parents=True)
        write_entries(
            out / 'models/models_info.json',
            {str(number): {'name': name} for name, number in numbers.items()},
        )
    batch: dict[str, dict[str, Any]] = {}
    for index, scene in enumerate(scenes):
        number, folder = index % IMAGES_A_SCENE, out / f'train/{index // IMAGES_A_SCENE:06d}'
        if number == 0:
            batch = {'scene_camera': {}, 'scene_gt': {}, 'scene_gt_info': {}}
        _write_image(scene, numbers, folder, number, batch)
        if number == IMAGES_A_SCENE - 1:
            _write_batch(folder, batch)
    if batch and len(batch['scene_camera']) < IMAGES_A_SCENE:
        _write_batch(folder, batch)


def _numbers(classes: tuple[str, ...], models: Path | None) -> dict[str, int]:
    """Name to object id: as the models have it, of other classes those that are free."""
    known = {name: number for number, name in _names(models.parent, []).items()} if models else {}
    free = count(max(known.values(), default=0) + 1)
    return {name: known[name] if name in known else next(free) for name in classes}


def _write_batch(folder: Path, batch: dict[str, dict[str, Any]]) -> None:
    for name, content in batch.items():
        if content:
            write_entries(folder / f'{name}.json', content)


def _write_image(
    scene: Scene,
    numbers: dict[str, int],
    folder: Path,
    number: int,
    batch: dict[str, dict[str, Any]],
) -> None:
    frame, truth = scene.frame, scene.truth
    write_png(folder / f'depth/{number:06d}.png', depth_to_png(frame.depth_m, DEPTH_UNIT_M))
    if frame.colour is not None:
        write_png(folder / f'rgb/{number:06d}.png', frame.colour)
    batch['scene_camera'][str(number)] = {
        'cam_K': frame.intrinsics.matrix.ravel().tolist(),
        'depth_scale': DEPTH_UNIT_M * 1000,
        **(_world(scene.workspace) if scene.workspace else {}),
        **({'present': list(scene.present)} if truth is None else {}),
    }
    if truth is None:
        return
    if truth.poses is None or truth.classes is None:
        raise DatasetError(
            'the scenes have no poses or classes: BOP needs them; convert to'
            f' {"pictures or shards" if truth.classes is None else "coco"} instead'
        )
    if (ignored := truth.labels == IGNORE).any():
        write_png(folder / f'mask_ignore/{number:06d}.png', ignored.astype(np.uint8) * 255)
    masks = truth.masks()
    for i, mask in enumerate(masks):
        write_png(folder / f'mask_visib/{number:06d}_{i:06d}.png', mask.astype(np.uint8) * 255)
        if truth.amodal is not None:
            write_png(
                folder / f'mask/{number:06d}_{i:06d}.png', truth.amodal[i].astype(np.uint8) * 255
            )
    batch['scene_gt'][str(number)] = [
        {
            'cam_R_m2c': pose[:3, :3].astype(float).ravel().tolist(),
            'cam_t_m2c': (pose[:3, 3].astype(float) * 1000).tolist(),
            'obj_id': numbers[name],
        }
        for pose, name in zip(truth.poses, truth.classes)
    ]
    if truth.amodal is not None:
        valid = np.isfinite(frame.depth_m)
        batch['scene_gt_info'][str(number)] = [
            {
                'bbox_obj': _box(whole),
                'bbox_visib': _box(mask),
                'px_count_all': int(whole.sum()),
                'px_count_valid': int((whole & valid).sum()),
                'px_count_visib': int(mask.sum()),
                'visib_fract': float(share),
            }
            for mask, whole, share in zip(masks, truth.amodal, visible_fractions(truth))
        ]


def _box(mask: np.ndarray) -> list[int]:
    """x, y, width, height; BOP's -1s for nothing."""
    y, x = np.nonzero(mask)
    if not len(x):
        return [-1, -1, -1, -1]
    return [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
