"""One picture of a heap of equal objects: read as it is, the objects' size estimated, cut into
patches."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from insegan_ros.data.images import depth_in, read_picture
from insegan_ros.data.shards import ShardDataset, is_shards
from insegan_ros.errors import DatasetError, InputError
from insegan_ros.frame import Frame, Intrinsics, Modality, metres
from insegan_ros.workspace import TRAINING_MARGIN, Workspace, window_of

# Larger ones are brought down to this many px before anything is done with them.
MAX_PX = 4_000_000
# Smaller pictures hold no twelve windows of anything.
MIN_PICTURE_PX = 48
# The autocorrelation is looked at on a picture of this side.
SPECTRUM_PX = 512
# Smaller things are noise.
MIN_OBJECT_PX = 8
# Where brightness is equalised locally: how much contrast may grow, and regions a side.
CLIP, REGIONS = 4.0, 4


@dataclass(frozen=True)
class HeapPicture:
    """pixels (H, W, C) float32 in [-1, 1]; name, of the file; zoom, the factor that it was scaled
    by, 1 or less; relief_m, the height in m that -1 to 1 stands for, 0 for colour."""

    pixels: np.ndarray
    name: str
    zoom: float = 1.0
    relief_m: float = 0.0

    def fingerprint(self) -> str:
        """A short hash of the pixels: which picture a checkpoint was made from."""
        return hashlib.sha256(np.ascontiguousarray(self.pixels).tobytes()).hexdigest()[:16]


def picture_of(
    frame: Frame,
    modality: Modality,
    workspace: Workspace | None,
    window: tuple[int, int, int, int],
    relief_m: float = 0.0,
    flat: bool = False,
) -> tuple[np.ndarray, float]:
    """What the HOC learner sees of a window (left, top, right, bottom) of a frame: (H, W, C)
    float32, colour stretched to [-1, 1], height, or both, and the relief in metres. The floor is
    -1, and `relief_m` above it, if that is 0 the 99th percentile of heights, is 1. Without a
    workspace the farthest reading (99th percentile) is the floor. flat: whether the brightness of
    colour is equalised locally.

    Raises InputError where there is none of what is looked at.
    """
    left, top, right, bottom = window
    layers: list[np.ndarray] = []
    if modality != 'depth':
        if frame.colour is None:
            raise InputError(
                'the frame has no colour: expected a colour picture aligned with depth, which this'
                ' method looks at'
            )
        layers.append(stretch(frame.colour[top:bottom, left:right], flat))
    if modality != 'colour':
        depth = frame.depth_m[top:bottom, left:right]
        seen = depth[np.isfinite(depth)]
        if seen.size < 0.5 * depth.size:
            raise InputError('half of the depth or more has no reading: expected depth of the heap')
        if workspace is None:
            height = np.percentile(seen, 99) - np.nan_to_num(depth, nan=np.inf)
        else:
            height = workspace.height_map(frame, window=window)
        relief_m = relief_m or max(float(np.percentile(height, 99)), 1e-4)
        layers.append((2 * np.maximum(height, 0) / relief_m - 1).astype(np.float32)[..., None])
    return np.concatenate(layers, -1), relief_m


def stretch(colour: np.ndarray, flat: bool = False) -> np.ndarray:
    """Colours (H, W, 3) of any type as float32 in [-1, 1]: the 1st to the 99th percentile of the
    brightness, so that light and exposure matter less. flat: brightness is then equalised
    locally."""
    low, high = np.percentile(colour.mean(-1), (1, 99)).astype(np.float32)
    out = np.clip(
        (colour.astype(np.float32) - low) / max(high - low, np.float32(1e-6)) * 2 - 1, -1, 1
    )
    return equalised(out) if flat else out


def equalised(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) float32 in [-1, 1] whose brightness is equalised region by region
    (CLAHE), colours as they are: neither a floor much brighter than all objects nor light from one
    side takes the range that objects differ in."""
    seen = np.ascontiguousarray(((picture + 1) * 127.5).round().astype(np.uint8))
    lab = cv2.cvtColor(seen, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(CLIP, (REGIONS, REGIONS)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.float32) / np.float32(127.5) - 1


def read_heap(path: Path, modality: Modality, flat: bool = False) -> HeapPicture:
    """A picture, or the first scene of a folder of shards, cut to its bin. Pictures may be grey,
    16-bit, or have alpha; a 16-bit grey one is depth in mm for `depth`. flat: whether the
    brightness of colour is equalised locally.

    Raises DatasetError for what cannot be read. Exactly one file is opened.
    """
    if path.is_dir() and is_shards(path):
        return _read_scene(path, modality, flat)
    if path.is_dir():
        raise DatasetError(
            f'{path} is a folder without shards: expected one picture of a heap, which is all that'
            ' is learnt from'
        )
    image = _read_file(path, modality)
    # First of all: what is computed from it takes several times its memory.
    zoom = min(1.0, math.sqrt(MAX_PX / (image.shape[0] * image.shape[1])))
    if zoom < 1:
        print(
            f'{path.name}: {image.shape[1]}x{image.shape[0]} px, reduced to {zoom:.0%} of its size'
        )
        # Depths of two objects have no mean.
        interpolation = cv2.INTER_NEAREST_EXACT if modality == 'depth' else cv2.INTER_AREA
        image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=interpolation)
    if modality == 'depth':
        height, width = image.shape
        camera = Intrinsics(width, width, (width - 1) / 2, (height - 1) / 2, width, height)
        window = (0, 0, width, height)
        pixels, relief_m = picture_of(Frame(metres(image), camera), 'depth', None, window)
        return HeapPicture(pixels, path.name, zoom, relief_m)
    return HeapPicture(stretch(image[..., ::-1], flat), path.name, zoom)


