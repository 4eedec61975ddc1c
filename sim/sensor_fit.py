"""A stereo sensor's noise, measured in a recording: on the floor, and in the width of edges; how
well it repeats where nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import yaml

from insegan_ros.errors import InputError
from insegan_ros.files import write_whole
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace
from insegan_sim.sensor import StereoSensor

# So many frames, floor pixels and edges are needed to say anything.
MIN_FRAMES, MIN_FLOOR_PX, MIN_EDGES = 5, 500, 30
FLAT_M = 0.008
# An edge is a step of this height, level for some pixels on both sides.
STEP_M, AROUND_PX, LEVEL_PX = 0.01, 7, 3
# Nothing has moved where less of the bin than this share differs by more than a part's height.
MOVED_M, MOVED_SHARE = 0.006, 0.01
# A sensor reads at this share of the distance of the nearest reading, at the least.
NEARER = 0.8
# From a tenth to nine tenths of a step that was blurred by a Gaussian there are so many of its
# standard deviations; a sharp step takes that share of the way between two pixels.
RISE_SIGMAS, SHARP_PX = 2.56, 0.8


@dataclass(frozen=True)
class SensorFit:
    """repeatability_px, how much a pixel's disparity differs from frame to frame (NaN where
    something moves between any two), and rms_px, from the floor's plane in one frame (standard
    deviations); hole_share of the floor; edge_px, width of the edges (median; 0 where too few are
    seen), and their number; nearest_m, how near the nearest thousandth of the readings is."""

    repeatability_px: float
    rms_px: float
    hole_share: float
    edge_px: float
    edges: int
    frames: int
    nearest_m: float

    def sensor(self) -> StereoSensor:
        """The sensor model with what was measured in place of a D435's values."""
        # What a pixel's width adds is taken off in squares, as widths of blurs add.
        smear = max(self.edge_px**2 - SHARP_PX**2, 0.0) ** 0.5 / RISE_SIGMAS
        return replace(
            StereoSensor(),
            # What has read at this distance reads parts on a higher pile too.
            min_depth_m=round(min(StereoSensor.min_depth_m, NEARER * self.nearest_m), 3),
            disparity_rms_px=round(self.rms_px, 4),
            hole_share=round(self.hole_share, 4),
            edge_smear_px=round(smear, 2),
        )

    def short(self) -> str:
        """The figures that a picture shows."""
        edge = f'{self.edge_px:.1f} px' if self.edge_px else '?'
        return f'edges {edge}, holes {100 * self.hole_share:.1f} %, grain {self.rms_px:.2f} px'

    def text(self) -> str:
        """What was measured, in a sentence."""
        edges = (
            f'{self.edges} edges, {self.edge_px:.1f} px wide'
            if self.edges >= MIN_EDGES
            else f'{self.edges} edges, too few to say how wide they are'
        )
        repeats = (
            f'repeats to {self.repeatability_px:.3f} px'
            if np.isfinite(self.repeatability_px)
            else 'has no repetition, something moves in every frame,'
        )
        return (
            f'{self.frames} frames: disparity {repeats} and lies'
            f' {self.rms_px:.3f} px off the floor; {100 * self.hole_share:.2f} % of the floor has'
            f' no reading; {edges}'
        )


def fit_sensor(
    frames: Sequence[Frame], workspace: Workspace, baseline_m: float = StereoSensor.baseline_m
) -> SensorFit:
    """Measure frames of parts on the floor of a bin whose place is known, best of one still scene.
    Raises InputError for too few frames, or where too little of the floor is seen."""
    if len(frames) < MIN_FRAMES:
        raise InputError(f'{len(frames)} frames: expected {MIN_FRAMES} or more of parts in a bin')
    stills = [_measure(still, workspace, baseline_m) for still in still_runs(frames, workspace)]
    seen = sum(len(one.off_px) for one in stills) / len(frames)
    if seen < MIN_FLOOR_PX:
        raise InputError(
            f'{seen:.0f} px of the floor are seen away from edges: expected'
            f' {MIN_FLOOR_PX} or more (is this the workspace of the recording?)'
        )
    off = np.concatenate([one.off_px for one in stills])
    near = off[np.abs(off - np.nanmedian(off)) <= 4 * np.nanstd(off)]
    spreads = np.concatenate([one.spreads_px for one in stills])
    widths = np.concatenate([one.widths_px for one in stills])
    return SensorFit(
        float(np.median(spreads)) if len(spreads) else float('nan'),
        float(near.std()),
        float(np.isnan(off).mean()),
        float(np.median(widths)) if len(widths) >= MIN_EDGES else 0.0,
        len(widths),
        len(frames),
        min(float(np.nanquantile(frame.depth_m, 0.001)) for frame in frames),
    )


