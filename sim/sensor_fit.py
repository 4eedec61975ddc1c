"""A stereo sensor's noise, measured in a recording in which nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import yaml

from insegan_ros.errors import InputError
from insegan_ros.files import write_whole
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace
from insegan_sim.sensor import StereoSensor

# So many frames of a still scene, floor pixels and edges are needed to say anything.
MIN_FRAMES, MIN_FLOOR_PX, MIN_EDGES = 5, 500, 30
FLAT_M = 0.008
# An edge is a step of this height, level for some pixels on both sides.
STEP_M, AROUND_PX, LEVEL_PX = 0.01, 7, 3
# From a tenth to nine tenths of a step that was blurred by a Gaussian there are so many of its
# standard deviations; a sharp step takes that share of the way between two pixels.
RISE_SIGMAS, SHARP_PX = 2.56, 0.8


@dataclass(frozen=True)
class SensorFit:
    """repeatability_px, how much a pixel's disparity differs from frame to frame, and rms_px, from
    the floor's plane in one frame (standard deviations); hole_share of the floor; edge_px, width of
    the edges (median; 0 where too few are seen), and their number."""

    repeatability_px: float
    rms_px: float
    hole_share: float
    edge_px: float
    edges: int
    frames: int

    def sensor(self) -> StereoSensor:
        """The sensor model with what was measured in place of a D435's values."""
        # What a pixel's width adds is taken off in squares, as widths of blurs add.
        smear = max(self.edge_px**2 - SHARP_PX**2, 0.0) ** 0.5 / RISE_SIGMAS
        return replace(
            StereoSensor(),
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
        return (
            f'{self.frames} frames: disparity repeats to {self.repeatability_px:.3f} px and lies'
            f' {self.rms_px:.3f} px off the floor; {100 * self.hole_share:.2f} % of the floor has'
            f' no reading; {edges}'
        )


def fit_sensor(
    frames: Sequence[Frame], workspace: Workspace, baseline_m: float = StereoSensor.baseline_m
) -> SensorFit:
    """Measure frames of one still scene, parts on the floor of a bin whose place is known. Raises
    InputError for too few frames, or where too little of the floor is seen."""
    if len(frames) < MIN_FRAMES:
        raise InputError(
            f'{len(frames)} frames: expected {MIN_FRAMES} or more in which nothing moves'
        )
    camera = frames[0].intrinsics
    depths = np.stack([frame.depth_m for frame in frames])
    read = np.isfinite(depths)
    scale = camera.fx * baseline_m
    rays = camera.rays()
    points = rays * middle_of(frames)[..., None]
    height = workspace.height_of(points)
    # Holes of the floor are those that floor surrounds.
    flat = (np.abs(np.nan_to_num(height, nan=1.0)) < FLAT_M) & workspace.contains(points)
    closed = cv2.morphologyEx(flat.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    inner = cv2.erode(closed, np.ones((9, 9), np.uint8)) > 0
    if inner.sum() < MIN_FLOOR_PX:
        raise InputError(
            f'{int(inner.sum())} px of the floor are seen away from edges: expected'
            f' {MIN_FLOOR_PX} or more (is this the workspace of the recording?)'
        )
    disparity = scale / depths[:, inner]
    expected = scale / workspace.floor_depth(camera)[inner]
    off = disparity - expected
    near = off[np.abs(off) < 4 * np.nanstd(off) + 1e-9]
    steady = np.isfinite(disparity).sum(0) >= 2
    widths = _edge_widths(height, workspace.contains(points))
    return SensorFit(
        float(np.median(np.nanstd(disparity[:, steady], 0, ddof=1))),
        float(near.std()),
        float(1 - read[:, inner].mean()),
        float(np.median(widths)) if len(widths) >= MIN_EDGES else 0.0,
        len(widths),
        len(frames),
    )


def middle_of(frames: Sequence[Frame]) -> np.ndarray:
    """The median (H, W) in m of frames of one still scene; NaN where fewer than half of them have a
    reading."""
    depths = np.stack([frame.depth_m for frame in frames])
    seen = np.isfinite(depths).sum(0) >= max(len(frames) // 2, 2)
    middle = np.full(seen.shape, np.nan, np.float32)
    middle[seen] = np.nanmedian(depths[:, seen], 0)
    return middle


def _edge_widths(height_m: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Widths in px (M,) of the steps along the rows of a height map (H, W): from a tenth to nine
    tenths of the step."""
    height = np.where(inside, height_m, np.nan)
    widths = []
    slope = np.abs(np.diff(height, axis=1))
    steep = np.nan_to_num(slope) > STEP_M / (2 * AROUND_PX)
    for row, column in zip(*np.nonzero(steep)):
        own = slope[row, max(column - AROUND_PX, 0) : column + AROUND_PX + 1]
        if slope[row, column] < np.nanmax(own):
            continue
        around = height[row, column - AROUND_PX + 1 : column + AROUND_PX + 1]
        if len(around) < 2 * AROUND_PX or not np.isfinite(around).all():
            continue
        left, right = around[:LEVEL_PX], around[-LEVEL_PX:]
        step = float(right.mean() - left.mean())
        if abs(step) < STEP_M or max(np.ptp(left), np.ptp(right)) > 0.25 * abs(step):
            continue
        share = (around - left.mean()) / step
        # Where the step crosses a tenth and nine tenths, between pixels.
        rising = np.maximum.accumulate(np.clip(share, 0, 1)) + np.arange(len(share)) * 1e-9
        low, high = np.interp([0.1, 0.9], rising, np.arange(len(share)))
        widths.append(high - low)
    return np.array(widths)


def write_sensor(found: SensorFit, path: Path) -> None:
    """Write the sensor as YAML that `insegan simulate --sensor` takes, with what was measured on
    its first line. Raises DatasetError where it cannot be written."""
    values = {'model': 'stereo', **asdict(found.sensor())}
    text = f'# measured: {found.text()}\n' + yaml.safe_dump(values, sort_keys=False)
    write_whole(path, text.encode())
