"""From attention maps to pseudo class labels that are sure: what IRNet, and AffinityNet before it, learn pixels' relations from (IRNet, section 4.2)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from insegan_ros.errors import ConfigError
from insegan_ros.networks.relations import IGNORED

# How sure the dense CRF is of the labels it is given.
LABELS_RIGHT = 0.7


@dataclass(frozen=True)
class ConfidentAreasConfig:
    """What counts as sure."""

    foreground: float = 0.3
    """Attention of a class from which on a pixel surely is of it."""
    background: float = 0.05
    """Attention of all classes below which a pixel surely is background."""
    refine: Literal['crf', 'none'] = 'crf'
    """crf: either area is brought to the picture's edges by a dense CRF (needs pydensecrf2, `pip install insegan_ros[crf]`)."""
    reach: float = 0.1
    """How far pixels of one colour pull each other, as a share of the picture's longer side."""
    likeness: float = 5.0
    """How alike colours are that do, in grey levels."""
    steps: int = 10
    """Mean-field steps of the CRF."""

    def __post_init__(self) -> None:
        if not 0 < self.background <= self.foreground < 1:
            raise ConfigError(f'relations.background is {self.background}, foreground {self.foreground}: expected 0 < background <= foreground < 1')
        if self.refine == 'crf':
            try:
                import pydensecrf.densecrf  # noqa: F401
            except ImportError as error:
                raise ConfigError('relations.refine is crf, and pydensecrf is not installed: pip install pydensecrf2 (it needs a C++ compiler), or set it to none') from error


def confident_areas(maps: np.ndarray, kinds: np.ndarray, picture: np.ndarray, config: ConfidentAreasConfig) -> np.ndarray:
    """Maps (k, h, w) of the classes `kinds` (k,) and the picture (H, W, C) -> labels (h, w) uint8: 0 background, kind + 1, or IGNORED."""
    height, width = picture.shape[:2]
    large = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in maps])
    areas = []
    for level in (config.foreground, config.background):
        label = np.concatenate([np.full((1, height, width), level, large.dtype), large]).argmax(0)
        areas.append(dense_crf(picture[..., :3], label, len(kinds) + 1, config) if config.refine == 'crf' else label)
    foreground, either = areas
    label = np.concatenate([[0], np.asarray(kinds) + 1])[foreground]
    label[foreground == 0] = IGNORED
    label[(foreground == 0) & (either == 0)] = 0
    return cv2.resize(label.astype(np.uint8), maps.shape[:0:-1], interpolation=cv2.INTER_NEAREST)


def dense_crf(picture: np.ndarray, labels: np.ndarray, count: int, config: ConfidentAreasConfig) -> np.ndarray:
    """Labels (H, W) below `count` brought to the edges of a picture (H, W, 3) uint8 (Krähenbühl and Koltun, NIPS 2011)."""
    import pydensecrf.densecrf as crf
    from pydensecrf.utils import unary_from_labels
    height, width = labels.shape
    model = crf.DenseCRF2D(width, height, count)
    model.setUnaryEnergy(np.ascontiguousarray(unary_from_labels(labels, count, LABELS_RIGHT, zero_unsure=False)))
    model.addPairwiseGaussian(sxy=3, compat=3)
    model.addPairwiseBilateral(sxy=config.reach * max(height, width), srgb=config.likeness, rgbim=np.ascontiguousarray(picture), compat=10)
    return np.argmax(model.inference(config.steps), 0).reshape(height, width)
