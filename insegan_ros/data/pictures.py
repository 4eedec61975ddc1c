"""What the foreground segmenters learn from: small colour pictures of one object each, square, all
of one size.

From shards of the simulator, from published sets of photographs, from any folder of pictures, or
from one small file. A mask is opened only where it is asked for.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import h5py
import numpy as np
from tqdm import tqdm

from insegan_ros.data.images import depth_in, read_picture
from insegan_ros.data.one_file import opened
from insegan_ros.data.photo_sets import Photo, is_photos, read_photos
from insegan_ros.data.shards import ShardDataset, is_shards
from insegan_ros.errors import ConfigError, DatasetError, InputError
from insegan_ros.files import check_new, write_whole
from insegan_ros.workspace import TRAINING_MARGIN

FORMAT = 'insegan-pictures-1'
View = Literal['scene', 'box']
# A crop that must be enlarged more than twice shows nothing that a network could learn.
MIN_SHARE = 0.5


@dataclass(frozen=True)
class Pictures:
    """images (N, S, S, 3) uint8 RGB; masks (N, S, S) bool where they were asked for, else None;
    kinds (N,) names of what they show; name, of the set."""

    images: np.ndarray
    masks: np.ndarray | None
    kinds: tuple[str, ...]
    name: str

    def fingerprint(self) -> str:
        """A short hash of the images: which data a checkpoint was made from."""
        return hashlib.sha256(self.images.tobytes()).hexdigest()[:16]

    def require_masks(self) -> np.ndarray:
        """The masks (N, S, S) bool. Raises InputError where they were not read."""
        if self.masks is None:
            raise InputError(f'{self.name} was read without masks: expected it with the truth')
        return self.masks


@dataclass(frozen=True)
class _Source:
    """One picture before it is cut: image (H, W, 3) RGB or None where it cannot be read, window and
    box (left, top, right, bottom), mask (H, W) bool or None."""

    name: str
    kind: str
    image: np.ndarray | None
    window: tuple[int, int, int, int] | None
    box: tuple[float, float, float, float] | None
    mask: np.ndarray | None


def read_pictures(
    source: str | Path,
    size: int,
    view: View = 'scene',
    context: float = 1.2,
    limit: int = 0,
    truth: bool = False,
    split: str = 'training',
    empty: bool = False,
) -> Pictures:
    """Pictures of `size` px from a folder of shards, of photographs, or a file of `write_pictures`.

    view: `scene` is the bin's inside, or the largest square in the middle of a photograph; `box` a
    square around the object's box, `context` times as large. limit: the first so many, 0 for all.
    truth: masks too. empty: those in which nothing lies, backgrounds, instead of the others
    (simulated sets know by their image-level labels, in photographs nothing is looked for). What
    cannot be read or is too small is skipped, counted and named. Raises DatasetError where nothing
    is left.
    """
    path = Path(source)
    if not path.exists():
        raise DatasetError(
            f'{path} does not exist: expected a folder of shards or pictures, or a file of `insegan'
            ' dataset pictures`'
        )
    if path.is_file():
        return _read_file(path, size, limit, truth)
    sources, count = _sources(path, view, truth, split, empty)
    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    kinds: list[str] = []
    skipped: dict[str, list[str]] = {}
    for one in tqdm(
        sources, total=count, desc=f'read {path.name}', unit='picture', disable=count < 500
    ):
        cut = _cut(one, size, view, context, truth)
        if isinstance(cut, str):
            skipped.setdefault(cut, []).append(one.name)
            continue
        image, mask = cut
        images.append(image)
        if mask is not None:
            masks.append(mask)
        kinds.append(one.kind)
        if limit and len(images) >= limit:
            break
    what = '; '.join(
        f'{len(names)} {reason} (such as {names[0]})' for reason, names in skipped.items()
    )
    if not images:
        nothing = 'empty scenes (simulate some with --instances 0-1)'
        raise DatasetError(
            f'{path} holds no picture that can be used{": " + what if what else ""}:'
            f' expected {nothing if empty else "pictures of one object"}'
        )
    if skipped:
        print(f'{path}: {len(images)} pictures; skipped: {what}')
    stacked = np.stack(masks) if truth else None
    return Pictures(np.stack(images), stacked, tuple(kinds), path.name)


def write_pictures(
    source: Path,
    out: Path,
    size: int,
    view: View,
    context: float,
    truth: bool,
    split: str = 'training',
    empty: bool = False,
) -> int:
    """Write one file with the pictures of a set, and their masks if asked for: light enough to
    train on another machine. The parameters are those of read_pictures. Returns the number of
    pictures.

    Raises DatasetError where `out` exists or the source cannot be read, ConfigError for a size or
    context out of range.
    """
    check_new(out, '.h5')
    if not 16 <= size <= 1024 or not 1 <= context <= 10:
        raise ConfigError(f'size is {size}, context {context}: expected 16 to 1024 px, 1 to 10')
    pictures = read_pictures(source, size, view, context, truth=truth, split=split, empty=empty)
    buffer = io.BytesIO()
    with h5py.File(buffer, 'w') as file:
        file.attrs.update({'format': FORMAT, 'name': pictures.name})
        file.create_dataset(
            'images',
            data=pictures.images,
            compression='gzip',
            chunks=(min(64, len(pictures.images)), size, size, 3),
        )
        file.create_dataset('kinds', data=list(pictures.kinds))
        if truth:
            file.create_dataset(
                'masks', data=np.packbits(pictures.require_masks(), axis=-1), compression='gzip'
            )
    write_whole(out, buffer.getvalue())
    return len(pictures.images)


def square_window(window: tuple[int, int, int, int], image: np.ndarray) -> np.ndarray:
    """What a window (left, top, right, bottom) in px shows of an image (H, W, ...), made square by
    repeating its edge to the right and below: (side, side, ...)."""
    left, top, right, bottom = window
    cut = image[top:bottom, left:right]
    side = max(cut.shape[:2])
    rest = ((0, side - cut.shape[0]), (0, side - cut.shape[1])) + ((0, 0),) * (image.ndim - 2)
    return np.pad(cut, rest, mode='edge')


def _cut(
    one: _Source, size: int, view: View, context: float, truth: bool
) -> tuple[np.ndarray, np.ndarray | None] | str:
    """The picture and its mask at the set's size, or the reason why not."""
    if one.image is None:
        return 'cannot be read'
    if truth and one.mask is None:
        return 'without a mask'
    height, width = one.image.shape[:2]
    if one.mask is not None and one.mask.shape != (height, width):
        return 'with a mask of another size'
    if view == 'box':
        if one.box is None:
            return 'without a box'
        left, top, right, bottom = one.box
        half = context * max(right - left, bottom - top) / 2
        window = _around((left + right) / 2, (top + bottom) / 2, half)
    elif one.window is not None:
        window = one.window
    else:
        window = _around(width / 2, height / 2, min(width, height) / 2)
    if max(window[2] - window[0], window[3] - window[1]) < MIN_SHARE * size:
        return f'smaller than {MIN_SHARE * size:.0f} px'
    image = square_window(*_inside(window, one.image))
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    if not truth or one.mask is None:
        return small, None
    mask = square_window(*_inside(window, one.mask)).astype(np.float32)
    return small, cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) > 0.5


