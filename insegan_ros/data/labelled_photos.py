"""Photographs with image-level labels, read where they lie: PASCAL VOC 2012, COCO, any folder of
pictures with a labels.csv.

Splits are those of the papers that we reproduce (IRNet, CCGR). Masks, where a set has them, are
read for evaluation alone.
"""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from insegan_ros.data.coco import ANNOTATIONS, decode
from insegan_ros.data.folders import inside, instances_of, labels_of, read_json
from insegan_ros.data.image_sets import ImageSet, check_classes, from_files, readable, shrink
from insegan_ros.errors import DatasetError
from insegan_ros.frame import Instances

LIST = 'labels.csv'
# What the first line's first cell may be where it is no picture but a heading.
HEADERS = ('picture', 'image', 'file', 'filename', 'name', 'path')
# Pictures that are named when some cannot be used.
TOLD = 5
VOC_CLASSES = (
    'aeroplane',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'bus',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'train',
    'tvmonitor',
)
# COCO's names of PASCAL VOC's classes, so that what was learnt from one can be judged on the other,
# as CCGR has it.
COCO_NAMES = {
    'airplane': 'aeroplane',
    'dining table': 'diningtable',
    'motorcycle': 'motorbike',
    'potted plant': 'pottedplant',
    'couch': 'sofa',
    'tv': 'tvmonitor',
}
# Beyond this number PASCAL VOC's masks mark what belongs to nothing.
VOC_VOID = 255


def is_voc(folder: Path) -> bool:
    """Whether a folder is PASCAL VOC's, as VOCdevkit/VOC2012."""
    return (folder / 'JPEGImages').is_dir() and (folder / 'ImageSets').is_dir()


def read_voc(folder: Path, size: int, split: str) -> ImageSet:
    """PASCAL VOC 2012. training: SegmentationAug/train_aug.txt where it was added (10,582 pictures,
    IRNet's), else Main/train.txt (5,717, CCGR's); validation and test: Segmentation/val.txt
    (1,449); or a list by its own name, such as Segmentation/train.

    What is in a picture is read from Annotations, masks from SegmentationObject and
    SegmentationClass. Raises DatasetError.
    """
    lists = folder / 'ImageSets'
    own = {
        'training': ('SegmentationAug/train_aug', 'Main/train', 'Segmentation/train'),
        'validation': ('Segmentation/val',),
        'test': ('Segmentation/val',),
    }.get(split, (split,))
    found = [path for name in own if (path := inside(lists, f'{name}.txt')).is_file()]
    if not found:
        raise DatasetError(
            f'{folder} has no list {own[0]}.txt in ImageSets: expected one, or --split with the'
            ' name of a list such as Main/train'
        )
    # Lists for augmented sets name files, the set's own ones name pictures.
    names = [
        Path(line.split()[0]).stem for line in found[0].read_text().splitlines() if line.strip()
    ]
    kept, present, missing = [], [], []
    whole = readable([inside(folder / 'JPEGImages', f'{name}.jpg') for name in names])
    for name in names:
        path = inside(folder / 'JPEGImages', f'{name}.jpg')
        kinds = _voc_kinds(inside(folder / 'Annotations', f'{name}.xml'))
        if path not in whole or not kinds:
            missing.append(name)
            continue
        check_classes(kinds, VOC_CLASSES, f'Annotations/{name}.xml')
        kept.append(path)
        present.append([one in kinds for one in VOC_CLASSES])
    _tell(folder, missing, len(names))
    masks = [inside(folder / 'SegmentationObject', f'{path.stem}.png') for path in kept]

    def truth(index: int) -> Instances:
        objects, classes = (
            _indices(place / masks[index].name)
            for place in (folder / 'SegmentationObject', folder / 'SegmentationClass')
        )
        if objects.shape != classes.shape:
            raise DatasetError(
                f'{masks[index]} and its classes differ in size: expected a mask of objects and one'
                ' of classes'
            )
        objects, classes = (shrink(one, size, cv2.INTER_NEAREST) for one in (objects, classes))
        numbers = [number for number in np.unique(objects) if 0 < number < VOC_VOID]
        kinds = [int(np.bincount(classes[objects == number]).argmax()) for number in numbers]
        labels = labels_of([objects == number for number in numbers], objects.shape)
        return instances_of(labels, tuple(VOC_CLASSES[kind - 1] for kind in kinds), None, [])

    with_truth = bool(masks) and all(path.is_file() for path in masks)
    return from_files(
        f'{folder.name} {found[0].stem}',
        VOC_CLASSES,
        kept,
        np.array(present, bool).reshape(len(kept), len(VOC_CLASSES)),
        size,
        truth if with_truth else None,
    )


