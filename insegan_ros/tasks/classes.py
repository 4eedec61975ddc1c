"""Masks with classes, or classes alone: how such a segmenter answers, and how it is scored."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from insegan_ros.data.image_sets import CHANNELS, ImageSet
from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.errors import InputError
from insegan_ros.methods.image_level.mask_rcnn_stage import detect
from insegan_ros.methods.image_level.mask_segmenter import MaskSegmenter
from insegan_ros.methods.image_level.run import to_picture
from insegan_ros.methods.image_level.semantic import class_shares
from insegan_ros.methods.image_level.semantic_segmenter import SemanticSegmenter
from insegan_ros.metrics.classes import Confusion, semantic_of


def detect_all(segmenter: MaskSegmenter, images: ImageSet) -> MaskSet:
    """What Mask R-CNN finds in every picture of a set, down to a score of .05; its classes are
    those that it was taught. Raises InputError for pictures with another number of channels, or
    none of whose classes it knows."""
    _check_taught(segmenter, images)
    found = [
        detect(segmenter.network, to_picture(images, index, segmenter.device))
        for index in tqdm(range(len(images)), desc='detect', leave=False)
    ]
    return MaskSet(
        segmenter.classes,
        tuple(images.picture(index).shape[:2] for index in range(len(images))),
        tuple(found),
    )


def _check_taught(segmenter: MaskSegmenter | SemanticSegmenter, images: ImageSet) -> None:
    if images.channels != CHANNELS[segmenter.look] or not set(images.classes) & set(
        segmenter.classes
    ):
        raise InputError(
            f'{images.name} has {images.channels} channels and shows {", ".join(images.classes)}:'
            ' expected what the model was taught,'
            f' {"colour with height" if segmenter.look == "both" else "colour"} and'
            f' {", ".join(segmenter.classes)}'
        )


def label_all(
    segmenter: SemanticSegmenter, images: ImageSet, truth: MaskSet
) -> tuple[MaskSet, float]:
    """The class of every pixel of a set as a semantic segmenter sees it, each class of a picture as
    one mask, and mIoU over the true classes and the background. Raises InputError for pictures of
    other classes or channels."""
    _check_taught(segmenter, images)
    count, masks = Confusion(len(truth.classes)), []
    known = np.array(
        [
            0,
            *(
                truth.classes.index(name) + 1 if name in truth.classes else 0
                for name in segmenter.classes
            ),
        ],
        np.uint8,
    )
    for index in tqdm(range(len(images)), desc='label', leave=False):
        label = (
            class_shares(
                segmenter.network, to_picture(images, index, segmenter.device), segmenter.zooms
            )
            .argmax(0)
            .cpu()
            .numpy()
        )
        count.add(semantic_of(truth, index), known[label])
        masks.append(
            tuple(Mask.of(int(kind) - 1, 1.0, label == kind) for kind in np.unique(label) if kind)
        )
    return (
        MaskSet(
            segmenter.classes,
            tuple(images.picture(index).shape[:2] for index in range(len(images))),
            tuple(masks),
        ),
        count.miou(),
    )
