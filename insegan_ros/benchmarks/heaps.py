"""`insegan benchmark hoc`: the HOC learner and its ablations on simulated heaps and on photographs,
beside methods that learn nothing, in one command that can be stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from insegan_ros.benchmarks.budgets import BenchmarkBudget, Training
from insegan_ros.benchmarks.cells import run_cells, shipped_hash, table_lines
from insegan_ros.benchmarks.rows import Row, budget_sentence, budget_suffix, table_row, write_tables
from insegan_ros.benchmarks.shipped import is_shipped
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError
from insegan_ros.files import HEAP_MODEL
from insegan_ros.frame import Modality
from insegan_ros.methods.hoc.segmenter import USUAL
from insegan_ros.methods.registry import METHODS, find_checkpoint, load_segmenter
from insegan_ros.tasks.base import machine
from insegan_ros.tasks.heaps import (
    GRIDS,
    TEST,
    TRAINING,
    Heap,
    best_baseline,
    divide_heap,
    draw_heaps,
    evaluate_heaps,
    heap_width,
    make_heaps,
    photographed_heaps,
    score_heaps,
    simulated_heaps,
    single_share,
)

MODALITIES: tuple[Modality, ...] = ('depth', 'colour', 'both')
# The learner, and less one thing each.
ABLATION: dict[str, dict[str, Any]] = {
    'hoc': {},
    'no area penalty': {'gan.area': 0.0},
    'a disk in a real patch as background': {'generator.disk': 0.31},
    "the paper's padding": {'generator.padding': 0.47},
    'masks not made binary': {'gan.binary': 0.0},
    'objects not raised': {'generator.relief': 0.0},
    'no disk as the first mask': {'generator.disk_masks': False},
    "the paper's form": {
        'generator.disk_masks': False,
        'generator.disk': 0.31,
        'generator.padding': 0.47,
        'generator.providers': 6,
        'gan.binary': 0.0,
        'generator.relief': 0.0,
    },
}
# What the colour of a heap asks for beside height: what is dark on a bright floor, and shadows.
FLAT: dict[str, Any] = {'flatten': True, 'generator.ground': True, 'generator.shadow': 0.5}
COLOUR: dict[str, dict[str, Any]] = {
    'flat with ground and shadows': FLAT,
    'flat with ground': FLAT | {'generator.shadow': 0.0},
    'flat alone': {'flatten': True},
    'ground alone': {'generator.ground': True},
    'flat with ground and shadows 64 px': FLAT | {'generator.size': 64},
}
SEEDS = (1, 2)
NUCLEI = {'generator.providers': 4}
FRUIT = 'heaps of fruit by colour'
# What simulated heaps are of, by the name of their set.
PARTS = {'heaps': 'nut', 'fruit': 'plum'}
PHOTOGRAPHED = 'pictures', 'others'
OTHERS = 'photographs that were not learnt from'
# Photographs that are learnt from, one at a time, to be judged on all the others.
LEARNT = 3


@dataclass(frozen=True, kw_only=True)
class HeapBudget(BenchmarkBudget):
    """How much of everything `insegan benchmark hoc` takes."""

    benchmark = 'hoc'
    trainings = {'hoc': Training('hoc', 'hoc')}

    heaps: int
    """Test pictures."""
    nuts: str
    """Nuts in a heap, as `instances` of SimulateConfig."""
    max_tried: int = 0
    """Sets of parameters tried for every baseline, the first ones; 0 is all."""


@dataclass(frozen=True)
class HeapCell:
    """One method on one set. `changes` of the recipe, or the name of a baseline or of a shipped
    checkpoint. learnt: number of the photograph that is learnt from, in order of name."""

    table: str
    method: str
    set: str
    modality: Modality
    changes: dict[str, Any] = field(default_factory=dict)
    baseline: str = ''
    model: str = ''
    learnt: int = 0


def cells(pictures: int) -> Iterator[HeapCell]:
    """All cells, quick ones first. pictures: how many photographs there are."""
    shipped = _shipped_modality()
    for modality in MODALITIES:
        table = f'heaps of nuts by {modality}'
        for name in GRIDS:
            yield HeapCell(table, name, 'heaps', modality, baseline=name)
        if shipped == modality:
            yield HeapCell(table, 'shipped', 'heaps', modality, model=HEAP_MODEL)
    if pictures:
        for name in GRIDS:
            yield HeapCell('photographs', name, 'pictures', 'colour', baseline=name)
        yield HeapCell('photographs', 'hoc', 'pictures', 'colour', NUCLEI)
    if pictures > LEARNT:
        for name in GRIDS:
            yield HeapCell(OTHERS, name, 'others', 'colour', baseline=name)
        for number in range(LEARNT):
            method = f'hoc learnt from photograph {number + 1}'
            yield HeapCell(OTHERS, method, 'others', 'colour', NUCLEI, learnt=number)
    for modality in MODALITIES:
        yield HeapCell(f'heaps of nuts by {modality}', 'hoc', 'heaps', modality)
    for method, changes in ABLATION.items():
        yield HeapCell('ablation by depth', method, 'heaps', 'depth', changes)
    for method, changes in COLOUR.items():
        yield HeapCell('heaps of nuts by colour', method, 'heaps', 'colour', changes)
    for name in GRIDS:
        yield HeapCell(FRUIT, name, 'fruit', 'colour', baseline=name)
    for method, changes in {'hoc': {}, **COLOUR}.items():
        yield HeapCell(FRUIT, method, 'fruit', 'colour', changes)
    yield HeapCell('heaps of nuts by both', 'flat with ground and shadows', 'heaps', 'both', FLAT)
    for seed in SEEDS:
        yield HeapCell('seeds by depth', f'hoc seed {seed}', 'heaps', 'depth', {'seed': seed})


def _shipped_modality() -> str:
    """What the shipped checkpoint looks at; empty where it is not there."""
    if not is_shipped(HEAP_MODEL):
        return ''
    return Checkpoint.load(find_checkpoint(HEAP_MODEL)).config['modality']


class HeapBenchmark:
    """The benchmark in a folder: `data`, `runs`, `results`, `pictures`, and at the end tables.json
    and tables.md. pictures: photographs with labels, or None. The first in order of name is learnt
    from, and all are judged; where there are more than LEARNT, each of the first LEARNT is learnt
    from, and all others are judged."""

    def __init__(
        self,
        folder: Path,
        budget: HeapBudget,
        pictures: Path | None = None,
        device: str = 'auto',
        threads: int = 0,
    ) -> None:
        self.folder = folder
        self.budget = budget
        self.pictures = pictures
        self.device = device
        self.threads = threads

    @property
    def photographs(self) -> Path:
        """Their folder. Raises ConfigError where none is given."""
        if self.pictures is None:
            raise ConfigError('no photographs are given: expected a folder of them')
        return self.pictures

    @cached_property
    def photographed(self) -> list[Heap]:
        """The photographs with their labels, in order of name, read once."""
        return photographed_heaps(self.photographs)

    def heaps(self, name: str) -> list[Heap]:
        """The test pictures of a set: photographs, or simulated heaps, made where they are
        missing."""
        if name in PHOTOGRAPHED:
            return self.photographed[LEARNT:] if name == 'others' else self.photographed
        return list(simulated_heaps(self._simulated(name, self.budget.heaps, TEST)))

    def _simulated(self, name: str, scenes: int, seed: int) -> Path:
        """Heaps to learn from, of the seed TRAINING, or to be judged."""
        use = 'training' if seed == TRAINING else 'test'
        folder = self.folder / 'data' / (use if name == 'heaps' else f'{use}-{name}')
        return make_heaps(scenes, seed, folder, self.budget.nuts, PARTS[name])

    def run(self, only: set[str], measured: bool = False) -> list[dict[str, Any]]:
        """The cells' results, as run_cells gives them; `only` names tables and methods. measured:
        only those that are there already."""
        return run_cells(
            'hoc',
            self.folder,
            list(cells(len(self.photographed) if self.pictures else 0)),
            ('table', 'method'),
            only,
            self._identity,
            None if measured else self._measure,
        )

    def config(self, cell: HeapCell) -> Any:
        """The configuration of a cell that is trained; objects of photographs are not measured. The
        file's votes are those of a width that is a fifth short."""
        votes = {f'votes.{name}': value for name, value in asdict(USUAL).items()}
        own = {'modality': cell.modality, 'instance_px': 0.0, **votes}
        return self.budget.config('hoc', {**own, **cell.changes})

    def _identity(self, cell: HeapCell) -> str:
        """What decides whether an earlier result of a cell still holds."""
        budget = self.budget
        decides: list[Any] = [budget.heaps, budget.nuts]
        if cell.set in PHOTOGRAPHED:
            decides = [path.name for path in sorted(self.photographs.glob('*.png'))]
        if cell.baseline:
            made: Any = budget.max_tried
        else:
            made = shipped_hash(cell.model) if cell.model else asdict(self.config(cell))
        return json.dumps([asdict(cell), budget.name, decides, made], sort_keys=True, default=str)

    def _measure(self, cell: HeapCell) -> dict[str, Any]:
        """Train if need be, divide the test pictures, score, draw."""
        heaps = self.heaps(cell.set)
        out: dict[str, Any] = {'table': cell.table, 'method': cell.method}
        out['budget'] = self.budget.name
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

    def _baseline(self, cell: HeapCell, heaps: list[Heap]) -> dict[str, Any]:
        """Scores of a baseline with the best of its parameters, and these."""
        tried = self.budget.max_tried or None
        scores, chosen = best_baseline(cell.baseline, cell.modality, heaps, tried)
        out: dict[str, Any] = {**scores, 'parameters': chosen}
        if cell.set == 'pictures':
            kind, _ = GRIDS[cell.baseline]
            segmenter = kind(modality=cell.modality, size_px=heap_width(heaps), **chosen)
            out |= {
                f'ap50 {heap.name}': evaluate_heaps(segmenter, [heap])['ap50'] for heap in heaps
            }
        return out

    def train(self, cell: HeapCell) -> Path:
        """The checkpoint of a cell's configuration, trained once for all cells that share it."""
        changes = '-'.join(f'{name}={value}' for name, value in cell.changes.items())
        learnt = f'from {cell.learnt + 1}' if cell.learnt else ''
        of = 'pictures' if cell.set in PHOTOGRAPHED else cell.set
        name = '-'.join(filter(None, [of, cell.modality, changes, learnt]))
        out = self.folder / 'runs' / name
        if (out / 'checkpoint').exists():
            return out / 'checkpoint'
        if cell.set in PHOTOGRAPHED:
            photograph = self.photographed[cell.learnt]
            image, width = self.photographs / f'{photograph.name}.png', 0.0
        else:
            image = self._simulated(cell.set, 1, TRAINING)
            width = heap_width(list(simulated_heaps(image)))
        config = self.config(cell)
        return METHODS['hoc'].run(
            replace(
                config,
                image=str(image),
                out=str(out),
                instance_px=round(width, 1),
                loop=replace(config.loop, device=self.device, threads=self.threads),
            )
        )


