"""Heaps divided with nothing learnt: what the HOC learner must be better than. All take one
object's width, or estimate it from each picture."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import felzenszwalb, watershed
from sklearn.cluster import MiniBatchKMeans

from insegan_ros.data.heap import Look, estimate_size
from insegan_ros.geometry.label_images import clean
from insegan_ros.tasks.heap_segmenter import HeapSegmenter
from insegan_ros.workspace import Workspace

# An object fills about this share of the square around it.
FILLED = 0.6
# Objects are so wide when templates are looked for and pixels clustered.
WORKING_PX = 16
# Windows tried as the template, and turns in which it is looked for.
CANDIDATES, TURNS = 40, 12
# Repetitions that a template is chosen by.
REPEATED = 20


class HeapBaseline(HeapSegmenter):
    """instances: not used, heaps are not counted. size_px: one object's width, 0 estimates it.
    dark: whether objects are darker than what lies between them; nearer ones are brighter where
    depth is looked at."""

    def __init__(
        self,
        instances: int = 0,
        workspace: Workspace | None = None,
        look: Look = 'depth',
        size_px: float = 0.0,
        dark: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(look, workspace)
        self.size_px, self.dark, self.seed = size_px, dark, seed

    def grey(self, picture: np.ndarray) -> np.ndarray:
        """(H, W), objects bright."""
        return -picture.mean(-1) if self.dark else picture.mean(-1)

    def foreground(self, grey: np.ndarray) -> np.ndarray:
        """What is brighter than Otsu's threshold, bool."""
        return (
            grey > threshold_otsu(grey) if grey.max() > grey.min() else np.zeros(grey.shape, bool)
        )

    def width(self, picture: np.ndarray) -> float:
        """One object's width in px. Raises DatasetError where nothing has a size."""
        return self.size_px or estimate_size(picture)

    def whole(self, labels: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        """Labels without what is far smaller than an object, and equal scores."""
        labels = clean(labels, 0.05 * FILLED * size**2)
        return labels, np.full(int(labels.max(initial=0)), 0.5, np.float32)


class WatershedSegmenter(HeapBaseline):
    """Otsu's threshold, distance transform, watershed from its peaks. spacing: least distance of
    two peaks, smoothing: of the relief, in objects; on: what is flooded, the distance transform or
    the picture itself."""

    def __init__(
        self,
        *arguments,
        spacing: float = 0.4,
        smoothing: float = 0.08,
        on: str = 'distance',
        **options,
    ) -> None:
        super().__init__(*arguments, **options)
        self.spacing, self.smoothing, self.on = spacing, smoothing, on

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See HeapSegmenter."""
        size, grey = self.width(picture), self.grey(picture)
        foreground = self.foreground(grey)
        relief = gaussian_filter(
            distance_transform_edt(foreground) if self.on == 'distance' else grey,
            self.smoothing * size,
        )
        peaks = peak_local_max(
            relief,
            min_distance=max(int(self.spacing * size), 1),
            labels=foreground.astype(np.uint8),
            exclude_border=False,
        )
        markers = np.zeros(grey.shape, np.int32)
        markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        return self.whole(watershed(-relief, markers, mask=foreground).astype(np.uint16), size)


class RegionsSegmenter(HeapBaseline):
    """Efficient graph-based segmentation (Felzenszwalb and Huttenlocher, 2004). Regions far larger
    than an object are background, and so is what Otsu's threshold says is."""

    def __init__(self, *arguments, scale: float = 100.0, sigma: float = 1.0, **options) -> None:
        super().__init__(*arguments, **options)
        self.scale, self.sigma = scale, sigma

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See HeapSegmenter."""
        size = self.width(picture)
        whole = FILLED * size**2
        regions = felzenszwalb(
            (picture + 1) / 2,
            scale=self.scale,
            sigma=self.sigma,
            min_size=max(int(0.1 * whole), 4),
            channel_axis=-1,
        )
        area = np.bincount(regions.ravel())
        lit = (
            np.bincount(regions.ravel(), weights=self.foreground(self.grey(picture)).ravel()) / area
        )
        kept = np.flatnonzero((area < 3 * whole) & (lit > 0.5))
        number = np.zeros(len(area), np.uint16)
        number[kept] = np.arange(1, len(kept) + 1)
        return self.whole(number[regions], size)


class TemplateSegmenter(HeapBaseline):
    """The window of the picture that occurs most often in it is the template; where it is found
    again, turned or not, lies an object of its mask. least: normalised cross-correlation from which
    it counts as found."""

    def __init__(self, *arguments, least: float = 0.5, **options) -> None:
        super().__init__(*arguments, **options)
        self.least = least

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See HeapSegmenter."""
        size = self.width(picture)
        scale = min(WORKING_PX / size, 1.0)
        small = cv2.resize(
            self.grey(picture), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        ).astype(np.float32)
        side = int(round(size * scale)) + 2
        template = self._template(small, side)
        bright = (
            template > threshold_otsu(template)
            if template.max() > template.min()
            else np.ones(template.shape, bool)
        )
        best, turn = np.full(small.shape, -1.0, np.float32), np.zeros(small.shape, int)
        masks = []
        padded = cv2.copyMakeBorder(
            small,
            side // 2,
            side - 1 - side // 2,
            side // 2,
            side - 1 - side // 2,
            cv2.BORDER_REFLECT,
        )
        for index in range(TURNS):
            matrix = cv2.getRotationMatrix2D(
                ((side - 1) / 2, (side - 1) / 2), 360 * index / TURNS, 1.0
            )
            turned = cv2.warpAffine(template, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
            masks.append(cv2.warpAffine(bright.astype(np.float32), matrix, (side, side)) > 0.5)
            response = np.nan_to_num(cv2.matchTemplate(padded, turned, cv2.TM_CCOEFF_NORMED))
            turn[response > best] = index
            best = np.maximum(best, response)
        peaks = peak_local_max(
            best, min_distance=max(side // 2, 1), threshold_abs=self.least, exclude_border=False
        )
        labels = np.zeros(padded.shape, np.uint16)
        # The surest match is painted last, on top.
        for number, (row, column) in reversed(list(enumerate(peaks, start=1))):
            labels[row : row + side, column : column + side][masks[turn[row, column]]] = number
        top = side // 2
        own = labels[top : top + small.shape[0], top : top + small.shape[1]]
        return self.whole(
            cv2.resize(own, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST), size
        )

    def _template(self, small: np.ndarray, side: int) -> np.ndarray:
        # Windows around bright blobs: an edge or a corner alone would recur more often than any
        # object.
        blobs = peak_local_max(
            gaussian_filter(small, side / 4),
            min_distance=max(side // 4, 1),
            exclude_border=side // 2,
        )
        best, found = -1.0, small[:side, :side]
        for middle in np.random.default_rng(self.seed).permutation(blobs)[:CANDIDATES]:
            row, column = (
                int(np.clip(one - side // 2, 0, edge - side))
                for one, edge in zip(middle, small.shape)
            )
            window = small[row : row + side, column : column + side]
            response = np.nan_to_num(cv2.matchTemplate(small, window, cv2.TM_CCOEFF_NORMED))
            peaks = peak_local_max(response, min_distance=max(side // 2, 1), exclude_border=False)
            # The first is the window itself.
            repeated = (
                float(np.mean([response[tuple(peak)] for peak in peaks[1 : REPEATED + 1]]))
                if len(peaks) > 1
                else -1.0
            )
            if repeated > best and window.std() > 0:
                best, found = repeated, window
        return found


class ClustersSegmenter(HeapBaseline):
    """K-means of places and values of what Otsu's threshold says is foreground, as many clusters as
    objects would fill it. value: weight of values beside places, in objects."""

    def __init__(self, *arguments, value: float = 1.0, **options) -> None:
        super().__init__(*arguments, **options)
        self.value = value

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See HeapSegmenter."""
        size = self.width(picture)
        scale = min(WORKING_PX / size, 1.0)
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).reshape(
            -1, max(int(round(picture.shape[1] * scale)), 1), picture.shape[2]
        )
        foreground = self.foreground(self.grey(small))
        number = int(round(foreground.sum() / (FILLED * (size * scale) ** 2)))
        labels = np.zeros(foreground.shape, np.uint16)
        if number:
            rows, columns = np.nonzero(foreground)
            points = np.column_stack([rows, columns, self.value * size * scale * small[foreground]])
            labels[foreground] = (
                MiniBatchKMeans(number, n_init=1, random_state=self.seed).fit_predict(points) + 1
            )
        return self.whole(
            cv2.resize(labels, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST), size
        )
