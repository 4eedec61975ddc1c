"""Masks as COCO has them, run lengths and polygons, to pixels and back.

pycocotools trusts what it is given and writes beyond its memory where that is wrong; all that a
file holds is checked here before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle

from insegan_ros.errors import MALFORMED, DatasetError
from insegan_ros.texts import reason

# Of a picture whose size a file only states, and of all whole masks of one picture.
MOST_PX = 2**30
# Points of an outline as pycocotools draws it, five for every px.
MOST_POINTS = 20_000_000


def encode(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool as COCO's compressed run lengths, ready for JSON."""
    packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': [int(v) for v in packed['size']], 'counts': packed['counts'].decode('ascii')}


def decode(segmentation: Any, shape: tuple[int, int]) -> np.ndarray:
    """A mask of shape (H, W) bool from run lengths, compressed or not, or from polygons. Raises
    DatasetError where it is none, or of another size."""
    try:
        if isinstance(segmentation, list):
            _check_polygons(segmentation, shape)
            packed = rle.merge(rle.frPyObjects(segmentation, *shape))
        else:
            check_run_lengths(segmentation, shape)
            packed = {'size': list(shape), 'counts': segmentation['counts']}
            if isinstance(packed['counts'], list):
                packed = rle.frPyObjects(packed, *shape)
        return rle.decode(packed).astype(bool)
    except MALFORMED as error:
        raise DatasetError(
            f'a mask cannot be read ({reason(error)}): expected run lengths or polygons of its'
            f" picture's {shape[1]}x{shape[0]} px"
        ) from error


def picture_shape(height: Any, width: Any) -> tuple[int, int]:
    """The size (H, W) in px that a file states of a picture. Raises ValueError where no picture has
    it."""
    shape = int(height), int(width)
    if min(shape) < 1 or shape[0] * shape[1] > MOST_PX:
        raise ValueError(f'{shape[1]}x{shape[0]} px: expected the size of a picture')
    return shape


def check_count(count: int, shape: tuple[int, int]) -> None:
    """Raise ValueError for more whole masks of a picture (H, W) than memory is there for."""
    if count * shape[0] * shape[1] > MOST_PX:
        raise ValueError(f'{count} masks of {shape[1]}x{shape[0]} px are more than any picture has')


def check_run_lengths(segmentation: Any, shape: tuple[int, int]) -> None:
    """Raise one of MALFORMED for run lengths that do not cover a picture (H, W) exactly."""
    height, width = segmentation['size']
    if (height, width) != shape:
        raise ValueError(f'its size is {width}x{height} px')
    counts = segmentation['counts']
    lengths = np.array(counts) if isinstance(counts, list) else _unpacked(counts)
    whole = lengths.ndim == 1 and lengths.dtype.kind in 'iu'
    if not whole or (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f'its runs do not cover {height * width} px')


def _unpacked(text: str | bytes) -> np.ndarray:
    """COCO's compressed text as run lengths (N,) int64: five bits a character, the lowest first,
    the sixth says that more follow; from the fourth run on the difference to the one before
    last."""
    raw = text.encode('ascii') if isinstance(text, str) else text
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError('its text is cut short or damaged')
    first = np.flatnonzero(np.r_[True, codes[:-1] & 32 == 0])
    digits = np.diff(np.r_[first, len(codes)])
    if digits.max() > 7:
        raise ValueError('a run is longer than any picture')
    place = 5 * (np.arange(len(codes)) - np.repeat(first, digits))
    values = np.add.reduceat((codes & 31) << place, first)
    # The fifth bit of the last character is the sign.
    values -= np.where(codes[first + digits - 1] & 16, 1 << (5 * digits), 0)
    values[2::2], values[1::2] = np.cumsum(values[2::2]), np.cumsum(values[1::2])
    return values


def _check_polygons(polygons: list[Any], shape: tuple[int, int]) -> None:
    """Raise one of MALFORMED for polygons that are none, or far out of a picture (H, W)."""
    if not polygons:
        raise ValueError('no polygon')
    around = np.array(shape[::-1], float)
    points = 0.0
    for one in polygons:
        corners = np.array(one, float).reshape(-1, 2)
        if len(corners) < 3 or not (np.abs(corners - around / 2) <= 1.5 * around).all():
            raise ValueError('a polygon has too few corners, or lies outside')
        steps = np.abs(np.diff(corners, axis=0, append=corners[:1])).max(1)
        points += float((5 * steps + 2).sum())
    if points > MOST_POINTS:
        raise ValueError('its polygons are longer than any outline')
