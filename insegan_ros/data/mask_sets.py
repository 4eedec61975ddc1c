"""Masks with classes of many pictures, run-length encoded: pseudo-labels between the stages of a
training, answers and truth of an evaluation.

Masks are handed on as run lengths, never as polygons, which lose holes. On disk they are COCO
annotations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle
from tqdm import tqdm

from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.run_lengths import check_run_lengths, decode, encode, picture_shape
from insegan_ros.errors import MALFORMED, DatasetError
from insegan_ros.files import write_whole
from insegan_ros.frame import IGNORE, Instances
from insegan_ros.texts import read_json, reason

# A semantic label (uint8) that says nothing.
IGNORED = 255


@dataclass(frozen=True)
class Mask:
    """One mask: kind, its class's index; a score in [0, 1]; compressed run lengths as COCO has
    them."""

    kind: int
    score: float
    segmentation: dict[str, Any]

    @classmethod
    def of(cls, kind: int, score: float, pixels: np.ndarray) -> Mask:
        """A mask of these pixels (H, W) bool."""
        return cls(int(kind), float(score), encode(pixels))

    def pixels(self) -> np.ndarray:
        """The mask as (H, W) bool."""
        return decode(self.segmentation, tuple(self.segmentation['size']))

    @property
    def packed(self) -> dict[str, Any]:
        """The run lengths as pycocotools has them."""
        return {**self.segmentation, 'counts': self.segmentation['counts'].encode('ascii')}

    @property
    def area(self) -> int:
        """Area in px."""
        return int(rle.area(self.packed))

    @property
    def box(self) -> list[float]:
        """The bounding box as [x, y, width, height] in px."""
        return [float(value) for value in rle.toBbox(self.packed)]

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """The same as (left, top, right, bottom)."""
        x, y, width, height = self.box
        return x, y, x + width, y + height


@dataclass(frozen=True)
class MaskSet:
    """The masks of every picture, in the pictures' order; they may overlap. `sizes`, (H, W) of
    every picture. `void`: what nobody knows of a picture, by its index; no score counts it."""

    classes: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    masks: tuple[tuple[Mask, ...], ...]
    void: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.masks)

    def pixels(self, index: int, min_score: float = 0.0) -> list[tuple[int, np.ndarray]]:
        """The class's index and the pixels (H, W) bool of a picture's masks with this score or a
        higher one."""
        masks = self.masks[index]
        return [(one.kind, one.pixels()) for one in masks if one.score >= min_score]

    def outside(self, void: Mapping[int, np.ndarray]) -> MaskSet:
        """The same without these pixels (H, W) bool of pictures, by their index."""
        masks = list(self.masks)
        for index, unknown in void.items():
            left = [(one, one.pixels() & ~unknown) for one in self.masks[index]]
            masks[index] = tuple(
                Mask.of(one.kind, one.score, pixels) for one, pixels in left if pixels.any()
            )
        return replace(self, masks=tuple(masks))

    @classmethod
    def joined(cls, sets: Sequence[MaskSet]) -> MaskSet:
        """The pictures of several sets of the same classes, at least one, in order."""
        firsts = np.cumsum([0, *(len(one) for one in sets)]).tolist()
        unknown = (
            (first + index, void)
            for first, one in zip(firsts, sets)
            for index, void in one.void.items()
        )
        return cls(
            sets[0].classes,
            tuple(size for one in sets for size in one.sizes),
            tuple(masks for one in sets for masks in one.masks),
            dict(unknown),
        )

    def save(self, path: Path) -> None:
        """Write a file of COCO annotations, whole or not at all, without what nobody knows."""
        images = [
            {'id': index, 'file_name': str(index), 'height': height, 'width': width}
            for index, (height, width) in enumerate(self.sizes)
        ]
        annotations = [
            {
                'image_id': index,
                'category_id': one.kind + 1,
                'segmentation': one.segmentation,
                'area': one.area,
                'bbox': one.box,
                'iscrowd': 0,
                'score': round(one.score, 5),
            }
            for index, masks in enumerate(self.masks)
            for one in masks
        ]
        content = {
            'images': images,
            'annotations': [{'id': number, **one} for number, one in enumerate(annotations, 1)],
            'categories': [
                {'id': number, 'name': name} for number, name in enumerate(self.classes, 1)
            ],
        }
        write_whole(path, json.dumps(content).encode())

    @classmethod
    def load(cls, path: Path) -> MaskSet:
        """Read what `save` wrote. Raises DatasetError where that is not what the file holds."""
        try:
            content = read_json(path, DatasetError)
            sizes = [picture_shape(one['height'], one['width']) for one in content['images']]
            masks: list[list[Mask]] = [[] for _ in sizes]
            for one in content['annotations']:
                index = one['image_id']
                check_run_lengths(one['segmentation'], sizes[index])
                masks[index].append(
                    Mask(one['category_id'] - 1, float(one['score']), one['segmentation'])
                )
            return cls(
                tuple(str(one['name']) for one in content['categories']),
                tuple(sizes),
                tuple(map(tuple, masks)),
            )
        except (DatasetError, *MALFORMED) as error:
            raise DatasetError(
                f'{path} holds no masks ({reason(error)}): expected what a training wrote there;'
                ' delete it, and it is made again'
            ) from error


def from_instances(classes: tuple[str, ...], found: Iterable[Instances]) -> MaskSet:
    """The masks of instances with classes, picture by picture, and what their labels ignore; what
    is wholly hidden is left out.
    Raises DatasetError for instances without classes."""
    sizes: list[tuple[int, int]] = []
    masks: list[tuple[Mask, ...]] = []
    void: dict[int, np.ndarray] = {}
    for index, one in enumerate(found):
        if one.classes is None:
            raise DatasetError('instances have no classes: expected a class for each')
        sizes.append(one.labels.shape)
        if (unknown := one.labels == IGNORE).any():
            void[index] = unknown
        masks.append(
            tuple(
                Mask.of(classes.index(name), score, pixels)
                for name, score, pixels in zip(one.classes, one.scores, one.masks())
                if pixels.any()
            )
        )
    return MaskSet(tuple(classes), tuple(sizes), tuple(masks), void)


def truth_of(images: ImageSet, progress: bool = True) -> MaskSet:
    """The true masks of a set, to evaluate with or to learn from. Raises InputError where it has
    none."""
    masks = (images.masks(index) for index in range(len(images)))
    bar = tqdm(masks, total=len(images), desc='true masks', disable=not progress)
    return from_instances(images.classes, bar)


def sizes_of(images: ImageSet) -> tuple[tuple[int, int], ...]:
    """(H, W) px of every picture of a set."""
    return tuple(images.picture(index).shape[:2] for index in range(len(images)))
