"""Pictures with image-level labels, read from any folder that holds some: shards, PASCAL VOC, COCO,
or pictures with a labels.csv."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from insegan_ros.data.folders import instances_of, labels_of
from insegan_ros.data.image_sets import CHANNELS, ColourModality, ImageSet, check_split, picture_of
from insegan_ros.data.labelled_photos import PHOTO_SETS
from insegan_ros.data.pictures import square_window
from insegan_ros.data.shards import ShardDataset, is_shards
from insegan_ros.errors import DatasetError
from insegan_ros.frame import IGNORE, Instances


def read_image_set(
    path: str | Path,
    size: int,
    modality: ColourModality = 'colour',
    split: str = 'training',
    limit: int = 0,
) -> ImageSet:
    """The pictures of a folder of shards, of PASCAL VOC 2012, of COCO, or with a labels.csv, the
    longer side brought to `size` px (never enlarged but for shards, of which a square with the bin
    is cut). split: training, validation or test, or a list's own name such as Main/train. limit:
    the first so many, 0 for all.

    Pictures that cannot be read, or of which nothing is known, are skipped, counted and named.
    Raises DatasetError where nothing is left, for classes of which there is no picture, and for
    labels that name no class of the set.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DatasetError(
            f'{folder} is not a folder: expected shards with colour, PASCAL VOC 2012, COCO, or'
            ' pictures with a labels.csv'
        )
    if is_shards(folder):
        check_split(folder, split)
        found = _from_shards(folder, size, modality, limit)
    else:
        if modality == 'both':
            raise DatasetError(
                f'{folder} holds photographs, which have no height: expected modality colour, or a'
                ' folder of shards'
            )
        for is_one, read in PHOTO_SETS.values():
            if is_one(folder):
                found = read(folder, size, split).first(limit)
                break
        else:
            raise DatasetError(
                f'{folder} holds no pictures with image-level labels: expected shards,'
                f' {", ".join(PHOTO_SETS)}'
            )
    if not len(found):
        raise DatasetError(
            f'{folder} holds no picture that can be used: expected pictures with labels'
        )
    return found


def _from_shards(folder: Path, size: int, modality: ColourModality, limit: int) -> ImageSet:
    dataset = ShardDataset(folder)
    count = min(len(dataset), limit or len(dataset))
    pictures = np.empty((count, size, size, CHANNELS[modality]), np.uint8)
    present = np.zeros((count, len(dataset.classes)), bool)
    labels: list[np.ndarray] = []
    classes: list[tuple[str, ...]] = []
    for index, scene in tqdm(
        zip(range(count), dataset),
        total=count,
        desc=f'read {folder.name}',
        unit='picture',
        disable=count < 500,
    ):
        if scene.frame.colour is None:
            raise DatasetError(
                f'{folder} holds no colour: expected scenes simulated with --colour true'
            )
        picture, window = picture_of(scene.frame, scene.workspace, size, modality)
        pictures[index] = picture
        present[index] = [name in scene.present for name in dataset.classes]
        if scene.truth is not None and scene.truth.classes is not None:
            labels.append(_labels_in(window, scene.truth.labels % IGNORE, size))
            classes.append(scene.truth.classes)
    kept = np.flatnonzero(present.any(1))
    if len(kept) < count:
        print(
            f'{folder}: {count - len(kept)} of {count} pictures show nothing with a known label;'
            ' they are left out'
        )
    # Masks play no part: a set with and one without them teach the same.
    digest = hashlib.sha256(pictures.tobytes())
    digest.update(present.tobytes())

    def truth(index: int) -> Instances:
        shown = labels[kept[index]]
        numbers = [number for number in np.unique(shown) if number]
        return instances_of(
            labels_of([shown == number for number in numbers], shown.shape),
            tuple(classes[kept[index]][number - 1] for number in numbers),
            None,
            [],
        )

    return ImageSet(
        folder.name,
        dataset.classes,
        present[kept],
        tuple(f'{index:06d}' for index in kept),
        size,
        pictures.shape[-1],
        lambda index: pictures[kept[index]],
        truth if len(labels) == count else None,
        digest.hexdigest()[:16],
    )


def _labels_in(window: tuple[int, int, int, int], labels: np.ndarray, size: int) -> np.ndarray:
    """What a picture of a window shows, labelled: (size, size) uint16."""
    left, top, right, bottom = window
    square = square_window(window, labels)
    square[bottom - top :] = 0
    square[:, right - left :] = 0
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
