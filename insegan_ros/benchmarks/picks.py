"""`insegan benchmark picks`: whether the part that would be picked first is truly free, and what
finding picks takes."""

from __future__ import annotations

import time
from functools import partial
from itertools import islice, product
from typing import get_args

import numpy as np
from tqdm import tqdm

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.benchmarks.shipped import shipped_parts
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.picks import first_pick_is_free
from insegan_ros.picking.pick import Gripper
from insegan_ros.picking.picks import PickConfig, Surface, bin_state, rank_picks
from insegan_ros.tasks.base import TEST_SEED
from insegan_ros.workspace import resolve_workspace
from insegan_sim.scenes import bin_setup, scene_stream

GRIPPERS: tuple[Gripper, ...] = get_args(Gripper)


def benchmark_picks(small: bool) -> list[Row]:
    """Share of simulated bins (those that hold a truly free part) in which the first pick is of a
    free part, with perfect masks and with the shipped checkpoints', for both grippers; time of the
    picks of a frame, as the node makes them, at the RealSense's size."""
    rows = []
    for name in shipped_parts():
        figure = partial(row, 'picks', part=name, small=small)
        for (gripper, method), free in first_picks(name, 5 if small else 100).items():
            rows.append(
                figure(
                    method=method,
                    protocol=f'{len(free)} bins with a free part, {gripper}',
                    metric='first pick truly free',
                    value=float(np.mean(free)),
                    unit='',
                )
            )
        for gripper in GRIPPERS:
            rows.append(
                figure(
                    method='picks',
                    protocol=f'640x480, {gripper}',
                    metric='median time',
                    value=float(np.median(pick_times(name, gripper, 3 if small else 10))),
                    unit='ms',
                )
            )
    return rows


def first_picks(name: str, scenes: int) -> dict[tuple[str, str], list[bool]]:
    """(gripper, what made the masks) -> whether the first pick is of a truly free part, for every
    bin that holds one."""
    segmenter, setup = load_segmenter(f'cutpaste-{name}'), bin_setup(name, seed=TEST_SEED)
    free: dict[tuple[str, str], list[bool]] = {}
    for scene in tqdm(islice(scene_stream(setup), scenes), desc=f'picks {name}', unit='scene'):
        masks = {
            'true masks': scene.labelled(),
            f'cutpaste-{name}': segmenter.segment(scene.frame, scene.workspace),
        }
        for gripper, (method, found) in product(GRIPPERS, masks.items()):
            first = first_pick_is_free(
                scene, found, PickConfig(gripper=gripper), segmenter.scales.part_area_m2
            )
            if first is not None:
                free.setdefault((gripper, method), []).append(first)
    return free


def pick_times(name: str, gripper: Gripper, scenes: int, repeats: int = 3) -> list[float]:
    """Times in ms of all picks of a 640x480 frame whose true masks are known."""
    config, times = PickConfig(gripper=gripper), []
    setup = bin_setup(name, seed=TEST_SEED, realsense=(640, 480))
    for scene in islice(scene_stream(setup), scenes):
        workspace = resolve_workspace(scene.workspace, scene.frame)
        for _ in range(repeats):
            begun = time.perf_counter()
            surface = Surface(scene.frame, workspace)
            bin_state(surface, rank_picks(surface, scene.labelled(), config), config)
            times.append(1000 * (time.perf_counter() - begun))
    return times
