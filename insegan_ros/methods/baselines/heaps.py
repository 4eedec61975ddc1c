"""Baselines for heaps that need no training: what the HOC learner must do better than. All of them
are told the width of an object, or estimate it from each picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import felzenszwalb, watershed
from sklearn.cluster import MiniBatchKMeans

from insegan_ros.data.heap import estimate_size
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.frame import Modality
from insegan_ros.geometry.label_images import clean
from insegan_ros.segmenters.heap import HeapSegmenter

# The share of the square around it that an object fills, roughly.
FILLED = 0.6
# Width of an object in px at which templates are matched and pixels clustered.
WORKING_PX = 16
# Windows tried as the template, and rotations in which it is searched for.
CANDIDATES, ROTATIONS = 40, 12
# The best matches that a template is chosen by.
REPEATED = 20


class HeapBaseline(HeapSegmenter):
    """What the four have in common. instances: not used. modality: what of a frame they look at.
    size_px: the width of an object in px; 0 estimates it from the picture. dark: whether objects
    are darker than the gaps between them; in depth, what is nearer is brighter."""

    def __init__(
        self,
        instances: int = 0,
        modality: Modality = 'depth',
        size_px: float = 0.0,
        dark: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(modality)
        self.size_px, self.dark, self.seed = size_px, dark, seed

    def grey(self, picture: np.ndarray) -> np.ndarray:
        """The picture (H, W, C) as a grey one (H, W) in which objects are bright."""
        return -picture.mean(-1) if self.dark else picture.mean(-1)

    def foreground(self, grey: np.ndarray) -> np.ndarray:
        """What is brighter than Otsu's threshold, (H, W) bool; nothing where all is equal."""
        if grey.max() == grey.min():
            return np.zeros(grey.shape, bool)
        return grey > threshold_otsu(grey)

    def width(self, picture: np.ndarray) -> float:
        """The width of an object of the picture (H, W, C) in px. Raises InputError where it cannot
        be estimated."""
        try:
            return self.size_px or estimate_size(picture)
        except DatasetError as error:
            raise InputError(
                'no object shows in the picture: expected a heap of equal objects, whose width can'
                ' be estimated'
            ) from error

    def cleaned(self, labels: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        """Labels (H, W) without what is far smaller than an object of `size` px, and equal scores
        (N,)."""
        labels = clean(labels, 0.05 * FILLED * size**2)
        return labels, np.full(int(labels.max(initial=0)), 0.5, np.float32)


class WatershedSegmenter(HeapBaseline):
    """Otsu's threshold, distance transform, watershed from its peaks. spacing: the minimum distance
    of two peaks, and smoothing: the Gaussian's standard deviation before peaks are searched for,
    both in widths of an object; on: what is flooded, the distance transform or the picture."""

    def __init__(
        self,
        *arguments: Any,
        spacing: float = 0.4,
        smoothing: float = 0.08,
        on: str = 'distance',
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.spacing, self.smoothing, self.on = spacing, smoothing, on

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and scores
        (N,) float32."""
        size, grey = self.width(picture), self.grey(picture)
        foreground = self.foreground(grey)
        relief = distance_transform_edt(foreground) if self.on == 'distance' else grey
        relief = gaussian_filter(relief, self.smoothing * size)
        peaks = peak_local_max(
            relief,
            min_distance=max(int(self.spacing * size), 1),
            labels=foreground.astype(np.uint8),
            exclude_border=False,
        )
        markers = np.zeros(grey.shape, np.int32)
        markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        labels = watershed(-relief, markers, mask=foreground).astype(np.uint16)
        return self.cleaned(labels, size)


class RegionsSegmenter(HeapBaseline):
    """Efficient graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004). Regions far
    larger than an object are background, and so are those that are mostly below Otsu's
    threshold."""

    def __init__(
        self, *arguments: Any, scale: float = 100.0, sigma: float = 1.0, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.scale, self.sigma = scale, sigma

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and scores
        (N,) float32."""
        size = self.width(picture)
        whole = FILLED * size**2
        regions = felzenszwalb(
            (picture + 1) / 2,
            scale=self.scale,
            sigma=self.sigma,
            min_size=max(int(0.1 * whole), 4),
            channel_axis=-1,
        )
        foreground = self.foreground(self.grey(picture))
        area = np.bincount(regions.ravel())
        share = np.bincount(regions.ravel(), weights=foreground.ravel()) / area
        kept = np.flatnonzero((area < 3 * whole) & (share > 0.5))
        number = np.zeros(len(area), np.uint16)
        number[kept] = np.arange(1, len(kept) + 1)
        return self.cleaned(number[regions], size)


class TemplateSegmenter(HeapBaseline):
    """Template matching: the window of the picture that recurs most often in it is the template;
    where it is found again, in any rotation, lies an object with the template's mask.
    min_correlation: the normalised cross-correlation from which it counts as found."""

    def __init__(self, *arguments: Any, min_correlation: float = 0.5, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.min_correlation = min_correlation

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and scores
        (N,) float32."""
        size = self.width(picture)
        scale = min(WORKING_PX / size, 1.0)
        small = cv2.resize(
            self.grey(picture), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        side = int(round(size * scale)) + 2
        labels = self._match(small, self._template(small, side))
        labels = cv2.resize(labels, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return self.cleaned(labels, size)

    def _match(self, small: np.ndarray, template: np.ndarray) -> np.ndarray:
        """Labels (h, w) of a grey picture (h, w): the masks of all matches of a template (s, s)."""
        side = template.shape[0]
        top, rest = side // 2, side - 1 - side // 2
        padded = cv2.copyMakeBorder(small, top, rest, top, rest, cv2.BORDER_REFLECT)
        bright = np.ones(template.shape, bool)
        if template.max() > template.min():
            bright = template > threshold_otsu(template)
        best, rotation = np.full(small.shape, -1.0, np.float32), np.zeros(small.shape, int)
        masks, middle = [], ((side - 1) / 2, (side - 1) / 2)
        for index in range(ROTATIONS):
            matrix = cv2.getRotationMatrix2D(middle, 360 * index / ROTATIONS, 1.0)
            turned = cv2.warpAffine(template, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
            masks.append(cv2.warpAffine(bright.astype(np.float32), matrix, (side, side)) > 0.5)
            response = np.nan_to_num(cv2.matchTemplate(padded, turned, cv2.TM_CCOEFF_NORMED))
            rotation[response > best] = index
            best = np.maximum(best, response)
        peaks = peak_local_max(
            best,
            min_distance=max(side // 2, 1),
            threshold_abs=self.min_correlation,
            exclude_border=False,
        )
        labels = np.zeros(padded.shape, np.uint16)
        # The best match is painted last, on top.
        for number, (row, column) in reversed(list(enumerate(peaks, start=1))):
            window = labels[row : row + side, column : column + side]
            window[masks[rotation[row, column]]] = number
        return labels[top : top + small.shape[0], top : top + small.shape[1]]

    def _template(self, small: np.ndarray, side: int) -> np.ndarray:
        """The window (side, side) of a grey picture (h, w) that recurs most often in it. Windows
        around bright blobs are tried: an edge or a corner alone would recur more often than any
        object."""
        blobs = peak_local_max(
            gaussian_filter(small, side / 4),
            min_distance=max(side // 4, 1),
            exclude_border=side // 2,
        )
        best, found = -1.0, small[:side, :side]
        for row, column in np.random.default_rng(self.seed).permutation(blobs)[:CANDIDATES]:
            row = int(np.clip(row - side // 2, 0, small.shape[0] - side))
            column = int(np.clip(column - side // 2, 0, small.shape[1] - side))
            window = small[row : row + side, column : column + side]
            response = np.nan_to_num(cv2.matchTemplate(small, window, cv2.TM_CCOEFF_NORMED))
            peaks = peak_local_max(response, min_distance=max(side // 2, 1), exclude_border=False)
            # The first is the window itself.
            matches = [response[tuple(peak)] for peak in peaks[1 : REPEATED + 1]]
            correlation = float(np.mean(matches)) if matches else -1.0
            if correlation > best and window.std() > 0:
                best, found = correlation, window
        return found


class ClustersSegmenter(HeapBaseline):
    """K-means on positions and values of the pixels above Otsu's threshold, with as many clusters
    as objects would fill their area. value: weight of values against positions, in widths of an
    object."""

    def __init__(self, *arguments: Any, value: float = 1.0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.value = value

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and scores
        (N,) float32."""
        size = self.width(picture)
        scale = min(WORKING_PX / size, 1.0)
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = small.reshape(*small.shape[:2], -1)
        foreground = self.foreground(self.grey(small))
        number = int(round(foreground.sum() / (FILLED * (size * scale) ** 2)))
        labels = np.zeros(foreground.shape, np.uint16)
        if number:
            rows, columns = np.nonzero(foreground)
            points = np.column_stack([rows, columns, self.value * size * scale * small[foreground]])
            model = MiniBatchKMeans(number, n_init=1, random_state=self.seed)
            labels[foreground] = model.fit_predict(points) + 1
        large = cv2.resize(labels, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return self.cleaned(large, size)
