"""The rim of the bin in a frame: how far it has moved from where the workspace says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from insegan_ros.frame import Intrinsics
from insegan_ros.workspace import Workspace

# The rim is looked for so far beyond the bounds, and so far within them, but no farther than this
# share of the narrower side.
OUT_M, IN_M, IN_SHARE = 0.04, 0.04, 0.3
# Along every side in so many slots, its ends left out: there the neighbours' rims are.
SLOTS, ENDS = 16, 0.15
# A rim stands so high, and is level to within so much, or so many times a reading's noise.
LOWEST_M, LEVEL_M, LEVEL_NOISES = 0.01, 0.004, 4.0
# So many readings make a slot, and so large a share of its slots a side.
READINGS, SIDE_SHARE = 3, 0.4
# Rounds of the fit, in which edges that lie far off count less and less.
ROUNDS = 4
# A bin has moved where it is so many standard deviations of the fit away, and a pixel: to within
# that its bounds were found.
SURE, PIXELS = 5.0, 1.0
# Neighbouring edges err together, and walls are not straight: a side tells as much as so many.
INDEPENDENT = 8
# A picture of more pixels is thinned out: every fifth is enough.
MANY_PX, EVERY = 100_000, 5


@dataclass(frozen=True)
class Rim:
    """The rim as it is seen.

    height_m above the floor. shift_m (2,): how far the bin's middle has moved along x and y of the
    floor's frame, 0 where that is not seen; seen (2,) bool: along which of them it is; turn_deg:
    how far it has turned about it, from x towards y. reach_m: how far that corner of the bounds has
    moved that moved most; limit_m: up to where that may be noise.
    """

    height_m: float
    shift_m: np.ndarray
    turn_deg: float
    reach_m: float
    limit_m: float
    seen: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether all four sides are seen, and with them whether it has moved any way."""
        return bool(self.seen.all())

    @property
    def moved(self) -> bool:
        """Whether the bin has moved by more than noise."""
        return self.reach_m > self.limit_m


class _Sight(NamedTuple):
    """What turns the depth of chosen pixels (N,), by their places in the flat image, into places:
    (3, N) factors, and offsets (3, 1). every: of so many pixels one is chosen."""

    pixels: np.ndarray
    factors: np.ndarray
    offsets: np.ndarray
    every: int


def places_of(depth_m: np.ndarray, workspace: Workspace, camera: Intrinsics) -> np.ndarray:
    """x and y from the middle of the bounds and height above the floor, (3, N) float32 in m in the
    floor's frame, of the pixels of a picture (H, W); NaN without a reading. Of a large picture one
    pixel in five. Raises InputError without bounds."""
    seen = _sight(workspace, camera)
    return seen.factors * depth_m.ravel()[seen.pixels] + seen.offsets


def thinning(camera: Intrinsics) -> int:
    """Of how many pixels of a camera's picture one is looked at."""
    return EVERY if camera.width * camera.height > MANY_PX else 1


@lru_cache(maxsize=4)
def _sight(workspace: Workspace, camera: Intrinsics) -> _Sight:
    """The same for every frame. The pixels lie a knight's move apart, some in every row and column:
    edges are seen as sharply as in all of them."""
    rows, columns = np.mgrid[: camera.height, : camera.width]
    pixels = np.flatnonzero((columns + 2 * rows) % thinning(camera) == 0)
    axes = np.vstack([workspace.axes, workspace.floor[:3]])
    factors = axes @ camera.rays().reshape(-1, 3)[pixels].T.astype(float)
    x_min, y_min, x_max, y_max = workspace.require_bounds()
    middle = workspace.from_floor(np.array([x_min + x_max, y_min + y_max]) / 2)
    offsets = np.append(-workspace.axes @ middle, workspace.floor[3])
    return _Sight(
        pixels, factors.astype(np.float32), offsets[:, None].astype(np.float32), thinning(camera)
    )


def half_sizes(workspace: Workspace) -> np.ndarray:
    """Half of the width and of the depth (2,) float32 of the bounds in m. Raises InputError where
    there are none."""
    x_min, y_min, x_max, y_max = workspace.require_bounds()
    return np.array([x_max - x_min, y_max - y_min], np.float32) / 2