def still_runs(frames: Sequence[Frame], workspace: Workspace) -> list[list[Frame]]:
    """The frames in runs in which nothing moves, most of them of one frame where every frame shows
    another pile."""
    runs = [[frames[0]]]
    for before, frame in zip(frames, frames[1:]):
        if frame.intrinsics == before.intrinsics and not _moved(before, frame, workspace):
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def _moved(before: Frame, frame: Frame, workspace: Workspace) -> bool:
    """Whether something in the bin has moved between two frames of one size."""
    inside = workspace.contains(frame.points())
    steps = np.abs(frame.depth_m - before.depth_m)[inside]
    steps = steps[np.isfinite(steps)]
    return not len(steps) or float((steps > MOVED_M).mean()) > MOVED_SHARE


class _Still(NamedTuple):
    """What a still scene shows of a sensor, all in px: off_px (M,), readings of the floor off its
    plane, NaN where there is none; spreads_px (K,), of pixels that were read more than once;
    widths_px (E,) of edges."""

    off_px: np.ndarray
    spreads_px: np.ndarray
    widths_px: np.ndarray


def _measure(frames: list[Frame], workspace: Workspace, baseline_m: float) -> _Still:
    camera = frames[0].intrinsics
    depths = np.stack([frame.depth_m for frame in frames])
    scale = camera.fx * baseline_m
    points = camera.points(middle_of(frames))
    height = workspace.height_of(points)
    inside = workspace.contains(points)
    # Holes of the floor are those that floor surrounds.
    flat = (np.abs(np.nan_to_num(height, nan=1.0)) < FLAT_M) & inside
    closed = cv2.morphologyEx(flat.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    inner = cv2.erode(closed, np.ones((9, 9), np.uint8)) > 0
    disparity = scale / depths[:, inner]
    steady = np.isfinite(disparity).sum(0) >= 2
    spreads = np.nanstd(disparity[:, steady], 0, ddof=1) if len(frames) > 1 else np.zeros(0)
    off = disparity - scale / workspace.floor_depth(camera)[inner]
    return _Still(off.ravel(), spreads, _edge_widths(height, inside))


def middle_of(frames: Sequence[Frame]) -> np.ndarray:
    """The median (H, W) in m of frames of one still scene; NaN where fewer than half of them have a
    reading."""
    depths = np.stack([frame.depth_m for frame in frames])
    seen = np.isfinite(depths).sum(0) >= min(max(len(frames) // 2, 2), len(frames))
    middle = np.full(seen.shape, np.nan, np.float32)
    middle[seen] = np.nanmedian(depths[:, seen], 0)
    return middle


def _edge_widths(height_m: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Widths in px (M,) of the steps between floor and part along the rows of a height map (H, W):
    from a tenth to nine tenths of the step."""
    height = np.where(inside, height_m, np.nan)
    slope = np.abs(np.diff(height, axis=1))
    middles = np.pad(_level_steps(height), ((0, 0), (AROUND_PX - 1, AROUND_PX)))[:, :-1]
    widths = []
    for row, column in zip(*np.nonzero(middles)):
        own = slope[row, max(column - AROUND_PX, 0) : column + AROUND_PX + 1]
        around = height[row, column - AROUND_PX + 1 : column + AROUND_PX + 1]
        if slope[row, column] < np.nanmax(own) or not np.isfinite(around).all():
            continue
        left, right = around[:LEVEL_PX].mean(), around[-LEVEL_PX:].mean()
        share = (around - left) / (right - left)
        # Where the step crosses a tenth and nine tenths, between pixels.
        rising = np.maximum.accumulate(np.clip(share, 0, 1)) + np.arange(len(share)) * 1e-9
        low, high = np.interp([0.1, 0.9], rising, np.arange(len(share)))
        widths.append(high - low)
    return np.array(widths)


def _level_steps(height_m: np.ndarray) -> np.ndarray:
    """Which windows of 2 AROUND_PX along the rows of a height map (H, W), by their first pixel (H,
    W - 2 AROUND_PX + 1), have a step whose sides are level and whose lower side is the floor: in
    piles, slopes look like wide edges."""
    windows = np.lib.stride_tricks.sliding_window_view(height_m, LEVEL_PX, axis=1)
    mean, spread = windows.mean(-1), np.ptp(windows, axis=-1)
    apart = 2 * AROUND_PX - LEVEL_PX
    step = np.abs(mean[:, apart:] - mean[:, :-apart])
    uneven = np.maximum(spread[:, apart:], spread[:, :-apart])
    floor = np.minimum(np.abs(mean[:, apart:]), np.abs(mean[:, :-apart])) < FLAT_M / 2
    return (step > STEP_M) & (uneven < 0.25 * step) & floor


def write_sensor(found: SensorFit, path: Path) -> None:
    """Write the sensor as YAML that `insegan simulate --sensor` takes, with what was measured on
    its first line. Raises DatasetError where it cannot be written."""
    values = {'model': 'stereo', **asdict(found.sensor())}
    text = f'# measured: {found.text()}\n' + yaml.safe_dump(values, sort_keys=False)
    write_whole(path, text.encode())
