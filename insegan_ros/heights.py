"""The three scales of a height, and the ways between them: metres above the bin's floor; shares of
a training's height scale, 0 the floor, 1 the scale; signed, as networks see it, -1 the floor, 1 the
scale.

    >>> shares = height_shares(np.array([0.0, 0.01, 0.02]), 0.02)
    >>> signed(shares)
    array([-1.,  0.,  1.])
    >>> unsigned(signed(shares)) * 0.02
    array([0.  , 0.01, 0.02])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame, Intrinsics
from insegan_ros.workspace import TRAINING_MARGIN, Workspace

if TYPE_CHECKING:
    from torch import Tensor

# Heights are told apart up to this many of the training's height scales; what stands higher is cut
# to it.
HEADROOM = 1.5
# A pixel belongs to an instance where its render stands higher than this share of the height scale:
# one rule for all parts.
FOREGROUND_SHARE = 0.08
# Side in px of the square height maps that a generator is trained on.
IMAGE_SIZE = 64
# What stands no higher is the floor's noise, in m. What stands so many times higher than usual is a
# gripper or a hand.
PART_M, TALL = 0.005, 2.0

# Sheets lie in a bin where so large a share of what stands above the floor's noise is flatter than
# usual parts are, and of that so much at one height, to within a millimetre: the sides of a cone
# are at all heights. What stands above this share of that height is a part.
FLAT, LEVEL, LEVEL_M, ABOVE = 0.02, 0.6, 0.001, 0.6
# The floor's noise reaches so many standard deviations high, and where it is none so many metres.
NOISES, LEAST_M = 5.0, 0.0015
# A floor with noise is above itself as often as below; one that is so seldom above has none.
SELDOM = 0.2

Heights = TypeVar('Heights', float, np.ndarray, 'Tensor')
Maps = TypeVar('Maps', np.ndarray, 'Tensor')


def height_shares(heights_m: np.ndarray, height_m: float) -> np.ndarray:
    """Heights in m, of any shape, as the dense network sees them: shares of the height scale
    height_m, from the floor up to HEADROOM."""
    return np.clip(heights_m / height_m, 0, HEADROOM)


def signed(shares: Heights) -> Heights:
    """Shares of the height scale as networks see them: -1 the floor, 1 the scale. Array, tensor or
    number, any shape."""
    return shares * 2 - 1


def unsigned(heights: Heights) -> Heights:
    """The inverse of `signed`: shares of the height scale, 0 the floor."""
    return (heights + 1) / 2


def above_floor(heights: Maps) -> Maps:
    """Where signed heights (..., H, W), array or tensor, are a part's and not the floor's: bool of
    the same shape."""
    return heights > signed(FOREGROUND_SHARE)


def pixel_size_m(workspace: Workspace, intrinsics: Intrinsics) -> float:
    """Metres that one pixel covers on the floor."""
    return workspace.floor_distance_m / intrinsics.fx


def resize_height(height: np.ndarray, scale: float) -> np.ndarray:
    """A height map (H, W) in m resized by a factor, in such a way that the mean is kept (area) when
    it shrinks."""
    size = max(int(round(height.shape[1] * scale)), 1), max(int(round(height.shape[0] * scale)), 1)
    return cv2.resize(height, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def square_height_map(frame: Frame, workspace: Workspace, size: int) -> tuple[np.ndarray, float]:
    """The bin's window as a (size, size) float32 height map in metres, and the metres that one of
    its pixels covers.

    This is what a generator is trained on; a segmenter later resizes any camera's image to the same
    metres per pixel.

    >>> camera = Intrinsics(615.0, 615.0, 319.5, 239.5, 640, 480)
    >>> workspace = Workspace((0.0, 0.0, -1.0, 0.5), bounds=(-0.1, -0.1, 0.1, 0.1))
    >>> empty = Frame(np.full((480, 640), 0.5, np.float32), camera)
    >>> heights, pixel_m = square_height_map(empty, workspace, 64)
    >>> heights.shape, round(1000 * pixel_m, 1)
    ((64, 64), 3.5)
    """
    left, top, right, bottom = window = workspace.window(frame.intrinsics, TRAINING_MARGIN)
    side = max(right - left, bottom - top)
    square = np.zeros((side, side), np.float32)
    square[: bottom - top, : right - left] = workspace.height_map(frame, window=window)
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    small = cv2.resize(square, (size, size), interpolation=interpolation)
    return small, side / size * pixel_size_m(workspace, frame.intrinsics)


def floor_limit(heights: np.ndarray, usual_m: float = PART_M, share: float = FLAT) -> float:
    """Up to which height in m height maps (..., H, W) in m, 0 where nothing was read, show the
    floor: usual_m, or lower where sheets lie in the bin that are flatter, and that the floor's
    noise lets tell from it. share: how much of what is seen must be flatter; a single height map
    tells less than many.

    >>> floor = np.abs(np.random.default_rng(0).normal(0, 0.0002, (64, 64)))
    >>> floor_limit(floor)
    0.005
    >>> floor[20:40, 20:40] = 0.003
    >>> round(floor_limit(floor), 4)
    0.0018
    """
    low = heights[(heights > 0) & (heights < usual_m / 2)]
    # The upper half of a normal distribution: its median is .674 standard deviations.
    noisy = len(low) > SELDOM * (heights <= 0).sum()
    noise = float(np.median(low)) / 0.674 if noisy else 0.0
    lowest = max(NOISES * noise, LEAST_M)
    above = heights[heights > lowest]
    flat = np.sort(above[above <= usual_m])
    if len(flat) <= share * len(above):
        return usual_m
    # How many lie within a millimetre above each.
    beside = np.searchsorted(flat, flat + LEVEL_M) - np.arange(len(flat))
    if beside.max() < LEVEL * len(flat):
        return usual_m
    return max(lowest, ABOVE * float(flat[beside.argmax() + beside.max() // 2]))


def height_scale(heights: np.ndarray, floor_m: float = PART_M) -> float:
    """The height in metres that becomes +1: nearly the highest thing in height maps (N, H, W) in
    metres, but where parts lie flatter than usual, floor_m, so little that they still count as
    such (FOREGROUND_SHARE). Raises DatasetError on an empty bin."""
    above = heights[heights > floor_m]
    if above.size < 100:
        raise DatasetError(
            f'nothing in the data stands {1000 * floor_m:.3g} mm or more above the floor: expected'
            ' parts in the bin'
        )
    highest = float(np.quantile(above, 0.995))
    return highest if floor_m >= PART_M else min(highest, floor_m / FOREGROUND_SHARE)
