"""Which piece of a picture is the bin's floor, and its plane."""

from __future__ import annotations

import cv2
import numpy as np

from insegan_ros.errors import InputError
from insegan_ros.floors import fit_floor
from insegan_ros.frame import Frame
from insegan_ros.picking.emptiness import FLAT_M, IN_USE
from insegan_ros.picking.floor_view import heights_of
from insegan_ros.workspace import Workspace

# Smaller bins are gaps between parts.
SMALLEST_M = 0.06
# Shares of the picture's height and width that lie within the floor of a small bin.
SMALL_BINS = 0.1, 0.2
# Of what is nearest to a small bin's floor and not flat, within these pixels, this share is higher:
# its walls.
WALL_PX, WALLED = 8, 0.9


def floor_under_the_middle(
    picture: Frame, given: tuple[float, float, float, float] | None, in_use: bool
) -> tuple[tuple[float, float, float, float], np.ndarray]:
    """The plane under the middle of what is seen, unless it is given, and the piece of it (H, W)
    there; in use, all pieces there. A small bin's floor is the piece under the very middle that
    walls enclose; else it is what most of the middle half shows. Raises InputError where that shows
    no plane."""
    for share in () if in_use else SMALL_BINS:
        middle = _middle_of(picture, share)
        try:
            floor = _fit_within(picture, middle) if given is None else given
        except InputError:
            continue
        pieces = _flat_pieces(picture, floor)
        own = pieces[_middle_of(picture, 0.0)].max()
        piece = pieces == own
        if own and _is_walled_in(picture, Workspace(floor), piece):
            return (_fit_within(picture, piece) if given is None else given), piece
    middle = _middle_of(picture, 0.5)
    floor = _fit_within(picture, middle) if given is None else given
    pieces = _flat_pieces(picture, floor)
    # A bin that is small in the picture has a ring of table around it, even in the middle half.
    core = pieces[_middle_of(picture, 0.25)]
    in_middle = core if (core > 0).mean() > 0.05 else pieces[middle]
    if not in_middle.any():
        raise InputError(
            'no flat ground in the middle of the image: expected the camera to look into the'
            f' empty bin; {IN_USE}'
            if given is None
            else 'nothing in the middle of the image lies on the floor that is given: expected the'
            " bin's, or --bounds too, which are then taken as they are"
        )
    areas = np.bincount(in_middle[in_middle > 0])
    chosen = areas > 0.02 * areas.sum() if in_use else np.arange(len(areas)) == areas.argmax()
    return floor, chosen[np.where(pieces < len(areas), pieces, 0)]


def _middle_of(picture: Frame, share: float) -> tuple[slice, slice]:
    """The middle of what is seen, a share of its height and width and at least a few pixels."""
    rows, columns = (np.flatnonzero(np.isfinite(picture.depth_m).any(axis)) for axis in (1, 0))
    spans = []
    for side in (rows, columns):
        first, last = int(side[0]), int(side[-1]) + 1
        off = min(int((last - first) * (1 - share) / 2), (last - first) // 2 - 1)
        spans.append(slice(first + max(off, 0), last - max(off, 0)))
    return spans[0], spans[1]


def _fit_within(
    picture: Frame, window: tuple[slice, slice] | np.ndarray
) -> tuple[float, float, float, float]:
    """The plane of a window of a picture, or of a piece of it (H, W)."""
    masked = np.full_like(picture.depth_m, np.nan)
    masked[window] = picture.depth_m[window]
    return fit_floor(Frame(masked, picture.intrinsics))


def _flat_pieces(picture: Frame, floor: tuple[float, float, float, float]) -> np.ndarray:
    """The connected pieces of what lies on a plane, numbered from 1, (H, W)."""
    heights = heights_of(picture, Workspace(floor))
    # Single pixels without a reading do not cut the floor to pieces.
    flat = cv2.morphologyEx(
        (np.abs(np.nan_to_num(heights, nan=1.0)) < FLAT_M).astype(np.uint8),
        cv2.MORPH_CLOSE,
        np.ones((5, 5), np.uint8),
    )
    return cv2.connectedComponents(flat, connectivity=4)[1]


def _is_walled_in(picture: Frame, workspace: Workspace, piece: np.ndarray) -> bool:
    """Whether a piece of floor (H, W) is wide enough for a bin, and what parts it from other floor
    is higher."""
    at_rim = piece[0].any() or piece[-1].any() or piece[:, 0].any() or piece[:, -1].any()
    k = picture.intrinsics
    area_m2 = piece.sum() * workspace.floor_distance_m**2 / (k.fx * k.fy)
    if at_rim or area_m2 < SMALLEST_M**2:
        return False
    heights, shape = heights_of(picture, workspace), np.ones((3, 3), np.uint8)
    outline = int((cv2.dilate(piece.astype(np.uint8), shape) > piece).sum())
    for pixels in range(1, WALL_PX + 1):
        beside = heights[cv2.dilate(piece.astype(np.uint8), shape, iterations=pixels) > 0]
        parting = beside[np.abs(np.nan_to_num(beside)) > FLAT_M]
        # What is nearest, all around: behind thin walls the ground may be lower.
        if len(parting) >= outline:
            break
    return len(parting) > 0 and float((parting > 0).mean()) > WALLED
