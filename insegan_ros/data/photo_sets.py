"""Published sets of photographs of single objects, read where they lie: Caltech-UCSD Birds,
Stanford Dogs and Cars, CelebA, Amazon Picking Challenge.

Splits and crops are those of the papers that we reproduce (improved layered GANs, appendix B; the
independence prior). A plain folder of pictures is read too, so that anybody's own photographs can
teach.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from insegan_ros.data.folders import LABELS, inside
from insegan_ros.errors import MALFORMED, DatasetError, unknown
from insegan_ros.texts import read_text, reason

SPLITS = ('training', 'validation', 'test')
PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


@dataclass(frozen=True)
class Photo:
    """path, of the picture; kind, what it shows; box (left, top, right, bottom) in px of the
    object, or None; mask, the path of its mask, or None."""

    path: Path
    kind: str
    box: tuple[float, float, float, float] | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class PhotoSet:
    """A published set: whether a folder is it, and its photographs of a split."""

    found: Callable[[Path], bool]
    photos: Callable[[Path, str], list[Photo]]


def read_photos(folder: Path, split: str) -> list[Photo]:
    """The pictures of a split (training, validation, test), in order. Raises DatasetError where the
    folder is none of the sets or a file of it is missing."""
    if split not in SPLITS:
        raise unknown('split', split, list(SPLITS))
    for name, photo_set in PHOTO_SETS.items():
        if photo_set.found(folder):
            try:
                photos = photo_set.photos(folder, split)
            except MALFORMED as error:
                raise DatasetError(
                    f'{folder}: the lists of {name} do not fit together ({reason(error)}): expected'
                    ' whole files; copy them again'
                ) from error
            if not photos:
                raise DatasetError(
                    f'{folder} holds no pictures of the split {split}: expected at least one'
                )
            return photos
    raise DatasetError(
        f'{folder} holds no pictures: expected one of {", ".join(PHOTO_SETS)}, that is JPEG or PNG'
        ' files'
    )


def is_photos(folder: Path) -> bool:
    """Whether a folder is one of the sets."""
    return folder.is_dir() and any(photo_set.found(folder) for photo_set in PHOTO_SETS.values())


def _birds(folder: Path, split: str) -> list[Photo]:
    """CUB-200-2011: 10,000 pictures for training, 788 for validation, 1,000 for test, in a fixed
    random order, as ReDO and the layered GANs have them; in smaller sets the same shares."""
    names, classes = _table(folder / 'images.txt'), _table(folder / 'image_class_labels.txt')
    boxes, kinds = _table(folder / 'bounding_boxes.txt'), _table(folder / 'classes.txt')
    masks = next(
        (
            place
            for place in (folder / 'segmentations', folder.parent / 'segmentations')
            if place.is_dir()
        ),
        None,
    )
    photos = []
    for number, (name,) in names.items():
        x, y, width, height = (float(value) for value in boxes[number])
        mask = inside(masks, name).with_suffix('.png') if masks else None
        photos.append(
            Photo(
                inside(folder / 'images', name),
                kinds[classes[number][0]][0],
                (x, y, x + width, y + height),
                mask,
            )
        )
    shares = {'training': (0, 10_000), 'validation': (10_000, 10_788), 'test': (10_788, 11_788)}[
        split
    ]
    first, last = (round(len(photos) * edge / 11_788) for edge in shares)
    return [
        photos[index] for index in np.random.default_rng(0).permutation(len(photos))[first:last]
    ]


def _dogs(folder: Path, split: str) -> list[Photo]:
    """Stanford Dogs: its own lists, 12,000 for training and 8,580 for test; validation is the last
    tenth of the training list. Masks, which the set does not have, are looked for in masks/."""
    own = 'test' if split == 'test' else 'train'
    lists = [
        path
        for path in (folder / f'{own}_list.mat', folder / 'lists' / f'{own}_list.mat')
        if path.is_file()
    ]
    if not lists:
        raise DatasetError(f'{folder} has no {own}_list.mat: expected the lists of Stanford Dogs')
    names = [str(row[0][0]) for row in _mat(lists[0])['file_list']]
    photos = []
    for name in names:
        note = inside(folder / 'Annotation', name).with_suffix('')
        mask = inside(folder / 'masks', name).with_suffix('.png')
        photos.append(
            Photo(
                inside(folder / 'Images', name),
                name.split('/')[0].partition('-')[2],
                _voc_box(note),
                mask if mask.is_file() else None,
            )
        )
    return _own_validation(photos, split)


def _cars(folder: Path, split: str) -> list[Photo]:
    """Stanford Cars: its own 8,144 for training and 8,041 for test; validation is the last tenth of
    the training list. Masks are looked for in masks/."""
    own = 'test' if split == 'test' else 'train'
    devkit = next(
        (
            place
            for place in (folder / 'devkit', folder)
            if (place / 'cars_train_annos.mat').is_file()
        ),
        folder,
    )
    notes = [
        path
        for path in (
            folder / f'cars_{own}_annos_withlabels.mat',
            devkit / f'cars_{own}_annos_withlabels.mat',
            devkit / f'cars_{own}_annos.mat',
        )
        if path.is_file()
    ]
    if not notes:
        raise DatasetError(
            f'{folder} has no cars_{own}_annos.mat: expected the devkit of Stanford Cars'
        )
    photos = []
    for row in _mat(notes[0])['annotations'].ravel():
        values = {name: row[name].ravel()[0] for name in row.dtype.names}
        name = str(values['fname'])
        left, top, right, bottom = (
            float(values[f'bbox_{edge}']) for edge in ('x1', 'y1', 'x2', 'y2')
        )
        mask = inside(folder / 'masks' / f'cars_{own}', name).with_suffix('.png')
        photos.append(
            Photo(
                inside(folder / f'cars_{own}', name),
                str(values.get('class', '')),
                (left, top, right, bottom),
                mask if mask.is_file() else None,
            )
        )
    return _own_validation(photos, split)


def _faces(folder: Path, split: str) -> list[Photo]:
    """CelebA as taken (img_celeba) with its boxes and its own partition."""
    place = next(
        (
            place
            for place in (folder / 'img_celeba', folder / 'Img' / 'img_celeba')
            if place.is_dir()
        ),
        folder / 'img_celeba',
    )
    partition = _table(_first(folder, 'list_eval_partition.txt'))
    boxes = _table(_first(folder, 'list_bbox_celeba.txt'), skip=2)
    wanted = str(SPLITS.index(split))
    photos = []
    for name, (own,) in partition.items():
        if own == wanted:
            x, y, width, height = (float(value) for value in boxes[name])
            photos.append(Photo(inside(place, name), 'face', (x, y, x + width, y + height)))
    return photos


def _picking(folder: Path, split: str) -> list[Photo]:
    """The object segmentation set of the Amazon Picking Challenge 2016: OBJECT/SCENE/*.color.png
    under shelf and tray, masks beside the pictures or in masks/; a tenth of the scenes for
    validation, a tenth for test, in a fixed random order."""
    scenes: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob('*.color.png')):
        scenes.setdefault(path.parent, []).append(path)
    order = [sorted(scenes)[index] for index in np.random.default_rng(0).permutation(len(scenes))]
    tenth = max(len(order) // 10, 1)
    chosen = {
        'test': order[:tenth],
        'validation': order[tenth : 2 * tenth],
        'training': order[2 * tenth :],
    }[split]
    photos = []
    for path in (path for scene in chosen for path in scenes[scene]):
        name = path.name.replace('.color.', '.mask.')
        mask = next(
            (
                place
                for place in (path.parent / name, path.parent / 'masks' / name)
                if place.is_file()
            ),
            None,
        )
        photos.append(Photo(path, path.parent.parent.name, mask=mask))
    return photos


def _plain(folder: Path, split: str) -> list[Photo]:
    """Any folder of pictures, its sub-folders' names as kinds; masks under the same name in masks/,
    also where the pictures are in images/. NAME_labels.png beside a picture NAME is no picture:
    `insegan evaluate` reads it. All of it is every split, unless folders training, validation, test
    are there."""
    root = folder / split if (folder / split).is_dir() else folder
    found = sorted(
        path
        for path in root.rglob('*')
        if path.suffix.lower() in PICTURES and 'masks' not in path.relative_to(root).parts[:-1]
    )
    labels = {path.with_name(path.stem + LABELS) for path in found}
    photos = []
    for path in found:
        if path in labels:
            continue
        parts = path.relative_to(root).parts
        parts = parts[1:] if parts[0] == 'images' and len(parts) > 1 else parts
        mask = root.joinpath('masks', *parts).with_suffix('.png')
        photos.append(
            Photo(path, parts[-2] if len(parts) > 1 else '', mask=mask if mask.is_file() else None)
        )
    return photos


# The first whose folder it is; any folder with pictures is the last.
PHOTO_SETS = {
    'CUB-200-2011': PhotoSet(
        lambda folder: (
            (folder / 'bounding_boxes.txt').is_file() and (folder / 'images.txt').is_file()
        ),
        _birds,
    ),
    'Stanford Dogs': PhotoSet(
        lambda folder: (folder / 'Annotation').is_dir() and (folder / 'Images').is_dir(), _dogs
    ),
    'Stanford Cars': PhotoSet(lambda folder: (folder / 'cars_train').is_dir(), _cars),
    'CelebA': PhotoSet(
        lambda folder: bool(
            list(folder.glob('list_bbox_celeba.txt')) or list(folder.glob('*/list_bbox_celeba.txt'))
        ),
        _faces,
    ),
    'Amazon Picking Challenge': PhotoSet(lambda folder: any(folder.rglob('*.color.png')), _picking),
    'a folder of pictures': PhotoSet(
        lambda folder: any(path.suffix.lower() in PICTURES for path in folder.rglob('*')), _plain
    ),
}


