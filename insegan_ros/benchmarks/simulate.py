"""`insegan benchmark simulate`: how fast the simulator makes labelled scenes, and how still and how
far apart its parts lie."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardInfo, pack_shard
from insegan_ros.files import write_whole
from insegan_ros.tasks.base import TEST_SEED
from insegan_sim.engines import run_jobs
from insegan_sim.generate import simulate_shard
from insegan_sim.parts import PARTS
from insegan_sim.scenes import Setup, bin_setup, photograph, simulate_scene
from insegan_sim.world import Pile, World

# Scenes of a shard, and the number of scenes that the projection is for (the paper's data set).
SHARD_SCENES, PROJECTED_SCENES = 100, 100_000


@dataclass
class Timing:
    """What some scenes of a part took. seconds: by stage; penetration_m, speed_m_s: the largest of
    all scenes, of parts at rest; size: bytes of all scenes."""

    scenes: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(('physics', 'rendering', 'writing'), 0.0)
    )
    penetration_m: float = 0.0
    speed_m_s: float = 0.0
    size: int = 0

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())


def benchmark_simulate(small: bool) -> list[Row]:
    """Labelled 224x224 scenes a second on one core, one row a part, with the shares of physics,
    rendering and writing, the resting speed and the interpenetration; what a second process gains;
    time and disk of the paper's 100,000 scenes."""
    timings = {name: time_scenes(name, 20 if small else 300) for name in PARTS}
    rows = [one for name, timing in timings.items() for one in _rows_of(name, timing, small)]
    gain = gain_of_two(20 if small else 150)
    scene_s = np.mean([timing.total / timing.scenes for timing in timings.values()])
    scene_bytes = np.mean([timing.size / timing.scenes for timing in timings.values()])
    figure = partial(row, 'simulate', small=small)
    scenes, source = f'{PROJECTED_SCENES:,} scenes', 'from the rows above'
    hours = float(PROJECTED_SCENES * scene_s / gain / 3600)
    gigabytes = float(PROJECTED_SCENES * scene_bytes / 1e9)
    two, one = 'two processes against one', 'one process in the same run'
    return [
        *rows,
        figure('joblib', 'nut', two, 'speed', gain, 'x', reference=one),
        figure(
            'projection',
            'all ten',
            f'{scenes}, two processes',
            'time',
            hours,
            'h',
            reference=source,
        ),
        figure('projection', 'all ten', scenes, 'disk', gigabytes, 'GB', reference=source),
    ]


def _rows_of(name: str, timing: Timing, small: bool) -> list[Row]:
    """The rows of one part."""
    figure = partial(row, 'simulate', 'pybullet + embree', name, small=small)
    protocol, scenes = '5 parts, 224x224, one process', f'{timing.scenes} scenes'
    return [
        figure(protocol, 'scenes', timing.scenes / timing.total, '1/s'),
        *(
            figure(protocol, f'share of {stage}', seconds / timing.total, '')
            for stage, seconds in timing.seconds.items()
        ),
        figure(scenes, 'deepest interpenetration', 1000 * timing.penetration_m, 'mm'),
        figure(scenes, 'fastest point at rest', 1000 * timing.speed_m_s, 'mm/s'),
    ]


def time_scenes(name: str, count: int) -> Timing:
    """Make `count` scenes of a part in this process and write them, stage by stage on the clock."""
    setup = bin_setup(name, seed=TEST_SEED)
    timing, unwritten = Timing(), list[Scene]()
    with World(setup.container) as world, tempfile.TemporaryDirectory() as folder:
        # The first one is slower.
        simulate_scene(setup, world, count)
        for index in tqdm(range(count), desc=f'simulate {name}', unit='scene'):
            rng, begun = np.random.default_rng([TEST_SEED, index]), time.perf_counter()
            pile = _drop(setup, world, rng)
            dropped = time.perf_counter()
            parts = list(setup.parts * setup.count[0])
            unwritten.append(photograph(setup, parts, pile.poses, rng, index))
            seen = time.perf_counter()
            if len(unwritten) == SHARD_SCENES or index == count - 1:
                content = pack_shard(unwritten, ShardInfo(setup.classes, TEST_SEED, 0))
                write_whole(Path(folder) / f'{index}.h5', content)
                timing.size += len(content)
                unwritten.clear()
            timing.scenes += 1
            timing.seconds['physics'] += dropped - begun
            timing.seconds['rendering'] += seen - dropped
            timing.seconds['writing'] += time.perf_counter() - seen
            timing.penetration_m = max(timing.penetration_m, pile.penetration_m)
            timing.speed_m_s = max(timing.speed_m_s, pile.speed_m_s)
    return timing


def _drop(setup: Setup, world: World, rng: np.random.Generator) -> Pile:
    """A pile at rest; one that is refused, which World.drop gives a reason for, is dropped anew."""
    while True:
        pile = world.drop(setup.parts * setup.count[0], rng)
        if not isinstance(pile, str):
            return pile


def gain_of_two(scenes: int) -> float:
    """How many times as many scenes a second two processes make as one does, both warm: imports and
    start-up are not what a long run waits for. scenes: of each process."""
    setup = bin_setup('nut', seed=TEST_SEED)
    rates = []
    for workers in (1, 2):
        warm = {number: (setup, range(1), 'full') for number in range(2 * workers)}
        list(run_jobs('local', simulate_shard, warm, workers))
        jobs = {
            number: (setup, range(number * scenes, (number + 1) * scenes), 'full')
            for number in range(workers)
        }
        begun = time.perf_counter()
        list(run_jobs('local', simulate_shard, jobs, workers))
        rates.append(workers * scenes / (time.perf_counter() - begun))
    return rates[1] / rates[0]
