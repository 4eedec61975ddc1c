"""Masks with classes of many pictures, run-length encoded: pseudo labels between the stages of a
training, answers and truth of an evaluation.

Masks are handed on as run lengths, never as polygons, which lose holes. On disk they are COCO
annotations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from insegan_ros.data.coco import decode, encode
from insegan_ros.data.folders import read_json
from insegan_ros.errors import DatasetError
from insegan_ros.files import write_whole
from insegan_ros.frame import Instances


@dataclass(frozen=True)
class Mask:
    """One mask: the class's index, a score in [0, 1], compressed run lengths as COCO has them."""

    kind: int
    score: float
    segmentation: dict[str, Any]

    @classmethod
    def of(cls, kind: int, score: float, pixels: np.ndarray) -> Mask:
        """From pixels (H, W) bool."""
        return cls(int(kind), float(score), encode(pixels))

    def pixels(self) -> np.ndarray:
        """(H, W) bool."""
        return decode(self.segmentation, tuple(self.segmentation['size']))

    @property
    def packed(self) -> dict[str, Any]:
        """The run lengths as pycocotools has them."""
        return {**self.segmentation, 'counts': self.segmentation['counts'].encode('ascii')}

    @property
    def area(self) -> int:
        """Pixels."""
        return int(rle.area(self.packed))

    @property
    def box(self) -> list[float]:
        """x, y, width, height in px."""
        return [float(value) for value in rle.toBbox(self.packed)]


@dataclass(frozen=True)
class MaskSet:
    """The masks of every picture, in the pictures' order; they may overlap. `sizes`, (H, W) of
    every picture."""

    classes: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    masks: tuple[tuple[Mask, ...], ...]

    def __len__(self) -> int:
        return len(self.masks)

    def save(self, path: Path) -> None:
        """As COCO annotations, whole or not at all."""
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
        """What `save` wrote. Raises DatasetError."""
        content = read_json(path)
        try:
            masks: list[list[Mask]] = [[] for _ in content['images']]
            for one in content['annotations']:
                masks[one['image_id']].append(
                    Mask(one['category_id'] - 1, float(one['score']), one['segmentation'])
                )
            return cls(
                tuple(one['name'] for one in content['categories']),
                tuple((one['height'], one['width']) for one in content['images']),
                tuple(map(tuple, masks)),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DatasetError(
                f'{path} holds no masks ({type(error).__name__} {error}): expected what a training'
                ' wrote there; delete it, and it is made again'
            ) from error


def from_instances(classes: tuple[str, ...], found: Iterable[Instances]) -> MaskSet:
    """Of instances with classes; what is not seen is left out. Raises DatasetError for instances
    without classes."""
    sizes, masks = [], []
    for one in found:
        if one.classes is None:
            raise DatasetError('instances have no classes: expected a class for each')
        sizes.append(one.labels.shape)
        masks.append(
            tuple(
                Mask.of(classes.index(name), score, pixels)
                for name, score, pixels in zip(one.classes, one.scores, one.masks())
                if pixels.any()
            )
        )
    return MaskSet(tuple(classes), tuple(sizes), tuple(masks))
