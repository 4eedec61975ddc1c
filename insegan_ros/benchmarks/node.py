"""`insegan benchmark node`: what the node's worker spends on a frame, with the shipped checkpoints
and with methods that learn nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any

import numpy as np

from insegan_ros.benchmarks.foreground import shipped_foregrounds
from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.benchmarks.shipped import is_shipped, shipped_parts
from insegan_ros.data.scene import Scene
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.files import HEAP_MODEL
from insegan_ros.frame import Instances
from insegan_ros.methods.foreground.segmenter import ForegroundSegmenter
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.picking.picks import Pick, Surface, rank_picks
from insegan_ros.tasks.base import TEST_SEED
from insegan_ros.workspace import resolve_workspace
from insegan_sim.generate import SimulateConfig
from insegan_sim.scenes import bin_setup, scene_stream

# What the frames of bins are like: the simulated RealSense's (width, height), or the data sets'
# camera.
CAMERAS = {'640x480': (640, 480), '224x224': None}


def benchmark_node(small: bool) -> list[Row]:
    """Time of `segment` on frames of bins with five parts and with forty in layers, on a heap and
    on a bin of several kinds, and of the foreground methods on a picture of one product."""
    rows = []
    for name, (size, realsense) in product(shipped_parts(), CAMERAS.items()):
        setup = bin_setup(name, seed=TEST_SEED, realsense=realsense)
        scenes = list(islice(scene_stream(setup), 5))
        for model in (f'cutpaste-{name}', 'kmeans'):
            rows += _segmenting(model, scenes, name, f'segment {size}', small)
    return (
        rows + _deep_rows(small) + _foreground_rows(small) + _heap_rows(small) + _class_rows(small)
    )


def _deep_rows(small: bool) -> list[Row]:
    """The shipped networks for deep bins on PyTorch and on whatever the node chooses here, and
    what their picks take."""
    rows = []
    for name in shipped_parts():
        if not is_shipped(model := f'piles-{name}'):
            continue
        config = SimulateConfig(part=name, instances='40', fill=2.0, size='640x480', seed=TEST_SEED)
        scenes = list(islice(scene_stream(config.setup(config.parts())), 1 if small else 3))
        frames = [(scene.frame, scene.workspace) for scene in scenes]
        protocol = 'forty parts, fill 2, 640x480'
        for runtime in ('torch', 'auto'):
            segmenter = load_segmenter(model, device='cpu', runtime=runtime)
            chosen = f', auto ({segmenter.runtime})' if runtime == 'auto' else ', torch'
            rows += _timed(segmenter.segment, frames, model, name, protocol + chosen, small)
        found = [segmenter.segment(*frame) for frame in frames]
        calls = list(zip(scenes, found))
        rows += _timed(_picks, calls, 'picks', name, protocol, small)
    return rows


def _picks(scene: Scene, found: Instances) -> list[Pick]:
    """Where to take what was found, as the node asks for it."""
    return rank_picks(Surface(scene.frame, resolve_workspace(scene.workspace, scene.frame)), found)


def _foreground_rows(small: bool) -> list[Row]:
    """The shipped foreground methods on a 128x128 picture, at the side that they were trained at
    and with the network at 128, GrabCut beside them."""
    picture = _scene(part='product-0', instances='1', container='tote', fill=0.15, size='128')
    rows = []
    learnt = product((model for _, model, _ in shipped_foregrounds()), (0, 128))
    for model, side in (*learnt, ('grabcut-colour', 0)):
        segmenter: Any = _network_at(model, side) if side else load_segmenter(model)
        protocol = 'foreground 128x128' + (', network at 128' if side else '')
        calls = [(picture.frame.colour,)]
        rows += _timed(segmenter.foreground, calls, model, 'tote', protocol, small)
    return rows


def _network_at(model: str, side: int) -> ForegroundSegmenter:
    """A foreground checkpoint whose network sees pictures of another side, in px, than in its
    training."""
    checkpoint = Checkpoint.load(find_checkpoint(model))
    return ForegroundSegmenter(replace(checkpoint, config={**checkpoint.config, 'size': side}))


def _heap_rows(small: bool) -> list[Row]:
    """The shipped HOC learner, and baselines, on a 640x480 picture of a heap of a hundred nuts."""
    scene = _scene(part='nut', instances='100', fill=2.2, size='640x480')
    models = ([HEAP_MODEL] if is_shipped(HEAP_MODEL) else []) + [
        'watershed-heap',
        'felzenszwalb-heap',
    ]
    protocol = 'heap of 100, 640x480'
    return [one for model in models for one in _segmenting(model, [scene], 'nut', protocol, small)]


def _class_rows(small: bool) -> list[Row]:
    """The shipped masks with classes on a 640x480 picture of a bin of several kinds."""
    scene = _scene(part='nut,bolt,cone', instances='5', fill=0.4, size='640x480')
    models = [model for model in ('irnet-mixed', 'ccgr-mixed') if is_shipped(model)]
    protocol = 'five parts of three kinds, 640x480'
    return [
        one for model in models for one in _segmenting(model, [scene], 'mixed', protocol, small)
    ]


def _scene(**values: Any) -> Scene:
    """One test scene with colour. values: of SimulateConfig."""
    config = SimulateConfig(**values, colour=True, seed=TEST_SEED)
    return next(scene_stream(config.setup(config.parts())))


def _segmenting(
    model: str, scenes: Sequence[Scene], part: str, protocol: str, small: bool
) -> list[Row]:
    """Rows of `segment` on scenes in turn, their workspaces given."""
    calls = [(scene.frame, scene.workspace) for scene in scenes]
    return _timed(load_segmenter(model).segment, calls, model, part, protocol, small)


def _timed(
    work: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    model: str,
    part: str,
    protocol: str,
    small: bool,
) -> list[Row]:
    """Rows of the median and the 99th percentile of what `work` takes in ms, and of its median
    processor time, which other processes lengthen less. calls: its arguments, used in turn, after
    once each that is not counted."""
    for arguments in calls:
        work(*arguments)
    times, used = [], []
    for index in range(20 if small else 100):
        begun, before = time.perf_counter(), time.process_time()
        work(*calls[index % len(calls)])
        times.append(1000 * (time.perf_counter() - begun))
        used.append(1000 * (time.process_time() - before))
    figures = {
        'median': float(np.median(times)),
        'p99': float(np.percentile(times, 99)),
        'median processor time': float(np.median(used)),
    }
    return [
        row('node', model, part, protocol, metric, value, 'ms', small)
        for metric, value in figures.items()
    ]
