"""The dense CRF that brings labels to a picture's edges (Krähenbühl and Koltun, NIPS 2011), of
pydensecrf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from insegan_ros.errors import ConfigError

# From how much speaks for each label (C, H, W) to the labels (H, W) of all pixels.
Edges = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DenseCrfConfig:
    """What is brought to the picture's edges by a dense CRF, and how. It needs pydensecrf2, `pip
    install insegan_ros[crf]`."""

    relations: bool = True
    """What is sure in attention maps, as IRNet's paper has it."""
    labels: bool = True
    """The pseudo labels themselves, which are made at a quarter of the picture's size."""
    reach: float = 0.1
    """How far pixels of one colour pull each other, as a share of the picture's longer side."""
    likeness: float = 5.0
    """How alike colours are that do, in grey levels."""
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


def dense_crf(picture: np.ndarray, shares: np.ndarray, config: DenseCrfConfig) -> np.ndarray:
    """Labels (H, W) of a picture (H, W, 3 or more) uint8, whose colours are looked at, from how
    much speaks for each (C, H, W), C of 2 or more."""
    import pydensecrf.densecrf as crf

    count, height, width = shares.shape
    probable = np.clip(shares / np.maximum(shares.sum(0), 1e-9), 1e-5, 1)
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
    """What brings labels to a picture's edges; None where nothing is to."""
    return partial(dense_crf, picture, config=config) if config.labels else None
