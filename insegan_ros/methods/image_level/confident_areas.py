"""From attention maps to pseudo class labels that are sure: what IRNet, and AffinityNet before it,
learn pixels' relations from (IRNet, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, dense_crf
from insegan_ros.methods.image_level.relations import IGNORED

# How sure the dense CRF is of the labels it is given.
LABELS_RIGHT = 0.7


@dataclass(frozen=True)
class ConfidentAreasConfig:
    """What counts as sure."""

    foreground: float = 0.3
    """Attention of a class from which on a pixel surely is of it."""
    background: float = 0.05
    """Attention of all classes below which a pixel surely is background."""

    def __post_init__(self) -> None:
        if not 0 < self.background <= self.foreground < 1:
            raise ConfigError(
                f'relations.background is {self.background}, foreground {self.foreground}: expected'
                ' 0 < background <= foreground < 1'
            )


def confident_areas(
    maps: np.ndarray,
    kinds: np.ndarray,
    picture: np.ndarray,
    config: ConfidentAreasConfig,
    crf: DenseCrfConfig,
) -> np.ndarray:
    """Maps (k, h, w) of the classes `kinds` (k,) and the picture (H, W, C) -> labels (h, w) uint8:
    0 background, kind + 1, or IGNORED."""
    height, width = picture.shape[:2]
    large = np.stack(
        [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps]
    )
    areas = []
    for level in (config.foreground, config.background):
        label = np.concatenate([np.full((1, height, width), level, large.dtype), large]).argmax(0)
        if crf.relations:
            sure = label == np.arange(len(kinds) + 1)[:, None, None]
            label = dense_crf(
                picture, np.where(sure, LABELS_RIGHT, (1 - LABELS_RIGHT) / len(kinds)), crf
            )
        areas.append(label)
    foreground, either = areas
    label = np.concatenate([[0], np.asarray(kinds) + 1])[foreground]
    label[foreground == 0] = IGNORED
    label[(foreground == 0) & (either == 0)] = 0
    return cv2.resize(label.astype(np.uint8), maps.shape[:0:-1], interpolation=cv2.INTER_NEAREST)