def _read_scene(folder: Path, modality: Modality, flat: bool) -> HeapPicture:
    """The first scene of a folder of shards, cut to its bin."""
    scene = next(iter(ShardDataset(folder)))
    window = window_of(scene.workspace, scene.frame.intrinsics, TRAINING_MARGIN)
    pixels, relief_m = picture_of(scene.frame, modality, scene.workspace, window, 0.0, flat)
    return HeapPicture(pixels, folder.name, 1.0, relief_m)


def _read_file(path: Path, modality: Modality) -> np.ndarray:
    """A picture's pixels as they are. Raises DatasetError for what cannot be looked at this way."""
    # As it lies in the file is depth; a photograph is turned as its camera was held, as it is when
    # it is segmented.
    photograph = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
    image = read_picture(path, cv2.IMREAD_UNCHANGED if modality == 'depth' else photograph)
    if image is None:
        raise DatasetError(
            f'{path} is missing, cut short, too large or not a picture: expected one picture of a'
            ' heap (PNG, JPEG), or a folder of shards'
        )
    if min(image.shape[:2]) < MIN_PICTURE_PX:
        raise DatasetError(
            f'{path} is {image.shape[1]}x{image.shape[0]} px: expected {MIN_PICTURE_PX} px or more'
            ' in width and height, to hold a heap'
        )
    if modality == 'both':
        raise DatasetError(
            f'{path} is one picture: expected a folder of shards for colour and depth together'
        )
    if modality == 'colour' and (depth := depth_in(path, image)):
        raise DatasetError(f'{path} {depth}: expected a photograph, or --modality depth')
    if modality == 'depth' and (image.ndim != 2 or image.dtype != np.uint16):
        raise DatasetError(
            f'{path} is {image.dtype} with {1 if image.ndim == 2 else image.shape[2]} channels:'
            ' expected a 16-bit depth PNG in millimetres'
        )
    return image


def estimate_size(pixels: np.ndarray) -> float:
    """About how wide one object of a picture (H, W, C) is, in px: half way between the distance at
    which the autocorrelation, averaged over directions, has fallen to nothing, for a pixel so far
    away is of another object, and its first minimum. On simulated heaps by depth, on disks and on
    photographed nuclei it is within a third of the truth; strong shadows make it up to a half too
    small.

    Raises DatasetError where nothing has a size: noise, or one thing that fills the picture.
    """
    # Where there is height, it tells objects apart best.
    grey = pixels.mean(-1) if pixels.shape[-1] == 3 else pixels[..., -1]
    scale = min(1.0, SPECTRUM_PX / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    side = min(grey.shape)
    grey = grey[:side, :side]
    # What changes slowly is light, not objects.
    grey = grey - cv2.GaussianBlur(grey, (0, 0), side / 12)
    window = np.hanning(side)
    spectrum = np.abs(np.fft.fft2(grey * window[:, None] * window)) ** 2
    correlation = np.fft.fftshift(np.fft.ifft2(spectrum).real)
    y, x = np.indices(correlation.shape) - side // 2
    radius = np.hypot(x, y).round().astype(int)
    count = np.maximum(np.bincount(radius.ravel()), 1)
    profile = gaussian_filter1d(np.bincount(radius.ravel(), correlation.ravel()) / count, 1.0)
    gone = np.flatnonzero(profile[: side // 6] <= 0)
    found = 0.0
    if len(gone) and profile[0] > 1e-9:
        # From there on it falls on to its first minimum; objects with gaps between them vanish
        # early, and are least alike late.
        rising = np.flatnonzero(np.diff(profile[gone[0] :]) > 0)
        found = (gone[0] + (rising[0] if len(rising) else 0) / 2) / scale
    if found < MIN_OBJECT_PX:
        beyond = f'beyond {found:.0f} px' if found else 'with their neighbours, or all have'
        raise DatasetError(
            f'no object shows in the picture (its pixels have nothing in common {beyond}):'
            ' expected a heap of equal objects; give their width in px (--instance_px) if you see'
            ' them'
        )
    return float(found)
