"""The one registry of benchmarks: each by its name, what it measures, in which budgets, and what
runs it. Their modules are imported when they are run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insegan_ros.errors import ConfigError, unknown

if TYPE_CHECKING:
    from insegan_ros.benchmarks.rows import Row


@dataclass(frozen=True)
class Benchmark:
    """help: one line for people. run: `module:function`, below insegan_ros.benchmarks. budgets:
    those that it knows. keeps: whether it keeps data, trainings and results in a folder, so that a
    second start goes on; such a function takes (folder, budget, only, measured), any other whether
    the budget is the small one. pictures: whether it takes photographs too."""

    help: str
    run: str
    budgets: tuple[str, ...] = ('small', 'full')
    keeps: bool = False
    pictures: bool = False

    @property
    def function(self) -> Callable[..., list[Row]]:
        """What `run` names."""
        module, name = self.run.split(':')
        return getattr(importlib.import_module(f'insegan_ros.benchmarks.{module}'), name)


def _kept(help_: str, run: str, pictures: bool = False) -> Benchmark:
    return Benchmark(help_, run, ('small', 'medium', 'full'), True, pictures)


BENCHMARKS: dict[str, Benchmark] = {
    'simulate': Benchmark(
        'labelled scenes a second, and how still their parts lie', 'simulate:benchmark_simulate'
    ),
    'node': Benchmark('time of a frame, for all that is shipped', 'node:benchmark_node'),
    'shipped': Benchmark(
        'the shipped checkpoints on unseen simulated bins', 'shipped:benchmark_shipped'
    ),
    'poses': Benchmark(
        'how exact poses are that are registered to a mesh', 'poses:benchmark_poses'
    ),
    'shape': _kept(
        'how close meshes that are reconstructed from unlabelled depth come to the parts',
        'shape:run_shape',
    ),
    'picks': Benchmark('whether the first pick is of a free part', 'picks:benchmark_picks'),
    'carrier': Benchmark(
        'how far a bin must move to be reported as moved', 'carrier:benchmark_carrier'
    ),
    'tracks': Benchmark(
        'whether parts that lie still keep their numbers', 'tracks:benchmark_tracks'
    ),
    'real': Benchmark('the few real pictures that may be shipped', 'real:benchmark_real'),
    'train': Benchmark("what a step of the paper's training costs", 'train_speed:benchmark_train'),
    'insta10': _kept("the InSeGAN paper's tables", 'insta10:run_insta10'),
    'bins': _kept('parts in layers, from a few to a hundred', 'bins:run_bins'),
    'foreground': _kept(
        'the tables of layered GANs and the independence prior', 'foreground:run_foreground'
    ),
    'hoc': _kept('heaps, learnt from one picture', 'heaps:run_hoc', pictures=True),
    'weak': Benchmark(
        'masks with classes from image-level labels',
        'classes:run_weak',
        ('small', 'short', 'medium', 'full'),
        True,
    ),
}


def run_benchmark(
    name: str,
    budget: str,
    out: Path | None = None,
    only: Collection[str] = (),
    measured: bool = False,
    pictures: Path | None = None,
) -> list[Row]:
    """Run a benchmark and print its tables; returns the rows.

    The others are for those that keep a folder. out: it, runs/NAME if left out; one that was begun
    is continued. only: tables, methods and parts that are measured, all if empty. measured: tell
    what has been measured in it, and measure nothing. pictures: photographs with labels, for hoc.
    Raises ConfigError for names that are unknown, and for what a benchmark does not take.
    """
    if name not in BENCHMARKS:
        raise unknown('benchmark', name, list(BENCHMARKS))
    benchmark = BENCHMARKS[name]
    if budget not in benchmark.budgets:
        *others, last = benchmark.budgets
        raise ConfigError(
            f'benchmark {name} has the budgets {", ".join(others)} and {last}: expected one of'
            f' these, not {budget}'
        )
    if pictures and not benchmark.pictures:
        able = ', '.join(one for one, other in BENCHMARKS.items() if other.pictures)
        raise ConfigError(f'benchmark {name} takes no --pictures: expected it only with {able}')
    if benchmark.keeps:
        options: dict[str, Any] = {'pictures': Path(pictures)} if pictures else {}
        return benchmark.function(
            Path(out or f'runs/{name}'), budget, set(only), measured, **options
        )
    if out or only or measured:
        keeping = ', '.join(one for one, other in BENCHMARKS.items() if other.keeps)
        raise ConfigError(
            f'benchmark {name} keeps no folder and is measured whole: expected --json FILE for its'
            f' rows; --out, --only and --measured are for {keeping}'
        )
    from insegan_ros.benchmarks.rows import print_rows

    rows = benchmark.function(budget == 'small')
    print_rows(rows)
    return rows
