"""How good masks with classes are: AP by masks and by boxes, class by class, and semantic mIoU."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from insegan_ros.datasets.image_sets import CHANNELS, ImageSet
from insegan_ros.datasets.mask_sets import Mask, MaskSet
from insegan_ros.errors import InputError
from insegan_ros.evaluation.average_precision import class_average_precision
from insegan_ros.networks.semantic import class_shares
from insegan_ros.segmenters.masks import MaskSegmenter
from insegan_ros.segmenters.semantic import SemanticSegmenter
from insegan_ros.training.image_level import to_picture
from insegan_ros.training.mask_rcnn import detect


def score_masks(truth: MaskSet, found: MaskSet) -> dict[str, float]:
    """ap25, ap50, ap75 of masks, box_ap50 of their boxes, means over the classes."""
    values = {
        **class_average_precision(truth, found),
        'box_ap50': class_average_precision(truth, found, (0.5,), 'bbox')['ap50'],
    }
    return {name: round(value, 4) for name, value in values.items()}


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


def semantic_of(masks: MaskSet, index: int) -> np.ndarray:
    """The semantic label (H, W) of a picture's masks, 0 background, class + 1; the surest on
    top."""
    out = np.zeros(masks.sizes[index], np.uint8)
    for one in sorted(masks.masks[index], key=lambda mask: mask.score):
        out[one.pixels()] = one.kind + 1
    return out


class Confusion:
    """How many pixels of each class were taken for which, over many pictures; for the mean IoU over
    classes and background."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes + 1, classes + 1), np.int64)

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        """Count a picture's labels (H, W), 0 background."""
        size = len(self.counts)
        self.counts += np.bincount(
            truth.ravel().astype(int) * size + found.ravel(), minlength=size * size
        ).reshape(size, size)

    def miou(self) -> float:
        """Mean over the classes that are there, or were found, background among them."""
        both = np.diag(self.counts)
        either = self.counts.sum(0) + self.counts.sum(1) - both
        return round(float((both[either > 0] / either[either > 0]).mean()), 4)
