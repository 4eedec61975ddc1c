"""`insegan benchmark hoc`: the HOC learner and its ablations on simulated heaps and on photographs,
beside methods that learn nothing, in one command that can be stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tqdm import tqdm

from insegan_ros.benchmarks.cells import run_cells, shipped_hash, table_lines
from insegan_ros.benchmarks.changes import changed
from insegan_ros.data.heap import Look
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.files import HEAP_MODEL, shipped_file
from insegan_ros.methods.baselines.heaps import (
    ClustersSegmenter,
    RegionsSegmenter,
    TemplateSegmenter,
    WatershedSegmenter,
)
from insegan_ros.methods.hoc.generator import HocConfig, HocGenerator
from insegan_ros.methods.hoc.labels import are_single, draw_masks
from insegan_ros.methods.hoc.recipe import HocGanConfig, TrainHocConfig, train_hoc
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.offsets.network import DisplacementConfig
from insegan_ros.offsets.stage import DisplacementTrainConfig
from insegan_ros.tasks.heaps import (
    Heap,
    divide_heap,
    draw_heaps,
    evaluate_heaps,
    photographed_heaps,
    score_heaps,
    simulated_heaps,
)
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig, simulate

# Seeds of the simulated heaps: one is learnt from, others are judged.
TRAINING, TEST = 1, 2
NUTS = '150-250'
SCORES = ('ap25', 'ap50', 'ap75', 'honest_miou', 'count_error', 'count_error_share')

# Everything that is tried for a baseline; the best by the truth of the very pictures is quoted.
GRIDS: dict[str, tuple[type, dict[str, tuple[Any, ...]]]] = {
    'watershed': (
        WatershedSegmenter,
        {
            'on': ('distance', 'picture'),
            'spacing': (0.25, 0.4, 0.55),
            'smoothing': (0.04, 0.1, 0.2),
        },
    ),
    'felzenszwalb': (
        RegionsSegmenter,
        {'scale': (10.0, 30.0, 100.0, 300.0), 'sigma': (0.5, 1.0, 2.0)},
    ),
    'template': (TemplateSegmenter, {'least': (0.3, 0.4, 0.5, 0.6)}),
    'kmeans': (ClustersSegmenter, {'value': (0.3, 1.0, 3.0)}),
}


@dataclass(frozen=True)
class Budget:
    """How much of everything."""

    name: str
    heaps: int
    nuts: str
    recipe: TrainHocConfig


def _budget(
    name: str, heaps: int, nuts: str, size: int, width: int, gan: int, batch: int, dense: int
) -> Budget:
    displacement = DisplacementTrainConfig(
        DisplacementConfig(8 if name == 'small' else 24, height_votes=False),
        steps=dense,
        rounds=0,
        batch=min(batch, 16),
    )
    return Budget(
        name,
        heaps,
        nuts,
        TrainHocConfig(
            generator=HocConfig(size=size, width=width),
            gan=HocGanConfig(steps=gan, batch=batch),
            displacement=displacement,
        ),
    )


BUDGETS = {
    # Every row in minutes: it shows that all of it runs, not how good it is.
    'small': _budget('small', 1, '80-100', 32, 8, 3, 2, 3),
    # Half an hour a row on two cores.
    'medium': _budget('medium', 8, NUTS, 32, 16, 3000, 8, 1000),
    # The paper's size, for a GPU.
    'full': _budget('full', 20, NUTS, 64, 32, 40_000, 32, 6000),
}


@dataclass(frozen=True)
class Cell:
    """One method on one set. `changes` of the recipe, or the name of a baseline or of a shipped
    checkpoint."""

    table: str
    method: str
    set: str
    look: Look
    changes: dict[str, Any] = field(default_factory=dict)
    baseline: str = ''
    model: str = ''


def cells(pictures: bool) -> Iterator[Cell]:
    """All cells, quick ones first. pictures: whether there are photographs."""
    shipped = shipped_file(f'checkpoints/{HEAP_MODEL}', 'card.json')
    for look in ('depth', 'colour', 'both'):
        for name in GRIDS:
            yield Cell(f'heaps of nuts by {look}', name, 'heaps', look, baseline=name)
        if shipped and json.loads(shipped.read_text()).get('look') == look:
            yield Cell(f'heaps of nuts by {look}', 'shipped', 'heaps', look, model=HEAP_MODEL)
    if pictures:
        for name in GRIDS:
            yield Cell('photographs', name, 'pictures', 'colour', baseline=name)
        yield Cell('photographs', 'hoc', 'pictures', 'colour', {'generator.providers': 4})
    for look in ('depth', 'colour', 'both'):
        yield Cell(f'heaps of nuts by {look}', 'hoc', 'heaps', look)
    for changes, method in (
        ({}, 'hoc'),
        ({'gan.area': 0.0}, 'no area penalty'),
        ({'generator.disk': 0.31}, 'a disk in a real patch as background'),
        ({'generator.padding': 0.47}, "the paper's padding"),
        ({'gan.binary': 0.0}, 'masks not made binary'),
        ({'generator.relief': 0.0}, 'objects not raised'),
    ):
        yield Cell('ablation by depth', method, 'heaps', 'depth', changes)


class HocBenchmark:
    """The benchmark in a folder: `data`, `runs`, `results`, `pictures`, and at the end tables.json
    and tables.md. pictures: photographs with labels, of which the first in order of name is learnt
    from, or None."""

    def __init__(
        self,
        folder: Path,
        budget: Budget,
        pictures: Path | None = None,
        device: str = 'auto',
        threads: int = 0,
    ) -> None:
        self.folder, self.budget, self.pictures, self.device, self.threads = (
            folder,
            budget,
            pictures,
            device,
            threads,
        )

    def heaps(self, name: str) -> list[Heap]:
        """The test pictures of a set."""
        return (
            photographed_heaps(self.pictures)
            if name == 'pictures'
            else list(
                simulated_heaps(
                    make_heaps(self.budget.heaps, TEST, self.folder / 'data/test', self.budget.nuts)
                )
            )
        )

    def run(self, only: set[str], measured: bool = False) -> list[dict[str, Any]]:
        """The cells' results, see run_cells; `only` names tables and methods. measured: only those
        that are there already."""
        names = [path.name for path in sorted(self.pictures.glob('*.png'))] if self.pictures else []

        def identity(cell: Cell) -> str:
            budget = self.budget
            decides = names if cell.set == 'pictures' else [budget.heaps, budget.nuts]
            trained = (
                shipped_hash(cell.model)
                if cell.model
                else ''
                if cell.baseline
                else asdict(budget.recipe)
            )
            return json.dumps(
                [asdict(cell), budget.name, decides, trained], sort_keys=True, default=str
            )

        return run_cells(
            'hoc',
            self.folder,
            list(cells(self.pictures is not None)),
            ('table', 'method'),
            only,
            identity,
            None if measured else self._measure,
        )

    def _measure(self, cell: Cell) -> dict[str, Any]:
        out = {'table': cell.table, 'method': cell.method, 'budget': self.budget.name}
        heaps = self.heaps(cell.set)
        if cell.baseline:
            return out | self._baseline(cell, heaps)
        model = cell.model or str(self.train(cell))
        segmenter = load_segmenter(model, device=self.device)
        found = [divide_heap(segmenter, heap) for heap in heaps]
        path = self.folder / 'pictures' / f'{cell.table}-{cell.method}.png'.replace(' ', '-')
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_heaps(heaps, found, path, segmenter.needs_colour)
        checkpoint = Checkpoint.load(find_checkpoint(model))
        out |= score_heaps(heaps, found) | {
            'single': single_share(checkpoint),
            'minutes': checkpoint.training['minutes'],
        }
        if cell.set == 'pictures':
            out |= {
                f'ap50 {heap.name}': score_heaps([heap], [one])['ap50']
                for heap, one in zip(heaps, found)
            }
        return out

    def _baseline(self, cell: Cell, heaps: list[Heap]) -> dict[str, Any]:
        scores, chosen = best_baseline(
            cell.baseline, cell.look, heaps, 2 if self.budget.name == 'small' else None
        )
        out = scores | {'parameters': chosen}
        if cell.set == 'pictures':
            segmenter = GRIDS[cell.baseline][0](look=cell.look, size_px=heap_width(heaps), **chosen)
            out |= {
                f'ap50 {heap.name}': evaluate_heaps(segmenter, [heap])['ap50'] for heap in heaps
            }
        return out

    def train(self, cell: Cell) -> Path:
        """The checkpoint of a cell's configuration, trained once for all cells that share it."""
        if cell.set == 'pictures':
            first = self.heaps('pictures')[0]
            image, width = self.pictures / f'{first.name}.png', 0.0
        else:
            image = make_heaps(1, TRAINING, self.folder / 'data/training', self.budget.nuts)
            width = heap_width(list(simulated_heaps(image)))
        config = replace(
            changed(self.budget.recipe, cell.changes),
            image=str(image),
            look=cell.look,
            instance_px=round(width, 1),
            loop=replace(self.budget.recipe.loop, device=self.device, threads=self.threads),
        )
        name = '-'.join(
            [cell.set, cell.look, *(f'{key}={value}' for key, value in cell.changes.items())]
        )
        out = self.folder / 'runs' / name
        return (
            out / 'checkpoint'
            if (out / 'checkpoint').exists()
            else train_hoc(replace(config, out=str(out)))
        )