def _voc_kinds(path: Path) -> set[str]:
    """The classes of a note's objects; none where there is no note. Raises DatasetError for one
    that is cut short."""
    if not path.is_file():
        return set()
    try:
        return {str(one.findtext('name')) for one in ElementTree.parse(path).findall('object')}
    except (OSError, ElementTree.ParseError) as error:
        raise DatasetError(
            f'{path} cannot be read ({error}): expected a note of PASCAL VOC; copy it again'
        ) from error


def _indices(path: Path) -> np.ndarray:
    """A PNG's palette indices (H, W) uint8, which is what PASCAL VOC's masks are. Raises
    DatasetError."""
    try:
        with Image.open(path) as image:
            if image.mode not in ('P', 'L'):
                raise DatasetError(
                    f'{path} is {image.mode}: expected a PNG with a palette, as PASCAL VOC has it'
                )
            return np.array(image)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DatasetError(
            f'{path} cannot be read ({error}): expected a mask of PASCAL VOC'
        ) from error


def is_coco_photos(folder: Path) -> bool:
    """Whether a folder holds COCO, annotations/instances_NAME.json beside NAME/, or the
    annotations.json of `insegan dataset convert`."""
    return any(folder.glob('annotations/instances_*.json')) or (folder / ANNOTATIONS).is_file()


def read_coco_photos(folder: Path, size: int, split: str) -> ImageSet:
    """COCO. training: instances_train*.json, validation and test: instances_val*.json, or one by
    its own name, such as val2017. Classes of PASCAL VOC have its names. Crowds are no instances.
    Raises DatasetError."""
    note, pictures = folder / ANNOTATIONS, folder
    if not note.is_file():
        pattern = {'training': 'train*', 'validation': 'val*', 'test': 'val*'}.get(split, split)
        notes = sorted(path for path in (folder / 'annotations').glob(f'instances_{pattern}.json'))
        if not notes:
            raise DatasetError(
                f'{folder} has no annotations/instances_{pattern}.json: expected one, or --split'
                ' with the name of one such as val2017'
            )
        note = notes[-1]
        pictures = inside(folder, note.stem.removeprefix('instances_'))
    content = read_json(note)
    try:
        names = {
            int(one['id']): COCO_NAMES.get(one['name'], str(one['name']))
            for one in content['categories']
        }
        by_image: dict[int, list[dict[str, Any]]] = {}
        for one in content.get('annotations', []):
            if not one.get('iscrowd'):
                by_image.setdefault(one['image_id'], []).append(one)
        classes, kept, present, shown, missing = tuple(names.values()), [], [], [], []
        whole = readable([inside(pictures, image['file_name']) for image in content['images']])
        for image in sorted(content['images'], key=lambda one: one['id']):
            path, own = inside(pictures, image['file_name']), by_image.get(image['id'], [])
            check_classes(
                [str(one['category_id']) for one in own if one['category_id'] not in names],
                classes,
                note.name,
            )
            kinds = {names[one['category_id']] for one in own} | set(image.get('present', []))
            check_classes(sorted(kinds), classes, note.name)
            if path not in whole or not kinds:
                missing.append(image['file_name'])
                continue
            kept.append(path)
            present.append([one in kinds for one in classes])
            shown.append((own, (int(image['height']), int(image['width']))))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f'{note} is not as COCO has it ({type(error).__name__} {error}): expected categories,'
            ' images, annotations'
        ) from error
    _tell(folder, missing, len(content['images']))

    def truth(index: int) -> Instances:
        found, shape = shown[index]
        try:
            masks = [
                shrink(decode(one['segmentation'], shape).astype(np.uint8), size, cv2.INTER_NEAREST)
                > 0
                for one in found
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f'{note}: a mask of {kept[index].name} cannot be read ({type(error).__name__}'
                f' {error}): expected run lengths or polygons'
            ) from error
        return instances_of(
            labels_of(masks, masks[0].shape),
            tuple(names[one['category_id']] for one in found),
            None,
            [],
        )

    return from_files(
        f'{folder.name} {note.stem}',
        classes,
        kept,
        np.array(present, bool).reshape(len(kept), len(classes)),
        size,
        truth if all(own for own, _ in shown) else None,
    )


