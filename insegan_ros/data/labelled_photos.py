"""Photographs with image-level labels, read where they lie: PASCAL VOC 2012, COCO, any folder of
pictures with a labels.csv.

Splits are those of the papers that we reproduce (IRNet, CCGR). Masks, where a set has them, are
read for evaluation alone.
"""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from insegan_ros.data.coco import ANNOTATIONS
from insegan_ros.data.folders import inside, instances_of, labels_of
from insegan_ros.data.image_sets import (
    ImageSet,
    Truth,
    check_classes,
    check_split,
    from_files,
    readable,
    shrink,
)
from insegan_ros.data.run_lengths import decode, picture_shape
from insegan_ros.errors import MALFORMED, DatasetError
from insegan_ros.frame import IGNORE, Instances
from insegan_ros.texts import read_json, read_text, reason

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
# With this number PASCAL VOC's masks mark what nobody knows: outlines, and objects that are hard.
VOC_VOID = 255


@dataclass(frozen=True)
class _Usable:
    """The pictures of a set that can be used: their files, which of the classes each of them shows;
    and the names of those that are missing, damaged or without a label."""

    classes: tuple[str, ...]
    paths: list[Path] = field(default_factory=list)
    present: list[list[bool]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add(self, path: Path, kinds: Collection[str]) -> None:
        """Add a picture that shows these classes."""
        self.paths.append(path)
        self.present.append([name in kinds for name in self.classes])

    def images(self, folder: Path, name: str, size: int, truth: Truth | None) -> ImageSet:
        """They as a set of this name; says which were left out of the folder."""
        if self.missing:
            count = len(self.paths) + len(self.missing)
            some = ', '.join(self.missing[:TOLD]) + ', …' * (len(self.missing) > TOLD)
            print(
                f'{folder}: {len(self.missing)} of {count} pictures are missing, damaged or'
                f' without a label ({some}); they are left out'
            )
        present = np.array(self.present, bool).reshape(len(self.paths), len(self.classes))
        return from_files(name, self.classes, self.paths, present, size, truth)


def is_voc(folder: Path) -> bool:
    """Whether a folder is PASCAL VOC's, as VOCdevkit/VOC2012."""
    return (folder / 'JPEGImages').is_dir() and (folder / 'ImageSets').is_dir()


def read_voc(folder: Path, size: int, split: str) -> ImageSet:
    """PASCAL VOC 2012, the longer side brought to `size` px. training:
    SegmentationAug/train_aug.txt where it was added (10,582 pictures, IRNet's), else Main/train.txt
    (5,717, CCGR's); validation and test: Segmentation/val.txt (1,449); or a list by its own name,
    such as Segmentation/train.

    What is in a picture is read from Annotations, masks from SegmentationObject and
    SegmentationClass. Raises DatasetError for files that are missing or damaged.
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
    names = [Path(line.split()[0]).stem for line in _lines(found[0])]
    usable = _Usable(VOC_CLASSES)
    whole = readable([inside(folder / 'JPEGImages', f'{name}.jpg') for name in names])
    for name in names:
        path = inside(folder / 'JPEGImages', f'{name}.jpg')
        kinds = _voc_kinds(inside(folder / 'Annotations', f'{name}.xml'))
        if path not in whole or not kinds:
            usable.missing.append(name)
            continue
        check_classes(kinds, VOC_CLASSES, f'Annotations/{name}.xml')
        usable.add(path, kinds)
    masks = [inside(folder / 'SegmentationObject', f'{path.stem}.png') for path in usable.paths]

    def truth(index: int) -> Instances:
        return _voc_truth(folder, masks[index], size)

    with_truth = bool(masks) and all(path.is_file() for path in masks)
    title = f'{folder.name} {found[0].stem}'
    return usable.images(folder, title, size, truth if with_truth else None)


def _voc_truth(folder: Path, mask: Path, size: int) -> Instances:
    """The instances of a picture, whose mask of objects lies beside one of classes."""
    objects = _indices(folder / 'SegmentationObject' / mask.name)
    classes = _indices(folder / 'SegmentationClass' / mask.name)
    if objects.shape != classes.shape:
        raise DatasetError(
            f'{mask} and its classes differ in size: expected a mask of objects and one of classes'
        )
    objects, classes = (shrink(one, size, cv2.INTER_NEAREST_EXACT) for one in (objects, classes))
    numbers = [number for number in np.unique(objects) if 0 < number < VOC_VOID]
    kinds = [int(np.bincount(classes[objects == number]).argmax()) for number in numbers]
    labels = labels_of([objects == number for number in numbers], objects.shape)
    labels[objects == VOC_VOID] = IGNORE
    return instances_of(labels, tuple(VOC_CLASSES[kind - 1] for kind in kinds), None, [])


def _voc_kinds(path: Path) -> set[str]:
    """The classes of a note's objects; none where there is no note. Raises DatasetError for one
    that is cut short."""
    if not path.is_file():
        return set()
    try:
        note = ElementTree.fromstring(read_text(path, DatasetError))
        return {str(one.findtext('name')) for one in note.findall('object')}
    except ElementTree.ParseError as error:
        raise DatasetError(
            f'{path} cannot be read ({error}): expected an annotation of PASCAL VOC; copy it again'
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
    """COCO, the longer side brought to `size` px. training: instances_train*.json, validation and
    test: instances_val*.json, or one by its own name, such as val2017. Classes of PASCAL VOC have
    its names. Crowds are no instances, and no score counts their pixels. Raises DatasetError for
    files that are missing or damaged."""
    note, pictures = _coco_note(folder, split)
    content = read_json(note, DatasetError)
    try:
        names = {
            int(one['id']): COCO_NAMES.get(one['name'], str(one['name']))
            for one in content['categories']
        }
        usable, shown = _coco_usable(content, names, note, pictures)
    except MALFORMED as error:
        raise DatasetError(
            f'{note} is not in COCO format ({type(error).__name__} {error}): expected categories,'
            ' images, annotations'
        ) from error

    def truth(index: int) -> Instances:
        found, crowds, shape = shown[index]
        try:
            whole = (decode(one['segmentation'], shape) for one in (*found, *crowds))
            masks = [
                shrink(mask.astype(np.uint8), size, cv2.INTER_NEAREST_EXACT) > 0 for mask in whole
            ]
        except (DatasetError, *MALFORMED) as error:
            raise DatasetError(f'{note}: {usable.paths[index].name}: {reason(error)}') from error
        kinds = tuple(names[one['category_id']] for one in found)
        labels = labels_of(masks[: len(found)], masks[0].shape)
        for crowd in masks[len(found) :]:
            labels[crowd & (labels == 0)] = IGNORE
        return instances_of(labels, kinds, None, [])

    with_truth = all(own for own, *_ in shown)
    title = f'{folder.name} {note.stem}'
    return usable.images(folder, title, size, truth if with_truth else None)


def _coco_note(folder: Path, split: str) -> tuple[Path, Path]:
    """The file of a split's annotations, and the folder of its pictures. Raises DatasetError."""
    if (folder / ANNOTATIONS).is_file():
        check_split(folder, split)
        return folder / ANNOTATIONS, folder
    pattern = {'training': 'train*', 'validation': 'val*', 'test': 'val*'}.get(split, split)
    notes = sorted((folder / 'annotations').glob(f'instances_{pattern}.json'))
    if not notes:
        raise DatasetError(
            f'{folder} has no annotations/instances_{pattern}.json: expected one, or --split'
            ' with the name of one such as val2017'
        )
    return notes[-1], inside(folder, notes[-1].stem.removeprefix('instances_'))


def _coco_usable(
    content: dict[str, Any], names: dict[int, str], note: Path, pictures: Path
) -> tuple[_Usable, list[tuple[list[dict[str, Any]], list[dict[str, Any]], tuple[int, int]]]]:
    """The pictures that can be used; the annotations of instances and of crowds, and the size (H,
    W) of each. Errors are those of a JSON that is not as COCO has it."""
    by_image: dict[int, list[dict[str, Any]]] = {}
    crowds: dict[int, list[dict[str, Any]]] = {}
    for one in content.get('annotations', []):
        (crowds if one.get('iscrowd') else by_image).setdefault(one['image_id'], []).append(one)
    usable, shown = _Usable(tuple(names.values())), []
    whole = readable([inside(pictures, image['file_name']) for image in content['images']])
    for image in sorted(content['images'], key=lambda one: one['id']):
        path, own = inside(pictures, image['file_name']), by_image.get(image['id'], [])
        strange = [str(one['category_id']) for one in own if one['category_id'] not in names]
        check_classes(strange, usable.classes, note.name)
        kinds = {names[one['category_id']] for one in own} | set(image.get('present', []))
        check_classes(sorted(kinds), usable.classes, note.name)
        if path not in whole or not kinds:
            usable.missing.append(image['file_name'])
            continue
        usable.add(path, kinds)
        shape = picture_shape(image['height'], image['width'])
        shown.append((own, crowds.get(image['id'], []), shape))
    return usable, shown


def is_list(folder: Path) -> bool:
    """Whether a folder has a labels.csv."""
    return (folder / LIST).exists()


def read_list(folder: Path, size: int, split: str) -> ImageSet:
    """Pictures and what is in them, the longer side brought to `size` px: lines
    `picture.png,nut,bolt` of labels.csv; classes.txt, one per line, says which classes there are,
    without it all that are named. All of it is every split. Raises DatasetError for files that are
    missing or damaged."""
    check_split(folder, split)
    note = folder / LIST
    try:
        rows = _rows(note)
        known = _lines(folder / 'classes.txt') if (folder / 'classes.txt').exists() else []
    except csv.Error as error:
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
    classes = tuple(known or sorted({cell for row in rows for cell in row[1:] if cell}))
    folded = [name.lower() for name in classes]
    alike = sorted(name for name in classes if folded.count(name.lower()) > 1)
    if alike:
        raise DatasetError(
            f'{note} names {", ".join(alike)}, which differ only in case: expected one spelling of'
            ' each class'
        )
    usable, seen = _Usable(classes), set[Path]()
    whole = readable([inside(folder, row[0]) for row in rows])
    for row in rows:
        path, kinds = inside(folder, row[0]), [cell for cell in row[1:] if cell]
        check_classes(kinds, classes, f'{LIST}, {row[0]}')
        if path in seen:
            raise DatasetError(f'{note} names {row[0]} twice: expected one line per picture')
        seen.add(path)
        if path not in whole or not kinds:
            usable.missing.append(row[0])
            continue
        usable.add(path, kinds)
    return usable.images(folder, folder.name, size, None)


def _rows(path: Path) -> list[list[str]]:
    """The rows of a CSV that are not empty."""
    text = io.StringIO(read_text(path, DatasetError), newline='')
    rows = [[cell.strip() for cell in row] for row in csv.reader(text, strict=True)]
    return [row for row in rows if any(row)]


def _lines(path: Path) -> list[str]:
    """The lines of a text that are not empty."""
    return [line.strip() for line in read_text(path, DatasetError).splitlines() if line.strip()]


# The first whose folder it is.
PHOTO_SETS: dict[str, tuple[Callable[[Path], bool], Callable[[Path, int, str], ImageSet]]] = {
    'PASCAL VOC 2012': (is_voc, read_voc),
    'COCO': (is_coco_photos, read_coco_photos),
    'pictures with a labels.csv': (is_list, read_list),
}
