"""`insegan benchmark bins`: parts in layers, from a few to a hundred, seen by an ideal and a noisy
camera; every method on the same unseen bins."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from insegan_ros.benchmarks.budgets import BenchmarkBudget, Training
from insegan_ros.benchmarks.cells import run_cells, shipped_hash, table_lines
from insegan_ros.benchmarks.rows import Row, budget_sentence, budget_suffix, table_row, write_tables
from insegan_ros.benchmarks.shipped import is_shipped
from insegan_ros.data.scene import Scene, visible_fractions
from insegan_ros.data.shards import ShardDataset
from insegan_ros.drawing.panels import compared
from insegan_ros.files import write_png
from insegan_ros.frame import Instances
from insegan_ros.methods.registry import METHODS, load_segmenter
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.masks import honest_miou, numbered_as, score_seen, seen_summary
from insegan_ros.metrics.picks import first_pick_is_free
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.base import TEST_SEED, machine
from insegan_sim.generate import SimulateConfig, simulate

# Methods that are told the number of parts; what learns from isolated crops alone; piles of the
# part's own mesh, trained here: the ceiling of whatever reconstructs it.
TOLD, CROPS, SHIPPED, TRUE = ('kmeans', 'spectral'), 'cutpaste', 'piles', 'piles of the true mesh'
# Scenes that are drawn: those in which the fewest parts are found.
DRAWN = 3


@dataclass(frozen=True, kw_only=True)
class BinsBudget(BenchmarkBudget):
    """How much of everything `insegan benchmark bins` takes."""

    benchmark = 'bins'
    trainings = {'piles': Training('piles', 'piles')}

    parts: list[str]
    """Of the simulator's."""
    fills: list[float]
    """Layers: the share of the floor that the parts would cover side by side."""
    counts: list[int]
    """Parts in a bin."""
    sensors: list[str]
    """ideal, d435, or a YAML file."""
    scenes: int
    """Test scenes a condition."""


@dataclass(frozen=True)
class BinsCell:
    """One method on one condition."""

    part: str
    condition: str
    method: str
    fill: float
    count: int
    sensor: str

    @property
    def model(self) -> str:
        """The shipped checkpoint or the baseline that it asks for; empty for what is trained."""
        if self.method in (CROPS, SHIPPED):
            return f'{self.method}-{self.part}'
        return '' if self.method == TRUE else self.method


def cells(budget: BinsBudget) -> Iterator[BinsCell]:
    """All cells, condition by condition."""
    conditions = product(budget.sensors, budget.fills, budget.counts)
    for (sensor, fill, count), part in product(conditions, budget.parts):
        for method in (*TOLD, CROPS, SHIPPED, TRUE):
            name = f'{count} parts fill {fill:g} {Path(sensor).stem}'
            yield BinsCell(part, name, method, fill, count, sensor)


class BinsBenchmark:
    """The benchmark in a folder: `data`, `runs`, `results`, `pictures`, and at the end tables.json
    and tables.md."""

    def __init__(self, folder: Path, budget: BinsBudget) -> None:
        self.folder, self.budget = folder, budget

    def run(self, only: set[str], measured: bool = False) -> list[dict[str, Any]]:
        """The cells' results, as run_cells gives them; `only` names parts, conditions and
        methods."""
        return run_cells(
            'bins',
            self.folder,
            list(cells(self.budget)),
            ('part', 'condition', 'method'),
            only,
            self._identity,
            None if measured else self._measure,
        )

    def scenes(self, cell: BinsCell) -> list[Scene]:
        """The test scenes of a condition, made where they are missing."""
        config = SimulateConfig(
            part=cell.part,
            instances=str(cell.count),
            fill=cell.fill,
            sensor=cell.sensor,
            scenes=self.budget.scenes,
            seed=TEST_SEED,
            out=str(self.folder / 'data' / f'{cell.part}-{cell.condition}'.replace(' ', '-')),
        )
        return list(ShardDataset(simulate(config)))

    def _identity(self, cell: BinsCell) -> str:
        """What decides whether an earlier result of a cell still holds."""
        made = (
            asdict(self._training(cell.part)) if cell.method == TRUE else shipped_hash(cell.model)
        )
        return json.dumps([asdict(cell), self.budget.scenes, made], sort_keys=True, default=str)

    def _training(self, part: str) -> Any:
        """The configuration of a training on piles of a part's true mesh."""
        config = self.budget.config('piles', {'piles.part': part})
        out = str(self.folder / 'runs' / part)
        return replace(config, out=out, loop=replace(config.loop, device='auto', threads=0))

    def _segmenter(self, cell: BinsCell) -> Segmenter | None:
        """What a cell asks for; None for a checkpoint that is not shipped."""
        if cell.method == TRUE:
            return load_segmenter(str(METHODS['piles'].run(self._training(cell.part))))
        if cell.method in (CROPS, SHIPPED) and not is_shipped(cell.model):
            return None
        return load_segmenter(cell.model, instances=cell.count)

    def _measure(self, cell: BinsCell) -> dict[str, Any] | None:
        """Train if need be, segment the test scenes, score, draw."""
        segmenter = self._segmenter(cell)
        if segmenter is None:
            return None
        scenes, seconds = self.scenes(cell), list[float]()
        found = list[Instances]()
        for scene in scenes:
            begun = time.perf_counter()
            found.append(segmenter.segment(scene.frame, scene.workspace))
            seconds.append(time.perf_counter() - begun)
        path = self.folder / 'pictures' / f'{cell.part}-{cell.condition}-{cell.method}.png'
        draw_hardest(scenes, found, path)
        figures = measure(scenes, found, segmenter.scales.part_area_m2)
        return {
            'table': cell.condition,
            'method': cell.method,
            'part': cell.part,
            'budget': self.budget.name,
            **{name: round(value, 4) for name, value in figures.items()},
            'ms': round(1000 * float(np.median(seconds)), 1),
        }


