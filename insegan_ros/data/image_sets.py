"""Pictures of which is known what is in them: what methods read that learn masks from image-level
labels alone.

From shards of the simulator, PASCAL VOC 2012, COCO, or any folder of pictures with a list. Masks
are opened where they are asked for, to measure or to teach the supervised ceiling, and nowhere
else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from insegan_ros.data.folders import instances_of, labels_of
from insegan_ros.data.images import depth_in, read_picture
from insegan_ros.data.pictures import square_window
from insegan_ros.data.shards import ShardDataset, is_shards
from insegan_ros.errors import DatasetError, InputError, unknown
from insegan_ros.frame import IGNORE, Frame, Instances
from insegan_ros.workspace import TRAINING_MARGIN, Workspace, window_of

ColourModality = Literal['colour', 'both']
# A picture's channels.
CHANNELS: dict[str, int] = {'colour': 3, 'both': 4}
# Height of the fourth channel's 255, in m.
RELIEF_M = 0.1
SPLITS = ('training', 'validation', 'test')
Truth = Callable[[int], Instances]


@dataclass(frozen=True)
class ImageSet:
    """N pictures with image-level labels of K classes.

    present (N, K) bool, which of the classes are in each; names, of the pictures; picture(i) -> (H,
    W, 3) uint8 RGB, or (H, W, 4) with height above the floor, 255 being RELIEF_M; the longer side
    is `size` px or less. truth(i), the instances with classes of the same picture, or None where
    there are no masks.
    """

    name: str
    classes: tuple[str, ...]
    present: np.ndarray
    names: tuple[str, ...]
    size: int
    channels: int
    picture: Callable[[int], np.ndarray]
    truth: Truth | None
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)

    def first(self, count: int) -> ImageSet:
        """The first so many; all for 0."""
        if not count:
            return self
        return replace(self, present=self.present[:count], names=self.names[:count])

    def masks(self, index: int) -> Instances:
        """The truth of a picture. Raises InputError where the set has image-level labels alone."""
        if self.truth is None:
            raise InputError(
                f'{self.name} has image-level labels only: expected masks, to measure or to learn'
                ' from them'
            )
        return self.truth(index)


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
        from insegan_ros.data.labelled_photos import PHOTO_SETS

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


def check_split(folder: Path, split: str) -> None:
    """Raise DatasetError where a set without lists is asked for one of them."""
    if split not in SPLITS:
        raise DatasetError(
            f'{folder} has no list {split}: expected --split {", ".join(SPLITS)}, each of which'
            ' means the whole set'
        )


def require_every_class(images: ImageSet) -> None:
    """Raise DatasetError for classes that are in no picture, or in all of them: nothing tells a
    learner what they look like."""
    count = images.present.sum(0)
    if len(images) < 2 or (count == 0).any() or (count == len(images)).any():
        missing = [name for name, number in zip(images.classes, count) if not number]
        everywhere = [name for name, number in zip(images.classes, count) if number == len(images)]
        raise DatasetError(
            f'{images.name}, {len(images)} pictures: '
            + '; '.join(
                [f'no picture shows {", ".join(missing)}'] * bool(missing)
                + [f'every picture shows {", ".join(everywhere)}'] * bool(everywhere)
            )
            + ': expected pictures with and without each class, or nothing shows what it looks'
            ' like'
        )


def shrink(image: np.ndarray, size: int, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    """A picture (H, W, ...), or labels (H, W) with INTER_NEAREST, made smaller until its longer
    side is `size` px at most."""
    scale = size / max(image.shape[:2])
    if scale >= 1:
        return image
    width, height = (max(round(side * scale), 1) for side in image.shape[1::-1])
    return cv2.resize(image, (width, height), interpolation=interpolation)


def picture_of(
    frame: Frame, workspace: Workspace | None, size: int, modality: ColourModality
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """What the bin's inside looks like, (size, size, C) uint8 as ImageSet has it, and the window
    (left, top, right, bottom) of the frame in px that it shows. Without a workspace all of the
    frame is shown. Raises InputError where colour, or a floor to measure height from, is
    missing."""
    if frame.colour is None:
        raise InputError(
            'the frame has no colour: expected a colour picture aligned with depth, which this'
            ' method looks at'
        )
    window = window_of(workspace, frame.intrinsics, TRAINING_MARGIN)
    layers = [frame.colour]
    if modality == 'both':
        if workspace is None:
            raise InputError(
                'there is no workspace: expected the floor and bounds of `insegan calibrate`,'
                ' from which this method takes heights'
            )
        height = np.clip(workspace.height_map(frame) / RELIEF_M, 0, 1) * 255
        layers.append(height.round().astype(np.uint8)[..., None])
    square = square_window(window, np.concatenate(layers, -1))
    interpolation = cv2.INTER_AREA if len(square) > size else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=interpolation), window


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
    """What a picture of a window shows, labelled: (size, size) uint8."""
    left, top, right, bottom = window
    square = square_window(window, labels)
    square[bottom - top :] = 0
    square[:, right - left :] = 0
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def from_files(
    name: str,
    classes: tuple[str, ...],
    paths: Sequence[Path],
    present: np.ndarray,
    size: int,
    truth: Truth | None = None,
) -> ImageSet:
    """Photographs, each read when it is looked at, with image-level labels present (N, K) bool.
    Looking at one that cannot be read raises DatasetError."""

    def picture(index: int) -> np.ndarray:
        image = read_picture(paths[index])
        if image is None:
            raise DatasetError(
                f'{paths[index]} is missing, cut short or not a picture: expected a whole one;'
                ' take it out of the list or copy it again'
            )
        return np.ascontiguousarray(shrink(image[..., ::-1], size))

    digest = hashlib.sha256(
        '\n'.join(f'{path.name} {path.stat().st_size}' for path in paths).encode()
    )
    digest.update(present.tobytes())
    stems = [path.stem for path in paths]
    # Pictures of one name may lie in several folders.
    names = (
        stems
        if len(set(stems)) == len(stems)
        else [f'{index:06d}-{stem}' for index, stem in enumerate(stems)]
    )
    return ImageSet(
        name, classes, present, tuple(names), size, 3, picture, truth, digest.hexdigest()[:16]
    )


def readable(paths: Sequence[Path]) -> set[Path]:
    """Those of the pictures that can be read whole. They are all looked through once, before a
    training of hours. Raises DatasetError for depth."""

    def fine(path: Path) -> bool:
        image = read_picture(path)
        if image is not None and (depth := depth_in(path, image)):
            raise DatasetError(f'{path} {depth}: expected a photograph; take it out of the list')
        return image is not None

    with ThreadPoolExecutor(8) as readers:
        found = tqdm(
            readers.map(fine, paths),
            total=len(paths),
            desc='look through',
            unit='picture',
            disable=len(paths) < 500,
        )
        return {path for path, whole in zip(paths, found) if whole}


def check_classes(found: Iterable[str], known: Sequence[str], where: str) -> None:
    """Raise ConfigError where a label names no known class. where: the file, in words."""
    for one in found:
        if one not in known:
            raise unknown(f'class in {where}', one, list(known))
