"""The dense CRF that makes labels follow a picture's edges (Krähenbühl and Koltun, NIPS 2011), by
pydensecrf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from insegan_ros.errors import ConfigError

# From scores (C, H, W) of every label, 0 or more, to the labels (H, W) of all pixels.
Edges = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DenseCrfConfig:
    """Which labels a dense CRF makes follow the picture's edges, and how. It needs pydensecrf2,
    `pip install pydensecrf2`."""

    relations: bool = True
    """Those where attention maps are confident, as IRNet's paper has it."""
    labels: bool = True
    """The pseudo-labels themselves, which are made at a quarter of the picture's size."""
    reach: float = 0.1
    """How far apart pixels of similar colours pull each other to one label, as a share of the
    picture's longer side."""
    likeness: float = 5.0
    """How similar their colours are, in grey levels."""
    steps: int = 10
    """Mean-field steps."""

    def __post_init__(self) -> None:
        if self.reach <= 0 or self.likeness <= 0 or self.steps < 1:
            raise ConfigError(
                f'crf: expected reach and likeness above 0, steps of 1 or more, found {self}'
            )
        if self.relations or self.labels:
            try:
                import pydensecrf.densecrf  # noqa: F401
            except ImportError as error:
                raise ConfigError(
                    'crf is asked for, and pydensecrf is not installed: pip install pydensecrf2 (it'
                    ' needs a C++ compiler), or set crf.relations and crf.labels to false'
                ) from error


def dense_crf(picture: np.ndarray, scores: np.ndarray, config: DenseCrfConfig) -> np.ndarray:
    """Labels (H, W) of a picture (H, W, 3 or more) uint8, whose colours are looked at, from scores
    (C, H, W) of every label, 0 or more, C of 2 or more."""
    import pydensecrf.densecrf as crf

    count, height, width = scores.shape
    probable = np.clip(scores / np.maximum(scores.sum(0), 1e-9), 1e-5, 1)
    model = crf.DenseCRF2D(width, height, count)
    model.setUnaryEnergy(np.ascontiguousarray(-np.log(probable).reshape(count, -1), np.float32))
    model.addPairwiseGaussian(sxy=3, compat=3)
    model.addPairwiseBilateral(
        sxy=config.reach * max(height, width),
        srgb=config.likeness,
        rgbim=np.ascontiguousarray(picture[..., :3]),
        compat=10,
    )
    return np.argmax(model.inference(config.steps), 0).reshape(height, width)


def edges_of(picture: np.ndarray, config: DenseCrfConfig) -> Edges | None:
    """What makes labels follow the edges of a picture (H, W, 3 or more) uint8; None where they are
    to stay as they are."""
    return partial(dense_crf, picture, config=config) if config.labels else None