def measure(
    scenes: list[Scene], found: list[Instances], part_area_m2: float = 0.0
) -> dict[str, float]:
    """What is said of a method on labelled scenes: seen_summary's figures, `honest_miou` over all
    visible parts, average precision, and `first_pick_free`, the share of scenes in which the part
    that would be picked first is truly free."""
    truths = [scene.labelled() for scene in scenes]
    seen = [
        score_seen(truth, visible_fractions(truth), one.labels) for truth, one in zip(truths, found)
    ]
    honest = [honest_miou(truth.labels, one.labels) for truth, one in zip(truths, found)]
    picks = [
        first_pick_is_free(scene, one, part_area_m2=part_area_m2)
        for scene, one in zip(scenes, found)
    ]
    free = [pick for pick in picks if pick is not None]
    return {
        **seen_summary(seen),
        'honest_miou': float(np.mean(honest)),
        **average_precision(truths, found),
        'first_pick_free': float(np.mean(free)) if free else float('nan'),
    }


def draw_hardest(scenes: list[Scene], found: list[Instances], path: Path) -> None:
    """The scenes in which the fewest of the parts that are half seen are found: depth, masks,
    truth."""

    def share(scene: Scene, one: Instances) -> float:
        truth = scene.labelled()
        ious = score_seen(truth, visible_fractions(truth), one.labels).ious
        return float((ious >= 0.5).mean()) if len(ious) else 1.0

    path.parent.mkdir(parents=True, exist_ok=True)
    shares = [share(scene, one) for scene, one in zip(scenes, found)]
    columns = []
    for index in sorted(range(len(scenes)), key=shares.__getitem__)[:DRAWN]:
        truth = scenes[index].labelled().labels
        labels = numbered_as(truth, found[index].labels)
        depth_m = scenes[index].frame.depth_m
        columns.append(compared(f'{shares[index]:.2f}', depth_m, labels, truth))
    write_png(path, np.hstack(columns))


COLUMNS = (
    'seen_miou',
    'found50',
    'found75',
    'precision',
    'honest_miou',
    'ap50',
    'ap75',
    'first_pick_free',
    'ms',
)


def as_rows(results: list[dict[str, Any]], machine: str, command: str) -> list[Row]:
    """One row a figure, as all benchmarks write them."""
    common = {'seed': TEST_SEED, 'machine': machine, 'command': command}
    return [
        table_row(
            'bins',
            one,
            one['part'],
            one['table'] + budget_suffix(one['budget']),
            name,
            one[name],
            'ms' if name == 'ms' else '',
            **common,
        )
        for one in results
        for name in COLUMNS
        if name in one
    ]


def means(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean of every method over the parts of one condition that it was measured on, and how
    many these are."""
    out = []
    for method in dict.fromkeys(one['method'] for one in results):
        own = [one for one in results if one['method'] == method]
        mean = {name: float(np.mean([one[name] for one in own])) for name in COLUMNS}
        out.append({'method': f'{method} ({len(own)} parts)', **mean})
    return out


def markdown(results: list[dict[str, Any]], budget: BinsBudget, machine: str) -> str:
    """A table a condition: means over the parts, then every part."""
    lines = [
        '# Bins of any fill',
        '',
        (
            f'{budget_sentence(budget.name)} {machine}. {budget.scenes} unseen bins a condition.'
            ' seen_miou, found50 and found75 are of the parts of which half or more is seen: mean'
            ' IoU, matched one to one, and shares with an IoU of .5 and .75; precision is the share'
            ' of what is found that is a part; honest_miou is over all visible parts, slivers too.'
            ' K-means and spectral clustering are told the number of parts.'
        ),
        '',
    ]
    for condition in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == condition]
        lines += [*table_lines(condition, means(own), COLUMNS), '']
        each = [{**one, 'method': f'{one["part"]}, {one["method"]}'} for one in own]
        lines += [*table_lines(f'{condition}, every part', each, COLUMNS), '']
    return '\n'.join(lines)


def run_bins(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The tables in a folder, and printed. A second start goes on where the first was stopped."""
    benchmark = BinsBenchmark(folder, BinsBudget.read(budget))
    results = benchmark.run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark bins --budget {budget}')
    return write_tables(folder, rows, markdown(results, benchmark.budget, machine()))
