"""A recording of a still scene, and what models of its sensor make of the same scene, side by
side: edges, holes and grain are seen sooner than read off figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from insegan_ros.drawing.panels import titled
from insegan_ros.frame import Frame
from insegan_ros.workspace import Workspace
from insegan_sim.sensor import Sensor
from insegan_sim.sensor_fit import MIN_FRAMES, SensorFit, fit_sensor, middle_of, still_runs

# Heights that the pictures show, in m: all that stands, and the grain of the floor.
STANDING_M, GRAIN_M = (-0.01, 0.08), (-0.004, 0.004)
HOLE = (255, 60, 60)
# Width of a panel in px at least, so that its title can be read.
PANEL_PX = 480


def beside_models(
    frames: Sequence[Frame], workspace: Workspace, models: Mapping[str, Sensor], edge_px: float
) -> tuple[np.ndarray, dict[str, SensorFit]]:
    """Panels (H, W, 3) uint8 RGB, a column for the recording and for each model: what stands on the
    floor, and the floor's grain, without a reading red; and what is measured in the frames of each,
    as fit_sensor has it.

    Models see the scene as the median of the longest run of frames in which nothing moves shows it,
    its edges, edge_px wide, made sharp again and its floor flat. Raises InputError where fit_sensor
    does.
    """
    still = max(still_runs(frames, workspace), key=len)
    first = still[0]
    depth = sharpened(middle_of(still), edge_px)
    floor = np.abs(workspace.height_of(first.intrinsics.points(depth))) < GRAIN_M[1]
    depth = np.where(floor, workspace.floor_depth(first.intrinsics), depth)
    scene = Frame(depth.astype(np.float32), first.intrinsics)
    shown = {'recorded': list(frames)} | {
        name: [model.measure(scene, np.random.default_rng(seed)) for seed in range(MIN_FRAMES)]
        for name, model in models.items()
    }
    left, top, right, bottom = workspace.window(first.intrinsics)
    columns, figures = [], {}
    for name, some in shown.items():
        figures[name] = fit_sensor(some, workspace)
        pictured = first if name == 'recorded' else some[0]
        points = first.intrinsics.points(pictured.depth_m)
        height = workspace.height_of(points)[top:bottom, left:right]
        texts = f'{name}: {figures[name].short()}', 'the floor, 4 mm up and down'
        panels = (_shaded(height, *span) for span in (STANDING_M, GRAIN_M))
        columns.append(np.vstack([titled(text, one) for text, one in zip(texts, panels)]))
    return np.hstack(columns), figures


def sharpened(depth_m: np.ndarray, edge_px: float) -> np.ndarray:
    """Depth (H, W) in m with what lies between the two sides of a step, up to edge_px wide, laid to
    the nearer of both; NaN stays NaN."""
    known = np.isfinite(depth_m)
    side = 2 * int(np.ceil(edge_px / 2)) + 1
    kernel = np.ones((side, side), np.uint8)
    near = cv2.erode(np.where(known, depth_m, np.inf).astype(np.float32), kernel)
    far = cv2.dilate(np.where(known, depth_m, 0).astype(np.float32), kernel)
    step = known & (far - near > 0.01)
    return np.where(step, np.where(depth_m - near < far - depth_m, near, far), depth_m)


def _shaded(height_m: np.ndarray, low: float, high: float) -> np.ndarray:
    """Heights (H, W) from low to high in grey, (h, PANEL_PX or more, 3) uint8 RGB."""
    shares = np.clip((np.nan_to_num(height_m) - low) / (high - low), 0, 1)
    grey = np.repeat((255 * shares).astype(np.uint8)[..., None], 3, 2)
    grey[~np.isfinite(height_m)] = HOLE
    zoom = max(-(-PANEL_PX // grey.shape[1]), 1)
    return np.repeat(np.repeat(grey, zoom, 0), zoom, 1)
