"""`insegan benchmark foreground`: the tables of the layered GANs and the independence prior on the
simulator's totes, from data to table, in one command that can be stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import normalized_mutual_info_score

from insegan_ros.benchmarks.budgets import BenchmarkBudget, Training
from insegan_ros.benchmarks.cells import run_cells, shipped_hash, table_lines
from insegan_ros.benchmarks.rows import Row, budget_sentence, budget_suffix, table_row, write_tables
from insegan_ros.benchmarks.shipped import is_shipped
from insegan_ros.data.pictures import Pictures, View, read_pictures
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.inputs import to_tensor
from insegan_ros.methods.foreground.layered import LayeredConfig
from insegan_ros.methods.foreground.layered_recipe import LayeredGanConfig
from insegan_ros.methods.foreground.random_features import (
    KERNEL,
    NAME,
    RandomFeatures,
    frechet,
    kernel_distance,
)
from insegan_ros.methods.registry import METHODS, load_segmenter, ready
from insegan_ros.nn.augmentation import in_range
from insegan_ros.nn.discriminator import Discriminator
from insegan_ros.tasks.base import machine
from insegan_ros.tasks.foreground import (
    SCORES,
    SETS,
    evaluate_view,
    make_totes,
    mean_scores,
    restore_generator,
)

# Table, shipped checkpoint, what it looks at.
PLAIN = 'single-tote'
SHIPPED: tuple[tuple[str, str, View], ...] = (
    ('methods', 'layered-gan-tote', 'scene'),
    ('independence prior', 'independence-foreground-tote', 'box'),
)
# The independence prior: distilled, or the raw masks of its generator.
RAW = {'distillation': False}
PRIORS: dict[str, dict[str, Any]] = {
    'distilled': {},
    'raw': RAW,
    'no area penalty': {**RAW, 'gan.area': 0.0},
    # Cut at the box, masks cannot become the whole picture, which is what the penalty is there for.
    'masks beyond the box': {**RAW, 'gan.within_box': False},
    'masks beyond the box and no area penalty': {**RAW, 'gan.within_box': False, 'gan.area': 0.0},
    'dependent background': {**RAW, 'gan.background': 'dependent'},
    # More of a background than crops show around their object.
    'larger pieces of backgrounds': {**RAW, 'gan.patch': 0.5, 'gan.max_patch': 1.0},
}
# The penalty of the area, chosen on validation crops.
SWEEP: dict[str, dict[str, Any]] = {
    f'a {a:g} and lambda {weight:g}': {**RAW, 'gan.smallest': a, 'gan.area': weight}
    for a in (0.15, 0.2, 0.3, 0.35)
    for weight in (5.0, 20.0)
}
# Layered GANs, of one round where it is not said otherwise.
ONCE = {'rounds': 1}
INFORMATION: dict[str, dict[str, Any]] = {
    'gamma_mi 1': {**ONCE, 'gan.gamma_mi': 1.0},
    'gamma_mi 0': {**ONCE, 'gan.gamma_mi': 0.0},
    'mask-size loss (PerturbGAN)': {**ONCE, 'gan.gamma_mi': 0.0, 'gan.gamma_size': 2.0},
    # The paper's smallest mask is a quarter of the picture; objects here fill a tenth.
    'mask-size loss from .05': {
        **ONCE,
        'gan.gamma_mi': 0.0,
        'gan.gamma_size': 2.0,
        'gan.smallest_mask': 0.05,
    },
    **{f'gamma_mi {value:g}': {**ONCE, 'gan.gamma_mi': value} for value in (0.5, 0.1, 5.0, 10.0)},
}
# What one seed does not decide: these rows once more, of two other seeds.
INFORMATION |= {
    f'{method} seed {seed}': {**INFORMATION[method], 'seed': seed}
    for seed in (1, 2)
    for method in ('gamma_mi 1', 'gamma_mi 0', 'mask-size loss from .05')
}
CODES: dict[str, dict[str, Any]] = {
    '200 categories': {**ONCE, 'generator.codes': 200},
    # The smallest and the largest of the paper's: its entropies of 5.6 to 14.1 nats are those of 4
    # to 10 numbers. They have no groups.
    **{
        f'normal of {count} numbers': {
            **ONCE,
            'generator.prior': 'normal',
            'generator.codes': count,
            'generator.group': 1,
        }
        for count in (4, 10)
    },
    'normal of 40 numbers': {**ONCE, 'generator.prior': 'normal', 'generator.codes': 40},
    'no perturbation': {
        **ONCE,
        'perturbation.scale': (0.0, 0.0),
        'perturbation.shift': 0.0,
        'perturbation.rotation_deg': 0.0,
    },
}
# What is not in the paper: the object lies within its picture.
WITHIN: dict[str, Any] = {'gan.gamma_border': 2.0}
BORDER: dict[str, dict[str, Any]] = {
    f'{method} and gamma_border 2': {**changes, **WITHIN}
    for method, changes in {
        'gamma_mi 1': INFORMATION['gamma_mi 1'],
        'normal of 40 numbers': CODES['normal of 40 numbers'],
        'gamma_mi 5': INFORMATION['gamma_mi 5'],
        'gamma_mi 0': INFORMATION['gamma_mi 0'],
        'alternate training': {},
    }.items()
}
LAYERED: dict[str, dict[str, dict[str, Any]]] = {
    'mutual information': INFORMATION,
    # Of as many rounds as the budget has.
    'alternate training': {'with': {}, 'without': {'gan.gamma_bg': 0.0}},
    'private code': CODES,
    'within its picture': BORDER,
}


# Totes that colour does not tell from the object: rounds, mutual information, alternate training.
# Rows of as many rounds have as many steps.
SEEDS = (0, 1, 2)
PATTERNED: dict[str, dict[str, Any]] = {
    f'gamma_mi {information:g} K {rounds} {named} seed {seed}': {
        'rounds': rounds,
        'gan.gamma_mi': information,
        'gan.gamma_bg': weight,
        'seed': seed,
    }
    for seed in SEEDS
    for information in (1.0, 0.0, 0.1, 0.5)
    for rounds in (1, 2, 4)
    for named, weight in (('with', 2.0), ('without', 0.0))
    if rounds > 1 or named == 'with'
}
# The object lies within its picture; and, as the paper has it for cars, a background whose contrast
# changes by itself.
BEYOND_THE_PAPER: dict[str, dict[str, Any]] = {
    f'{named} K {rounds} seed {seed}': {'rounds': rounds, 'seed': seed, **changes}
    for seed in SEEDS
    for rounds in (1, 2, 4)
    for named, changes in (
        ('gamma_border 2', WITHIN),
        ('gamma_border 2 and contrast', WITHIN | {'perturbation.contrast': (0.6, 1.4)}),
    )
}


def shipped_foregrounds() -> list[tuple[str, str, View]]:
    """Those of SHIPPED that are there."""
    return [one for one in SHIPPED if is_shipped(one[1])]


@dataclass(frozen=True, kw_only=True)
class ForegroundBudget(BenchmarkBudget):
    """How much of everything `insegan benchmark foreground` takes."""

    benchmark = 'foreground'
    trainings = {
        'layered-gan': Training('layered-gan', 'layered-gan'),
        'independence-foreground': Training('independence-foreground', 'independence-foreground'),
        'supervised-foreground': Training('supervised-foreground'),
    }

    pictures: int
    """Training pictures; of backgrounds, half as many."""
    test: int
    """Test pictures."""


@dataclass(frozen=True)
class ForegroundCell:
    """One method. `training` and `changes` say how it is trained; without them `model` is ready as
    it is. view: whole totes, or crops around the object's box, as the independence prior has
    them. preset: of config/simulate/, what the pictures show; judged: which of SETS is scored."""

    table: str
    method: str
    model: str = ''
    training: str = ''
    changes: dict[str, Any] = field(default_factory=dict)
    view: View = 'scene'
    preset: str = PLAIN
    judged: str = 'test'


def cells() -> Iterator[ForegroundCell]:
    """All rows of all tables, quick ones first."""
    for model in ready('foreground'):
        yield ForegroundCell('methods', model, model)
    for model in ('grabcut-colour', 'kmeans-colour'):
        yield ForegroundCell('independence prior', f'{model} on crops', model, view='box')
    for table, model, view in shipped_foregrounds():
        yield ForegroundCell(table, f'shipped {model}', model, view=view)
    yield ForegroundCell('methods', 'supervised', training='supervised-foreground')
    for method, changes in PRIORS.items():
        yield ForegroundCell(
            'independence prior',
            method,
            training='independence-foreground',
            changes=changes,
            view='box',
        )
    for table, rows in LAYERED.items():
        for method, changes in rows.items():
            yield ForegroundCell(table, method, training='layered-gan', changes=changes)
    yield from _swept()
    for preset in ('patterned-tote', 'patterned-shelf'):
        yield from _patterned(preset)


def _swept() -> Iterator[ForegroundCell]:
    """The sweep of the area's penalty, scored on validation crops."""
    crops = partial(ForegroundCell, 'area on validation crops', view='box', judged='validation')
    for model in ('grabcut-colour', 'kmeans-colour'):
        yield crops(model, model)
    for method, changes in SWEEP.items():
        yield crops(method, training='independence-foreground', changes=changes)