def _around(x: float, y: float, half: float) -> tuple[int, int, int, int]:
    return int(round(x - half)), int(round(y - half)), int(round(x + half)), int(round(y + half))


def _inside(
    window: tuple[int, int, int, int], image: np.ndarray
) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """The same window in an image whose edge is repeated where the window reaches beyond it; a
    mask's edge is empty there."""
    height, width = image.shape[:2]
    left, top, right, bottom = window
    rims = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    if not any(rims):
        return window, image
    grown = (
        np.pad(image, (rims[:2], rims[2:]), mode='constant')
        if image.ndim == 2
        else cv2.copyMakeBorder(image, *rims, cv2.BORDER_REPLICATE)
    )
    return (left + rims[2], top + rims[0], right + rims[2], bottom + rims[0]), grown


def _sources(
    path: Path, view: View, truth: bool, split: str, empty: bool
) -> tuple[Iterator[_Source], int]:
    """The pictures of a folder before they are cut, and how many there are."""
    if is_photos(path):
        photos = read_photos(path, split)
        return _from_photos(photos, truth), len(photos)
    if not is_shards(path):
        raise DatasetError(
            f'{path} holds neither photographs nor scenes: expected JPEG or PNG files, or'
            ' scenes-*.h5 shards (simulate some with --colour true)'
        )
    dataset = ShardDataset(path)
    return _from_shards(dataset, truth, view, empty), len(dataset)


def _from_photos(photos: list[Photo], truth: bool) -> Iterator[_Source]:
    for photo in photos:
        image = read_picture(photo.path)
        if image is not None and (depth := depth_in(photo.path, image)):
            raise DatasetError(f'{photo.path} {depth}: expected photographs; take it out')
        mask = read_picture(photo.mask, cv2.IMREAD_GRAYSCALE) if truth and photo.mask else None
        yield _Source(
            photo.path.name,
            photo.kind,
            None if image is None else np.ascontiguousarray(image[..., ::-1]),
            None,
            photo.box,
            None if mask is None else mask > mask.max() / 2,
        )


def _from_shards(dataset: ShardDataset, truth: bool, view: View, empty: bool) -> Iterator[_Source]:
    for index, scene in enumerate(dataset):
        # Image-level labels say what lies there; a set without them is taken as it is.
        if bool(scene.present) == empty and (scene.present or scene.truth is not None):
            continue
        if scene.frame.colour is None:
            raise DatasetError(
                f'{dataset.folder} holds no colour: expected scenes made with --colour true'
            )
        box = None
        if view == 'box' and scene.truth is not None and scene.truth.labels.any():
            rows, columns = (np.flatnonzero((scene.truth.labels > 0).any(axis)) for axis in (1, 0))
            box = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
        window = (
            scene.workspace.window(scene.frame.intrinsics, TRAINING_MARGIN)
            if scene.workspace is not None
            else None
        )
        mask = scene.labelled().labels > 0 if truth else None
        yield _Source(
            f'scene {index}', '+'.join(scene.present), scene.frame.colour, window, box, mask
        )


def _read_file(path: Path, size: int, limit: int, truth: bool) -> Pictures:
    made_by = '`insegan dataset pictures`'
    with opened(path, FORMAT, 'pictures', made_by, 'masks' if truth else '') as file:
        chosen = slice(0, limit or len(file['images']))
        images, masks = file['images'][chosen], None
        kinds = tuple(str(kind) for kind in file['kinds'].asstr()[chosen])
        if truth:
            packed = file['masks'][chosen]
            masks = np.unpackbits(packed, axis=-1, count=images.shape[2]).astype(bool)
        name = str(file.attrs['name'])
    if images.shape[1:3] != (size, size):
        raise DatasetError(
            f'{path} holds pictures of {images.shape[2]} x {images.shape[1]} px: expected {size} x'
            f' {size}'
        )
    return Pictures(images, masks, kinds, name)
