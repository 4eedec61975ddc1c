"""`insegan benchmark real`: the few real pictures that may be shipped, bins that a tilted camera
sees full and empty, and one labelled tote of equal boxes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.camera.given import given_camera
from insegan_ros.data.convert import open_dataset
from insegan_ros.data.recordings import read_depth_image
from insegan_ros.errors import DatasetError
from insegan_ros.files import shipped_folders
from insegan_ros.frame import IGNORE, Frame, Instances
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import score
from insegan_ros.picking.calibrate import Calibration, calibrate
from insegan_ros.tasks.instances import evaluate

BINS, STATES = ('tote', 'bin-0', 'bin-1'), ('empty', 'full')
# What stands so much nearer than in the empty picture is there; what differs by less, but for the
# noise, is not known.
THERE_M, NOT_THERE_M = 0.012, 0.006
METHODS = ('kmeans', 'spectral', 'graphcut', 'felzenszwalb')
BOXES = 9


def real_folder() -> Path:
    """Where the pictures lie. Raises DatasetError outside of the source tree."""
    for folder in shipped_folders('test/data/real'):
        return folder
    raise DatasetError('test/data/real is missing: expected the source tree of the package')


def bin_pictures(name: str) -> tuple[Frame, Frame]:
    """A bin as the camera sees it empty and full."""
    folder = real_folder() / 'arc'
    camera = given_camera(str(folder / f'{name}.yaml'))
    empty, full = (read_depth_image(folder / f'{name}-{state}.png', camera) for state in STATES)
    return empty, full


def true_foreground(empty: Frame, full: Frame, found: Calibration) -> Instances:
    """What is in the full bin and not in the empty one: one instance, all that cannot be compared
    ignored."""
    nearer = empty.depth_m - full.depth_m
    points = empty.points()
    labels = np.where(nearer > THERE_M, 1, 0).astype(np.uint16)
    unsure = ~np.isfinite(nearer) | ((nearer > NOT_THERE_M) & (nearer <= THERE_M))
    # A part that hides the wall may stand in the bin or hang over it: only what hides floor is
    # known.
    on_floor = np.abs(found.workspace.height_of(points)) < 0.02
    labels[unsure | ~(on_floor & found.workspace.contains(points))] = IGNORE
    return Instances(labels, np.ones(1, np.float32))


def benchmark_real(small: bool) -> list[Row]:
    """Foreground of three bins against the difference from their empty pictures, calibrated on
    these; classical methods, told the number, on one labelled tote."""
    rows: list[Row] = []
    threshold = load_segmenter('depth-threshold')
    for name in BINS:
        empty, full = bin_pictures(name)
        found, _ = calibrate([empty], in_use=True)
        truth = true_foreground(empty, full, found)
        tilt = np.degrees(np.arccos(-found.workspace.floor[2]))
        figure = partial(
            row, 'real', 'depth-threshold', name, f'1 picture, tilt {tilt:.0f} degrees', small=small
        )
        answers = {'full': full, 'empty': empty}
        masks = {
            key: threshold.segment(one, found.workspace).labels for key, one in answers.items()
        }
        told = score(truth, Instances((masks['full'] > 0).astype(np.uint16), truth.scores))
        rows.append(figure(metric='foreground_iou', value=told.foreground_iou, unit=''))
        inside = found.workspace.contains(empty.points())
        invented = float((masks['empty'] > 0).sum() / inside.sum())
        rows.append(figure(metric='foreground of the empty bin', value=invented, unit=''))
        residual = 1000 * max((found.residual_m, *found.wall_residuals_m))
        rows.append(figure(metric='largest residual of the planes', value=residual, unit='mm'))
    scenes = list(open_dataset(real_folder() / 'kpick')[1])
    for method in METHODS:
        summary = evaluate(load_segmenter(method, instances=BOXES), scenes, 1, False).summary()
        figure = partial(row, 'real', method, 'boxes', '1 picture, 9 boxes', small=small, unit='')
        for metric in ('honest_miou', 'ap50', 'foreground_iou', 'count_error'):
            rows.append(figure(metric=metric, value=float(summary[metric])))
    return rows