def as_rows(results: list[dict[str, Any]], machine: str, command: str) -> list[Row]:
    """One row a figure, as all benchmarks write them."""
    common = {'seed': TEST, 'machine': machine, 'command': command}
    out = []
    for one in results:
        table = one['table']
        part = 'cell' if table.startswith('photo') else 'plum' if table == FRUIT else 'nut'
        protocol = f'learnt from one picture{budget_suffix(one["budget"])}'
        for metric, value in one.items():
            if isinstance(value, float):
                unit = 'min' if metric == 'minutes' else ''
                out.append(table_row('hoc', one, part, protocol, metric, value, unit, **common))
    return out


def markdown(results: list[dict[str, Any]], budget: HeapBudget, machine: str) -> str:
    """All tables that there are results for."""
    lines = [
        '# Heaps, learnt from one picture',
        '',
        f'{budget_sentence(budget.name)} {machine}. Simulated heaps: one picture of'
        f' {budget.nuts.replace("-", " to ")} parts is learnt from without its masks, but'
        f' patches are cut for the width of an object in its true masks; {budget.heaps}'
        ' others are judged, parts seen by half or more. Methods that learn nothing are given the'
        ' width of an object and the best of all parameters tried, told by the truth of the very'
        ' pictures. single: share of generated objects that are one connected piece of an ordinary'
        ' area.',
        '',
    ]
    for table in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == table]
        figures = [key for one in own for key, value in one.items() if isinstance(value, float)]
        columns = [name for name in dict.fromkeys(figures) if name != 'instances']
        chosen = [f'{one["method"]}: {one["parameters"]}.' for one in own if 'parameters' in one]
        lines += [*table_lines(table, own, columns), '', *chosen, '']
    return '\n'.join(lines)


def run_hoc(
    folder: Path, budget: str, only: set[str], measured: bool = False, pictures: Path | None = None
) -> list[Row]:
    """The tables of the HOC learner in a folder, and printed; pictures: photographs with labels,
    which are measured too. A second start goes on where the first was stopped."""
    benchmark = HeapBenchmark(folder, HeapBudget.read(budget), pictures)
    results = benchmark.run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark hoc --budget {budget}')
    return write_tables(folder, rows, markdown(results, benchmark.budget, machine()))