def find_rim(places: np.ndarray, workspace: Workspace, camera: Intrinsics) -> Rim | None:
    """The rim around the bounds, in places (3, N) of `places_of`; None where no two of its sides
    are seen that face each other.

    From inside outwards, the rim begins where readings first stand as high as it, whatever lies in
    the bin below. How far that is beyond the bounds depends on the walls' lean and on what of an
    edge is read; sides that face each other have it alike, so that the middle between them and the
    turn are known better than any side, and one side alone tells of the turn only. Raises
    InputError without bounds.
    """
    half = half_sizes(workspace)
    readings = _beside(places, half)
    tops = np.zeros(4 * SLOTS, np.float32)
    np.maximum.at(tops, readings.slot, readings.height)
    level_m = max(LEVEL_M, LEVEL_NOISES * workspace.wall_noise_m)
    if np.count_nonzero(tops) < 2 * SIDE_SHARE * SLOTS:
        return None
    top_m = float(np.median(tops[tops > 0]))
    rim = readings.only(np.abs(readings.height - top_m) < level_m)
    slots, edges = _first(rim)
    ends = _ends(readings.only(readings.height > top_m + level_m), slots, edges)
    slots, edges = slots[ends], edges[ends]
    sides = np.bincount(slots // SLOTS, minlength=4) >= SIDE_SHARE * SLOTS
    if not (sides[:2] & sides[2:]).any():
        return None
    known = sides[slots // SLOTS]
    pixel_m = workspace.floor_distance_m / camera.fx
    # The highest reading of a slot is so by its noise.
    return _fit(slots[known], edges[known], half, float(np.median(rim.height)), pixel_m)


class _Readings(NamedTuple):
    """Readings beside the sides: the number of each one's slot, side by side; metres beyond the
    bounds, and above the floor."""

    slot: np.ndarray
    beyond: np.ndarray
    height: np.ndarray

    def only(self, chosen: np.ndarray) -> _Readings:
        return _Readings(*(values[chosen] for values in self))


def _beside(places: np.ndarray, half: np.ndarray) -> _Readings:
    """The readings beside the sides x_min, y_min, x_max, y_max of bounds that are half as wide as
    `half` (2,)."""
    within = min(IN_M, IN_SHARE * 2 * float(half.min()))
    far = np.maximum(np.abs(places[0]) - half[0], np.abs(places[1]) - half[1])
    near = (far > -within) & (far < OUT_M) & (places[2] > LOWEST_M)
    x, y, height = np.compress(near, places, axis=1)
    found = []
    for side, (across, along) in enumerate(((-x, y), (-y, x), (x, y), (y, x))):
        beyond = across - half[side % 2]
        share = along / half[1 - side % 2] / (1 - 2 * ENDS)
        here = (beyond > -within) & (beyond < OUT_M) & (np.abs(share) < 1)
        slot = ((share[here] + 1) / 2 * SLOTS).astype(int).clip(0, SLOTS - 1)
        found.append(_Readings(side * SLOTS + slot, beyond[here], height[here]))
    return _Readings(*(np.concatenate(values) for values in zip(*found)))


def _first(readings: _Readings) -> tuple[np.ndarray, np.ndarray]:
    """The slots (K,) with enough readings of the rim, and how far beyond the bounds it begins
    there, in m: a tenth of the readings may be strays before it."""
    order = np.lexsort((readings.beyond, readings.slot))
    slot, beyond = readings.slot[order], readings.beyond[order]
    starts = np.flatnonzero(np.diff(slot, prepend=-1))
    counts = np.diff(starts, append=len(slot))
    firm = counts >= READINGS
    return slot[starts[firm]], beyond[starts[firm] + counts[firm] // 10]


def _ends(higher: _Readings, slots: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """In which of the slots (K,) the rim is the wall's end (K,) bool: where nothing beyond its edge
    is higher. What is higher before it is a part; beyond it the wall, which is then another one."""
    edge = np.full(4 * SLOTS, np.inf)
    edge[slots] = edges
    outside = higher.slot[higher.beyond > edge[higher.slot]]
    return np.bincount(outside, minlength=4 * SLOTS)[slots] < READINGS


def _fit(
    slots: np.ndarray, edges: np.ndarray, half: np.ndarray, height_m: float, pixel_m: float
) -> Rim:
    """The shift and the turn that lay the sides on the rim's edges (K,), and insets, which sides
    that face each other have alike: least squares, robust (Huber's weights)."""
    side = slots // SLOTS
    normal = np.array([(-1, 0), (0, -1), (1, 0), (0, 1)], float)[side]
    along = ((slots % SLOTS + 0.5) / SLOTS * 2 - 1) * (1 - 2 * ENDS)
    x = np.where(side % 2 == 0, normal[:, 0], along) * half[0]
    y = np.where(side % 2 == 0, along, normal[:, 1]) * half[1]
    # A turn moves (x, y) by (-y, x).
    terms = np.column_stack([normal, normal[:, 1] * x - normal[:, 0] * y, np.abs(normal)])
    sides = np.bincount(side, minlength=4) > 0
    seen = sides[:2] & sides[2:]
    # Along an axis of which one side is seen its shift is taken for its inset.
    chosen = np.r_[seen, True, sides[:2] | sides[2:]]
    terms = terms[:, chosen]
    weights = np.ones(len(slots))
    for _ in range(ROUNDS):
        weighted = terms * weights[:, None]
        covariance = np.linalg.inv(weighted.T @ weighted)
        found = covariance @ (weighted.T @ (edges * weights))
        off = np.abs(edges - terms @ found)
        # Edges on the pixels' grid are never surer than this.
        noise_m = max(1.48 * float(np.median(off)), pixel_m / np.sqrt(12))
        weights = np.sqrt(1 / np.maximum(off / (1.5 * noise_m), 1))
    values, variances = np.zeros(5), np.zeros(5)
    values[chosen], variances[chosen] = found, np.diag(covariance)
    corner = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    moves = values[:2] + values[2] * np.stack([-corner[:, 1], corner[:, 0]], 1)
    together = SLOTS / INDEPENDENT
    variance = together * (variances[:2].sum() + variances[2] * (half**2).sum())
    return Rim(
        height_m,
        values[:2],
        float(np.degrees(values[2])),
        float(np.linalg.norm(moves, axis=1).max()),
        SURE * noise_m * float(np.sqrt(variance)) + PIXELS * pixel_m,
        seen,
    )
