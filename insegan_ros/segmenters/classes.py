"""What all segmenters share that name what they find: masks with the names of their classes, or the
class of every pixel alone."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np

from insegan_ros.data.bop import is_bop
from insegan_ros.data.image_sets import CHANNELS, ColourModality, ImageSet
from insegan_ros.data.mask_sets import Mask
from insegan_ros.data.recordings import is_recording
from insegan_ros.errors import InputError
from insegan_ros.segmenters.base import Segmenter


class ClassSegmenter(Segmenter):
    """A segmenter that names what it finds. classes: the names that it was taught; size: the longer
    side in px of the pictures that it looks at; modality: colour, or both."""

    task = 'classes'
    modality: ColourModality = 'colour'
    classes: tuple[str, ...]
    size: int

    def task_for(self, data: Path) -> str:
        """Classes; but labels of recordings and of BOP have no names of classes that we know: there
        parts are told apart, as those of any other method."""
        return 'instances' if is_recording(data) or is_bop(data) else self.task

    def require_taught(self, images: ImageSet) -> None:
        """Raise InputError for pictures with another number of channels, or of none of the classes
        that it was taught."""
        shown = set(images.classes) & set(self.classes)
        if images.channels != CHANNELS[self.modality] or not shown:
            raise InputError(
                f'{images.name} has {images.channels} channels and shows'
                f' {", ".join(images.classes)}: expected what the model was taught,'
                f' {"colour with height" if self.modality == "both" else "colour"} and'
                f' {", ".join(self.classes)}'
            )


class MaskDetector(ClassSegmenter):
    """One that tells the instances of a class apart."""

    @abstractmethod
    def detect(self, picture: np.ndarray, min_score: float = 0.05) -> tuple[Mask, ...]:
        """The masks in a picture (H, W, C) uint8, highest score first; they may overlap."""


class PixelClassifier(ClassSegmenter):
    """One that tells classes apart, but not the instances of a class."""

    @abstractmethod
    def label(self, picture: np.ndarray) -> np.ndarray:
        """The class of every pixel (H, W) of a picture (H, W, C) uint8: 0 background, class + 1."""