def is_list(folder: Path) -> bool:
    """Whether a folder has a labels.csv."""
    return (folder / LIST).is_file()


def read_list(folder: Path, size: int, split: str) -> ImageSet:
    """Pictures and what is in them: lines `picture.png,nut,bolt` of labels.csv; classes.txt, one a
    line, says which classes there are, without it all that are named. All of it is every split.
    Raises DatasetError."""
    del split
    note = folder / LIST
    try:
        with open(note, newline='', encoding='utf-8-sig') as file:
            rows = [
                [cell.strip() for cell in row]
                for row in csv.reader(file)
                if row and any(cell.strip() for cell in row)
            ]
        known = (
            [
                line.strip()
                for line in (folder / 'classes.txt').read_text().splitlines()
                if line.strip()
            ]
            if (folder / 'classes.txt').is_file()
            else None
        )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f'{note} cannot be read ({error}): expected lines such as picture.png,nut,bolt'
        ) from error
    if rows and not any(len(row) > 1 for row in rows):
        raise DatasetError(
            f'{note} has no comma in any line (the first is "{rows[0][0]}"): expected lines such as'
            ' picture.png,nut,bolt'
        )
    if rows and rows[0][0].lower() in HEADERS and not inside(folder, rows[0][0]).is_file():
        rows = rows[1:]
    classes = tuple(
        known or dict.fromkeys(sorted({cell for row in rows for cell in row[1:] if cell}))
    )
    alike = sorted(
        name for name in classes if sum(name.lower() == other.lower() for other in classes) > 1
    )
    if alike:
        raise DatasetError(
            f'{note} names {", ".join(alike)}, which differ in case alone: expected one way to'
            ' write a class'
        )
    kept, present, missing, seen = [], [], [], set()
    whole = readable([inside(folder, row[0]) for row in rows])
    for row in rows:
        path, kinds = inside(folder, row[0]), [cell for cell in row[1:] if cell]
        check_classes(kinds, classes, f'{LIST}, {row[0]}')
        if path in seen:
            raise DatasetError(f'{note} names {row[0]} twice: expected a line a picture')
        seen.add(path)
        if path not in whole or not kinds:
            missing.append(row[0])
            continue
        kept.append(path)
        present.append([one in kinds for one in classes])
    _tell(folder, missing, len(rows))
    return from_files(
        folder.name, classes, kept, np.array(present, bool).reshape(len(kept), len(classes)), size
    )


def _tell(folder: Path, missing: list[str], count: int) -> None:
    if missing:
        print(
            f'{folder}: {len(missing)} of {count} pictures are missing, damaged or without a label'
            f' ({", ".join(missing[:TOLD])}{", …" * (len(missing) > TOLD)}), they are left out'
        )


# The first whose folder it is.
PHOTO_SETS: dict[str, tuple[Callable[[Path], bool], Callable[[Path, int, str], ImageSet]]] = {
    'PASCAL VOC 2012': (is_voc, read_voc),
    'COCO': (is_coco_photos, read_coco_photos),
    'pictures with a labels.csv': (is_list, read_list),
}
