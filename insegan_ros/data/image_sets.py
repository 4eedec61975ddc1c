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

from insegan_ros.data.images import depth_in, read_picture
from insegan_ros.data.pictures import square_window
from insegan_ros.errors import DatasetError, InputError, unknown
from insegan_ros.frame import Frame, Instances
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
    """A picture (H, W, ...), or labels (H, W) with INTER_NEAREST_EXACT, made smaller until its
    longer side is `size` px at most."""
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