def best_baseline(
    name: str, look: Look, heaps: list[Heap], most: int | None = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores and parameters of one of GRIDS that are best (AP50) on these very heaps: told by the
    truth, which is more than ours is. most: try only so many."""
    kind, grid = GRIDS[name]
    # Depth is bright where it is near; whether the objects of a photograph are bright or dark is
    # part of what is tried.
    tried = [
        dict(zip(grid, values)) | {'dark': dark}
        for values in product(*grid.values())
        for dark in ((False,) if look == 'depth' else (False, True))
    ][:most]
    width = heap_width(heaps)
    scored = [
        (evaluate_heaps(kind(look=look, size_px=width, **parameters), heaps), parameters)
        for parameters in tqdm(tried, desc=name, leave=False)
    ]
    return max(scored, key=lambda pair: pair[0]['ap50'])


def make_heaps(scenes: int, seed: int, out: Path, nuts: str = NUTS) -> Path:
    """Heaps of nuts by the shipped preset, or what is missing of them."""
    preset = yaml.safe_load(shipped_file('config/simulate', 'heap.yaml').read_text())
    if 'jitter' in preset:
        preset['jitter'] = Jitter(**preset['jitter'])
    return simulate(
        SimulateConfig(
            **{
                **preset,
                'scenes': scenes,
                'instances': nuts,
                'seed': seed,
                'out': str(out),
                'shard_scenes': 1,
                'workers': 1,
            }
        )
    )


def heap_width(heaps: list[Heap]) -> float:
    """About how wide the judged objects of these pictures are, in px: what a user measures with a
    ruler on the screen, here by the larger masks."""
    areas = np.concatenate([np.bincount(heap.labels.ravel())[1:] for heap in heaps])
    return float(np.sqrt(np.percentile(areas[areas > 0], 75) / 0.7))


def restore_hoc_generator(checkpoint: Checkpoint) -> HocGenerator:
    """The generator of a checkpoint, in evaluation mode."""
    config = checkpoint.config
    return checkpoint.restore(
        'generator',
        HocGenerator(
            HocConfig(**config['generator']), {'depth': 1, 'colour': 3, 'both': 4}[config['look']]
        ),
    ).eval()


def single_share(checkpoint: Checkpoint, count: int = 500, seed: int = 0) -> float:
    """The share of generated objects that are one: one connected piece of an ordinary area."""
    generator = restore_hoc_generator(checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return round(float(are_single(draw_masks(generator, count).numpy()).mean()), 4)


def as_rows(results: list[dict[str, Any]], machine: str, command: str) -> list[dict[str, Any]]:
    """One row a figure, as all benchmarks write them."""
    out = []
    for one in results:
        small = '' if one['budget'] == 'full' else f' ({one["budget"]} budget)'
        for metric, value in one.items():
            if isinstance(value, float):
                out.append(
                    {
                        'benchmark': 'hoc',
                        'table': one['table'],
                        'method': one['method'],
                        'part': 'cell' if one['table'] == 'photographs' else 'nut',
                        'protocol': f'learnt from one picture{small}',
                        'metric': metric,
                        'value': value,
                        'unit': 'min' if metric == 'minutes' else '',
                        'seed': TEST,
                        'reference': '',
                        'machine': machine,
                        'command': command,
                    }
                )
    return out


def markdown(results: list[dict[str, Any]], budget: Budget, machine: str) -> str:
    """All tables that there are results for."""
    lines = [
        '# Heaps, learnt from one picture',
        '',
        f'Budget **{budget.name}**'
        + ('.' if budget.name == 'full' else ': a shrunken run, not the figures of the full one.')
        + f' {machine}. Simulated heaps: one picture of {budget.nuts.replace("-", " to ")} nuts is'
        f' learnt from without a label, {budget.heaps} others are judged, parts seen by half or'
        ' more. Methods that learn nothing are given the width of an object and the best of all'
        ' parameters tried, told by the truth of the very pictures. single: share of generated'
        ' objects that are one connected piece of an ordinary area.',
        '',
    ]
    for table in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == table]
        columns = [
            name
            for name in dict.fromkeys(
                key for one in own for key, value in one.items() if isinstance(value, float)
            )
            if name != 'instances'
        ]
        lines += table_lines(table, own, columns)
        lines += [
            '',
            *(f'{one["method"]}: {one["parameters"]}.' for one in own if 'parameters' in one),
            '',
        ]
    return '\n'.join(lines)
