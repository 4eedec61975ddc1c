"""`insegan benchmark tracks`: whether parts that lie still keep their numbers from frame to frame,
also when one of them is taken."""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice

import numpy as np
from tqdm import tqdm

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.frame import Instances
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.picking.tracks import Tracker
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.base import TEST_SEED
from insegan_sim.generate import SimulateConfig
from insegan_sim.parts import Part
from insegan_sim.scenes import Setup, good_piles, photograph
from insegan_sim.world import Pile, World

# Model, part, parts in a bin, how many layers of them.
BINS = (
    ('cutpaste-nut', 'nut', '8', 0.9),
    ('cutpaste-bolt', 'bolt', '8', 0.9),
    ('piles-nut', 'nut', '40', 2.0),
)
PILES, FRAMES = 5, 20
# A part is found by a mask that shares so much with what is seen of it (intersection over union).
FOUND_IOU = 0.5


def benchmark_tracks(small: bool) -> list[Row]:
    """Rows of each kind of bin, seen by a D435 with new noise in every frame: the share of a part's
    frames, after the first in which it was found, in which it has the number that it had there; the
    same after the highest part was taken; the time of a frame."""
    rows = []
    for model, part, instances, fill in BINS[:1] if small else BINS:
        config = SimulateConfig(
            part=part, instances=instances, fill=fill, size='640x480', sensor='d435', seed=TEST_SEED
        )
        setup, segmenter = config.setup(config.parts()), load_segmenter(model)
        kept: list[bool] = []
        after: list[bool] = []
        times: list[float] = []
        with World(setup.container) as world:
            piles = good_piles(setup, world, np.random.default_rng(TEST_SEED), Counter())
            for parts, pile in tqdm(
                islice(piles, 1 if small else PILES), desc=f'tracks {model}', unit='pile'
            ):
                own = _one_pile(setup, segmenter, parts, pile, 4 if small else FRAMES)
                kept += own[0]
                after += own[1]
                times += own[2]
        for metric, value, count, unit in (
            ('keep their number', np.mean(kept), len(kept), ''),
            ('keep it when one is taken', np.mean(after), len(after), ''),
            ('processor time', np.median(times), len(times), 'ms'),
        ):
            protocol = f'{instances} parts, d435, 640x480, {count} cases'
            rows.append(row('tracks', model, part, protocol, metric, float(value), unit, small))
    return rows


def _one_pile(
    setup: Setup, segmenter: Segmenter, parts: list[Part], pile: Pile, frames: int
) -> tuple[list[bool], list[bool], list[float]]:
    """Of a pile that is photographed so often, and then once without its highest part: whether
    each part that is found has its first number, the same of the last frame, and times in ms."""
    tracker, times = Tracker(), []
    first: dict[int, int] = {}
    everything = list(range(len(parts)))
    top = int(pile.poses[:, 2, 3].argmax())
    same: list[list[bool]] = []
    for seed in range(frames + 1):
        left = [one for one in everything if seed < frames or one != top]
        rng = np.random.default_rng([TEST_SEED, seed])
        scene = photograph(setup, [parts[one] for one in left], pile.poses[left], rng)
        found = segmenter.segment(scene.frame, scene.workspace)
        begun = time.process_time()
        numbers = tracker.update(found.labels, len(found))
        times.append(1000 * (time.process_time() - begun))
        seen = _numbers_of_parts(found, numbers, scene.labelled().labels)
        now = {left[one]: number for one, number in seen.items()}
        same.append([first[one] == number for one, number in now.items() if one in first])
        first = {**now, **first}
    return [one for frame in same[:-1] for one in frame], same[-1], times


def _numbers_of_parts(found: Instances, numbers: np.ndarray, truth: np.ndarray) -> dict[int, int]:
    """The number of every part that is found, by its place among the parts; truth: their labels (H,
    W)."""
    out = {}
    for label, number in enumerate(numbers, 1):
        mask = found.labels == label
        part = int(np.bincount(truth[mask]).argmax()) if mask.any() else 0
        own = truth == part
        if part and (mask & own).sum() > FOUND_IOU * (mask | own).sum():
            out[part - 1] = int(number)
    return out
