"""From attention maps to pseudo-labels of the classes where the maps are confident: what IRNet, and
AffinityNet before it, learn the relations of pixels from (IRNet, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from insegan_ros.data.mask_sets import IGNORED
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, dense_crf

# The probability with which the labels that the dense CRF is given are right.
LABELS_RIGHT = 0.7


@dataclass(frozen=True)
class ConfidentAreasConfig:
    """Where attention maps are confident."""

    foreground: float = 0.3
    """Attention of a class from which on a pixel is labelled with it."""
    background: float = 0.05
    """Attention of all classes below which a pixel is labelled background; between the two it is
    ignored."""

    def __post_init__(self) -> None:
        if not 0 < self.background <= self.foreground < 1:
            raise ConfigError(
                f'relations.background is {self.background}, foreground {self.foreground}: expected'
                ' 0 < background <= foreground < 1'
            )


def confident_areas(
    maps: np.ndarray,
    class_ids: np.ndarray,
    picture: np.ndarray,
    config: ConfidentAreasConfig,
    crf: DenseCrfConfig,
) -> np.ndarray:
    """Labels (h, w) uint8: 0 background, class id + 1, or IGNORED. Of attention maps (k, h, w) in
    [0, 1] of the classes (k,), and of the picture (H, W, C) uint8 that the dense CRF looks at."""
    height, width = picture.shape[:2]
    large = np.stack(
        [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps]
    )
    areas = []
    for level in (config.foreground, config.background):
        label = np.concatenate([np.full((1, height, width), level, large.dtype), large]).argmax(0)
        if crf.relations:
            given = label == np.arange(len(class_ids) + 1)[:, None, None]
            wrong = (1 - LABELS_RIGHT) / len(class_ids)
            label = dense_crf(picture, np.where(given, LABELS_RIGHT, wrong), crf)
        areas.append(label)
    foreground, either = areas
    label = np.concatenate([[0], np.asarray(class_ids) + 1])[foreground]
    label[foreground == 0] = IGNORED
    label[(foreground == 0) & (either == 0)] = 0
    # Cells of maps are centred where they lie; INTER_NEAREST would take their upper left pixels.
    size = maps.shape[:0:-1]
    return cv2.resize(label.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
