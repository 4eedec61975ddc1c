"""COCO instances: annotations.json with run-length masks, beside it the pictures.

What COCO has no place for (depth, camera, floor, poses, amodal masks, image-level labels) stands in
keys that other readers skip. Pixels that are ignored are an annotation with iscrowd, as COCO has
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from insegan_ros.data.folders import (
    colour_of,
    depth_from_png,
    depth_to_png,
    inside,
    instances_of,
    intrinsics_json,
    labels_of,
    read_png,
    workspace_from_json,
    workspace_json,
    write_entries,
)
from insegan_ros.data.run_lengths import check_count, decode, encode
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import DEPTH_UNIT_M
from insegan_ros.errors import MALFORMED, DatasetError, InputError
from insegan_ros.files import write_png
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics
from insegan_ros.texts import read_json, reason

ANNOTATIONS = 'annotations.json'


def is_coco(folder: Path) -> bool:
    """Whether a folder holds our annotations.json."""
    return (folder / ANNOTATIONS).is_file()


def read_coco(folder: Path) -> tuple[tuple[str, ...], Iterator[Scene]]:
    """Class names and scenes of a folder with annotations.json. Pictures must have depth. Raises
    DatasetError for a file that is missing or damaged."""
    content = read_json(folder / ANNOTATIONS, DatasetError)
    try:
        names = {int(one['id']): str(one['name']) for one in content['categories']}
        by_image: dict[int, list[dict[str, Any]]] = {}
        for one in content.get('annotations', []):
            by_image.setdefault(one['image_id'], []).append(one)
        images = sorted(content['images'], key=lambda image: image['id'])
    except MALFORMED as error:
        raise DatasetError(
            f'{folder / ANNOTATIONS} is not in COCO format ({reason(error)}): expected categories,'
            ' images, annotations'
        ) from error
    return tuple(names.values()), (
        _read_image(folder, image, by_image.get(image['id'], []), names) for image in images
    )


def _read_image(
    folder: Path, image: dict[str, Any], found: list[dict[str, Any]], names: dict[int, str]
) -> Scene:
    try:
        depth = depth_from_png(
            read_png(inside(folder, image['depth_file'])), float(image['depth_unit_m'])
        )
        colour = (
            colour_of(inside(folder, image['file_name']))
            if image['file_name'] != image['depth_file']
            else None
        )
        frame = Frame(depth, Intrinsics(**image['intrinsics']), colour)
        workspace = workspace_from_json(image.get('workspace'))
        if not image.get('masks', True):
            return Scene(frame, None, workspace, tuple(image['present']))
        ignored = [one for one in found if one.get('iscrowd')]
        found = [one for one in found if not one.get('iscrowd')]
        classes = tuple(names[one['category_id']] for one in found)
        check_count(len(found), depth.shape)
        masks = (decode(one['segmentation'], depth.shape) for one in found)
        labels = labels_of(masks, depth.shape)
        for one in ignored:
            labels[decode(one['segmentation'], depth.shape) & (labels == 0)] = IGNORE
        poses = (
            np.array([one['pose'] for one in found], np.float32).reshape(-1, 4, 4)
            if all('pose' in one for one in found)
            else None
        )
        amodal = [decode(one['amodal'], depth.shape) for one in found if 'amodal' in one]
        present = tuple(image.get('present', [name for name in names.values() if name in classes]))
        return Scene(frame, instances_of(labels, classes, poses, amodal), workspace, present)
    except MALFORMED as error:
        raise DatasetError(
            f'{folder / ANNOTATIONS}: image {image.get("id")} cannot be read'
            f' ({reason(error)}): expected depth_file, depth_unit_m, intrinsics and'
            ' masks, as `insegan dataset convert --to coco` writes them'
        ) from error
    except (InputError, DatasetError) as error:
        raise DatasetError(f'{folder / ANNOTATIONS}: image {image["id"]}: {error}') from error


def write_coco(
    scenes: Iterable[Scene], classes: tuple[str, ...], out: Path, models: Path | None
) -> None:
    """Write annotations.json, depth/ and colour/. models is not used: COCO has no place for meshes.
    Raises DatasetError for scenes without classes."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, scene in enumerate(scenes):
        images.append(_write_image(scene, out, index))
        if scene.truth is None:
            continue
        for one in _annotations(scene.truth, classes):
            annotations.append({'id': len(annotations) + 1, 'image_id': index, **one})
    write_entries(
        out / ANNOTATIONS,
        {
            'info': {'description': 'insegan_ros'},
            'images': images,
            'annotations': annotations,
            'categories': [
                {'id': number, 'name': name, 'supercategory': 'part'}
                for number, name in enumerate(classes, 1)
            ],
        },
    )


def _write_image(scene: Scene, out: Path, index: int) -> dict[str, Any]:
    """Write a scene's depth and colour; returns what annotations.json says of the picture."""
    frame = scene.frame
    depth_file, colour_file = f'depth/{index:06d}.png', f'colour/{index:06d}.png'
    write_png(out / depth_file, depth_to_png(frame.depth_m, DEPTH_UNIT_M))
    if frame.colour is not None:
        write_png(out / colour_file, frame.colour)
    return {
        'id': index,
        'file_name': colour_file if frame.colour is not None else depth_file,
        'width': frame.intrinsics.width,
        'height': frame.intrinsics.height,
        'depth_file': depth_file,
        'depth_unit_m': DEPTH_UNIT_M,
        'intrinsics': intrinsics_json(frame.intrinsics),
        'workspace': workspace_json(scene.workspace),
        'present': list(scene.present),
        'masks': scene.truth is not None,
    }


def _annotations(truth: Instances, classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """What annotations.json says of each instance, without numbers."""
    if truth.classes is None:
        raise DatasetError(
            'the scenes have no classes: COCO needs a category for every instance; convert to'
            ' pictures or shards instead'
        )
    for i, (mask, name) in enumerate(zip(truth.masks(), truth.classes)):
        packed = encode(mask)
        box = rle.toBbox({**packed, 'counts': packed['counts'].encode()})
        one = {
            'category_id': classes.index(name) + 1,
            'segmentation': packed,
            'area': int(mask.sum()),
            'bbox': [float(value) for value in box],
            'iscrowd': 0,
        }
        if truth.amodal is not None:
            one['amodal'] = encode(truth.amodal[i])
        if truth.poses is not None:
            one['pose'] = truth.poses[i].astype(float).ravel().tolist()
        yield one
    ignored = truth.labels == IGNORE
    if ignored.any():
        # COCO's own way to say that a region counts neither way.
        packed = encode(ignored)
        area = int(ignored.sum())
        yield {'category_id': 1, 'segmentation': packed, 'area': area, 'iscrowd': 1}