def _patterned(preset: str) -> Iterator[ForegroundCell]:
    """Rows of totes or shelves that are printed with a pattern."""
    table = preset.replace('-', ' ')
    for model in ('grabcut-colour', 'kmeans-colour'):
        yield ForegroundCell(table, model, model, preset=preset)
    for method, changes in {**PATTERNED, **BEYOND_THE_PAPER}.items():
        yield ForegroundCell(table, method, training='layered-gan', changes=changes, preset=preset)


class ForegroundBenchmark:
    """The benchmark in a folder: `data`, `runs`, `results`, and at the end tables.json and
    tables.md."""

    def __init__(
        self, folder: Path, budget: ForegroundBudget, device: str = 'auto', threads: int = 0
    ) -> None:
        self.folder, self.budget, self.device, self.threads = folder, budget, device, threads

    @property
    def size(self) -> int:
        """Side of the training pictures in px."""
        return self.budget.config('layered-gan').size

    def data(self, name: str, preset: str = PLAIN) -> Path:
        """One of SETS, made where it is missing."""
        pictures, test = self.budget.pictures, self.budget.test
        counts = {'training': pictures, 'empty': pictures // 2}
        folder = self.folder / ('data' if preset == PLAIN else f'data/{preset}')
        return make_totes(name, counts.get(name, test), folder / name, preset)

    def run(self, only: set[str], measured: bool = False) -> list[dict[str, Any]]:
        """The rows' results, as run_cells gives them; `only` names tables and methods. measured:
        only those that are there already."""
        return run_cells(
            'foreground',
            self.folder,
            list(cells()),
            ('table', 'method'),
            only,
            self._identity,
            None if measured else self._measure,
        )

    def config(self, cell: ForegroundCell) -> Any:
        """The configuration of a cell that is trained."""
        return self.budget.config(cell.training, cell.changes)

    def _identity(self, cell: ForegroundCell) -> str:
        """What decides whether an earlier result of a cell still holds."""
        config = asdict(self.config(cell)) if cell.training else {}
        weights = shipped_hash(cell.model) if cell.method.startswith('shipped') else ''
        # As in results of earlier versions, where these were not known.
        row = asdict(cell)
        if cell.preset == PLAIN and cell.judged == 'test':
            del row['preset'], row['judged']
        decides = [row, config, self.budget.pictures, self.budget.test, weights]
        return json.dumps(decides, sort_keys=True, default=str)

    def _measure(self, cell: ForegroundCell) -> dict[str, Any]:
        """Train if need be, segment the test pictures, score."""
        model = cell.model or str(self.train(cell))
        segmenter = load_segmenter(model, device=self.device)
        context = self.budget.config('independence-foreground').context
        scores = evaluate_view(segmenter, self.data(cell.judged, cell.preset), cell.view, context)
        out = {
            'table': cell.table,
            'method': cell.method,
            'budget': self.budget.name,
            'size': self.size,
            'pictures': self.budget.pictures,
            'test': self.budget.test,
            **mean_scores(scores),
            'iou_of_each': [round(one['iou'], 4) for one in scores],
        }
        if cell.training:
            checkpoint = Checkpoint.load(model)
            out |= {
                'minutes': checkpoint.training['minutes'],
                'alarms': checkpoint.training.get('alarms', []),
            }
            if 'generator' in checkpoint.weights:
                training = self.data('training', cell.preset)
                real = read_pictures(training, self.size, limit=2000)
                out |= distances(checkpoint, real)
                # Numbers of a normal code are no clusters.
                if self.config(cell).generator.prior == 'categorical':
                    out['nmi'] = clustering(checkpoint, real)
        return out

    def train(self, cell: ForegroundCell) -> Path:
        """The checkpoint of a cell's configuration, trained once for all rows that share it."""
        config, recipe = self.config(cell), self.budget.trainings[cell.training].recipe
        values = {
            'data': str(self.data('training', cell.preset)),
            'loop': replace(config.loop, device=self.device, threads=self.threads),
        }
        if recipe == 'independence-foreground':
            values['backgrounds'] = str(self.data('empty'))
        config = replace(config, **values)
        # Rows that differ in what comes later share what comes first.
        shared: dict[str, Any] = {}
        if recipe == 'layered-gan' and config.rounds > 1:
            shared = {'rounds': 1, 'gan.gamma_bg': LayeredGanConfig().gamma_bg}
        elif recipe == 'independence-foreground' and config.distillation:
            shared = RAW
        if shared:
            first = self.train(replace(cell, changes={**cell.changes, **shared}))
            config = replace(config, begin=str(first.parent))
        text = json.dumps([recipe, asdict(config)], sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:10]
        out = self.folder / 'runs' / f'{recipe}-{key}'
        if (out / 'checkpoint').exists():
            return out / 'checkpoint'
        return METHODS[recipe].run(replace(config, out=str(out)))


@torch.no_grad()
def distances(
    checkpoint: Checkpoint, real: Pictures, count: int = 2000, seed: int = 0
) -> dict[str, float]:
    """How far generated pictures, and generated backgrounds, are from real pictures: the first
    should be small, the second large, for a background is no picture of an object. Frechet
    distances of the features that `NAME` names, and KID's estimate of the same features."""
    generator = restore_generator(checkpoint)
    features = RandomFeatures()
    truth = torch.cat(
        [features(in_range(some)) for some in to_tensor(real.images[:count]).split(128)]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = [generator.sample(100)[1] for _ in range(max(count // 100, 2))]
    images, backgrounds = (
        torch.cat([features(getattr(layers, name)) for layers in made])
        for name in ('image', 'background')
    )
    return {
        f'image {NAME}': frechet(truth, images),
        f'background {NAME}': frechet(truth, backgrounds),
        f'image {KERNEL}': kernel_distance(truth, images),
        f'background {KERNEL}': kernel_distance(truth, backgrounds),
        'mask': float(torch.cat([layers.mask for layers in made]).mean()),
    }


@torch.no_grad()
def clustering(checkpoint: Checkpoint, real: Pictures) -> float:
    """Normalised mutual information of the child code that E_x reads off real pictures and what
    they show."""
    shape = checkpoint.settings(LayeredConfig, 'generator')
    width = checkpoint.config['gan']['discriminator_width']
    reader = checkpoint.restore(
        'reader', lambda: Discriminator(width, 'spectral', 'image', shape.size, 3, shape.codes)
    )
    guesses = torch.cat(
        [
            reader.encode(reader.features(in_range(some))).argmax(1)
            for some in to_tensor(real.images).split(128)
        ]
    )
    return float(normalized_mutual_info_score(real.kinds, guesses.numpy()))


# Figures beside the scores, of rows whose generator is there.
DISTANCES = tuple(f'{one} {name}' for name in (NAME, KERNEL) for one in ('image', 'background'))
FIGURES = (*SCORES, *DISTANCES, 'mask', 'nmi', 'minutes')


def as_rows(results: list[dict[str, Any]], machine: str, command: str) -> list[Row]:
    """One row a figure, as all benchmarks write them."""
    judged, out = {cell.table: cell.judged for cell in cells()}, []
    for one in results:
        seed = SETS[judged.get(one['table'], 'test')][2]
        containers = 'shelves' if 'shelf' in one['table'] else 'totes'
        common = {'seed': seed, 'machine': machine, 'command': command}
        protocol = (
            f'{one["test"]} {containers} with unseen objects, {one["size"]} px,'
            f' {one["pictures"]} training pictures{budget_suffix(one["budget"])}'
        )
        for metric in FIGURES:
            if metric in one:
                unit, value = 'min' if metric == 'minutes' else '', round(one[metric], 4)
                out.append(
                    table_row('foreground', one, 'tote', protocol, metric, value, unit, **common)
                )
    return out


def markdown(
    results: list[dict[str, Any]], budget: ForegroundBudget, size: int, machine: str
) -> str:
    """All tables that there are results for. size: side of the training pictures in px."""
    lines = [
        '# Foreground segmenters on simulated totes',
        '',
        f'{budget_sentence(budget.name)} {machine}. One product a tote; {budget.pictures}'
        f' unlabelled training pictures of {size} px, {budget.test} test pictures of products and'
        ' totes that no training has seen, scored at 128 px within the tote, crops at 64 px. IoU'
        f' of the foreground; mIoU, mean of foreground and background. {NAME}: a Frechet distance'
        ' of the features of convolutions with fixed random weights (no ImageNet network was at'
        f' hand), small for pictures, large for backgrounds where they hold no object; {KERNEL}:'
        ' the estimate that KID makes, of the same features.',
        '',
    ]
    for table in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == table]
        columns = [name for name in FIGURES if any(name in one for one in own)]
        alarms = [f'{one["method"]}: {alarm}.' for one in own for alarm in one.get('alarms', [])]
        lines += [*table_lines(table, own, columns), '', *alarms, '']
    return '\n'.join(lines)


def run_foreground(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The tables of the foreground segmenters in a folder, and printed. A second start goes on
    where the first was stopped."""
    benchmark = ForegroundBenchmark(folder, ForegroundBudget.read(budget))
    results = benchmark.run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark foreground --budget {budget}')
    text = markdown(results, benchmark.budget, benchmark.size, machine())
    return write_tables(folder, rows, text)