def _own_validation(photos: list[Photo], split: str) -> list[Photo]:
    last = len(photos) - len(photos) // 10
    return photos if split == 'test' else photos[:last] if split == 'training' else photos[last:]


def _table(path: Path, skip: int = 0) -> dict[str, list[str]]:
    """A text file's rows by their first word."""
    try:
        rows = [
            line.split()
            for line in read_text(path, DatasetError).splitlines()[skip:]
            if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} cannot be read ({error}): expected the set's own list"
        ) from error
    return {row[0]: row[1:] for row in rows}


def _first(folder: Path, name: str) -> Path:
    return next(iter(sorted([*folder.glob(name), *folder.glob(f'*/{name}')])), folder / name)


def _mat(path: Path) -> dict[str, np.ndarray]:
    try:
        return loadmat(path)
    except (OSError, ValueError, MatReadError, NotImplementedError) as error:
        raise DatasetError(
            f'{path} cannot be read ({error}): expected a MATLAB file of the set'
        ) from error


def _voc_box(path: Path) -> tuple[float, float, float, float] | None:
    """The first box of a PASCAL VOC note, or None without one."""
    try:
        box = ElementTree.parse(path).find('object/bndbox')
        if box is None:
            return None
        left, top, right, bottom = (
            float(box.findtext(edge, '')) for edge in ('xmin', 'ymin', 'xmax', 'ymax')
        )
        return left, top, right, bottom
    except (OSError, ElementTree.ParseError, ValueError):
        return None
