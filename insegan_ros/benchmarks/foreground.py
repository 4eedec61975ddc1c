"""`insegan benchmark foreground`: the tables of the layered GANs and the independence prior on the
simulator's totes, from data to table, in one command that can be stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from sklearn.metrics import normalized_mutual_info_score
from tqdm import tqdm

from insegan_ros.benchmarks.cells import run_cells, shipped_hash, table_lines
from insegan_ros.benchmarks.changes import changed
from insegan_ros.data.pictures import Pictures, View, read_pictures
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import WEIGHTS, Checkpoint
from insegan_ros.engine.run import to_tensor
from insegan_ros.files import shipped_file
from insegan_ros.methods.foreground.independence_recipe import (
    IndependenceGanConfig,
    TrainIndependenceConfig,
)
from insegan_ros.methods.foreground.layered import LayeredConfig, LayeredGenerator
from insegan_ros.methods.foreground.layered_recipe import LayeredGanConfig, TrainLayeredGanConfig
from insegan_ros.methods.foreground.random_features import NAME, RandomFeatures, frechet
from insegan_ros.methods.foreground.stage import ForegroundTrainConfig, TrainForegroundConfig
from insegan_ros.methods.recipes import RECIPES
from insegan_ros.methods.registry import FOREGROUND, load_segmenter
from insegan_ros.metrics.masks import foreground_scores
from insegan_ros.nn.augmentation import in_range
from insegan_ros.nn.discriminator import Discriminator
from insegan_ros.nn.perturbation import PerturbationConfig
from insegan_ros.tasks.segmenter import Segmenter
from insegan_ros.workspace import TRAINING_MARGIN
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig, simulate

# Parts, instances and seed of the sets: objects and totes of the test set are in no training.
SETS = {
    'training': ('product-0:200', '1', 1),
    'empty': ('product-0:200', '0-1', 5),
    'test': ('product-800:900', '1', 2),
}
# Table, shipped checkpoint, what it looks at.
SHIPPED = (
    ('methods', 'layered-gan-tote', 'scene'),
    ('independence prior', 'independence-foreground-tote', 'box'),
)
# Sides of test pictures. Crops of the preset's pictures are smaller than the pictures: enlarged
# ones would show nothing more.
TEST_PX = {'scene': 128, 'box': 64}
SCORES = ('iou', 'miou', 'acc', 'ari', 'msc')


def shipped() -> list[tuple[str, str, View]]:
    """Those of SHIPPED that are there."""
    return [one for one in SHIPPED if shipped_file(f'checkpoints/{one[1]}', WEIGHTS)]


def make_totes(name: str, scenes: int, out: Path) -> Path:
    """One of SETS by the shipped preset, or what is missing of it."""
    part, instances, seed = SETS[name]
    preset = yaml.safe_load(shipped_file('config/simulate', 'single-tote.yaml').read_text())
    own = {
        'part': part,
        'instances': instances,
        'seed': seed,
        'scenes': scenes,
        'out': str(out),
        'shard_scenes': min(100, scenes),
    }
    return simulate(SimulateConfig(**{**preset, 'jitter': Jitter(**preset['jitter']), **own}))


@dataclass(frozen=True)
class Budget:
    """How much of everything."""

    name: str
    pictures: int
    test: int
    layered: TrainLayeredGanConfig
    independence: TrainIndependenceConfig
    supervised: TrainForegroundConfig


def _budget(
    name: str,
    pictures: int,
    test: int,
    size: int,
    gan: int,
    unet: int,
    rounds: int,
    width: int,
    batch: int,
    snapshots: int,
    codes: int = 50,
) -> Budget:
    student = ForegroundTrainConfig(steps=unet, batch=batch, validate_every=max(unet // 4, 1))
    layered = TrainLayeredGanConfig(
        rounds=rounds,
        generator=LayeredConfig(size=size, width=width, codes=codes),
        gan=LayeredGanConfig(steps=gan, batch=batch, snapshots=snapshots),
        unet=student,
    )
    independence = TrainIndependenceConfig(
        size=size,
        view='box',
        context=1.3,
        gan=IndependenceGanConfig(steps=max(gan // 2, 1), batch=2 * batch),
        student=student,
    )
    return Budget(
        name, pictures, test, layered, independence, TrainForegroundConfig(size=size, unet=student)
    )


BUDGETS = {
    # Every row in minutes: it shows that all of it runs, not how good it is.
    'small': _budget('small', 60, 6, 32, 2, 2, 2, 8, 4, 2),
    # Four hours on two cores.
    'medium': _budget('medium', 6000, 300, 32, 4000, 600, 2, 16, 16, 500),
    # The papers' size, for a GPU.
    'full': _budget('full', 20_000, 1000, 64, 30_000, 4000, 5, 64, 32, 2000, 200),
}


@dataclass(frozen=True)
class Row:
    """One method. `recipe` and `config` say how it is trained; without them `model` is ready as it
    is. view: whole totes, or crops around the object's box, as the independence prior has them."""

    table: str
    method: str
    model: str = ''
    recipe: str = ''
    config: Any = None
    view: View = 'scene'


def rows(budget: Budget) -> Iterator[Row]:
    """All rows of all tables, quick ones first."""
    for model in FOREGROUND:
        yield Row('methods', model, model=model)
    for model in ('grabcut-colour', 'kmeans-colour'):
        yield Row('independence prior', f'{model} on crops', model=model, view='box')
    for table, model, view in shipped():
        yield Row(table, f'shipped {model}', model=model, view=view)
    yield Row('methods', 'supervised', recipe='supervised-foreground', config=budget.supervised)
    for changes, method in (
        ({}, 'distilled'),
        ({'distillation': False}, 'raw'),
        ({'distillation': False, 'gan.area': 0.0}, 'no area penalty'),
        ({'distillation': False, 'gan.background': 'dependent'}, 'dependent background'),
    ):
        yield Row(
            'independence prior',
            method,
            recipe='independence-foreground',
            config=changed(budget.independence, changes),
            view='box',
        )
    one = replace(budget.layered, rounds=1)
    for changes, method in (
        ({'gan.gamma_mi': 1.0}, 'gamma_mi 1'),
        ({'gan.gamma_mi': 0.0}, 'gamma_mi 0'),
        ({'gan.gamma_mi': 0.0, 'gan.gamma_size': 2.0}, 'mask-size loss (PerturbGAN)'),
        *(({'gan.gamma_mi': value}, f'gamma_mi {value:g}') for value in (0.5, 0.1, 5.0, 10.0)),
    ):
        yield Row('mutual information', method, recipe='layered-gan', config=changed(one, changes))
    yield Row('alternate training', 'with', recipe='layered-gan', config=budget.layered)
    yield Row(
        'alternate training',
        'without',
        recipe='layered-gan',
        config=changed(budget.layered, {'gan.gamma_bg': 0.0}),
    )
    for changes, method in (
        ({'generator.codes': 200}, '200 categories'),
        ({'generator.prior': 'normal', 'generator.codes': 40}, 'normal of 40 numbers'),
        (
            {
                'perturbation.scale': (0.0, 0.0),
                'perturbation.shift': 0.0,
                'perturbation.rotation_deg': 0.0,
            },
            'no perturbation',
        ),
    ):
        yield Row('private code', method, recipe='layered-gan', config=changed(one, changes))


class ForegroundBenchmark:
    """The benchmark in a folder: `data`, `runs`, `results`, and at the end tables.json and
    tables.md."""

    def __init__(
        self, folder: Path, budget: Budget, device: str = 'auto', threads: int = 0
    ) -> None:
        self.folder, self.budget, self.device, self.threads = folder, budget, device, threads

    def data(self, name: str) -> Path:
        """One of SETS, made where it is missing."""
        count = (
            self.budget.test
            if name == 'test'
            else self.budget.pictures // (2 if name == 'empty' else 1)
        )
        return make_totes(name, count, self.folder / 'data' / name)

    def run(self, only: set[str], measured: bool = False) -> list[dict[str, Any]]:
        """The rows' results, see run_cells; `only` names tables and methods. measured: only those
        that are there already."""

        def identity(row: Row) -> str:
            weights = shipped_hash(row.model) if row.method.startswith('shipped') else ''
            return json.dumps(
                [asdict(row), self.budget.pictures, self.budget.test, weights],
                sort_keys=True,
                default=str,
            )

        return run_cells(
            'foreground',
            self.folder,
            list(rows(self.budget)),
            ('table', 'method'),
            only,
            identity,
            None if measured else self._measure,
        )

    def _measure(self, row: Row) -> dict[str, Any]:
        model = row.model or str(self.train(row))
        segmenter = load_segmenter(model, device=self.device)
        scores = evaluate_view(
            segmenter, self.data('test'), row.view, self.budget.independence.context
        )
        out = {
            'table': row.table,
            'method': row.method,
            'budget': self.budget.name,
            'size': self.budget.layered.size,
            'pictures': self.budget.pictures,
            'test': self.budget.test,
            **mean_scores(scores),
            'iou_of_each': [round(one['iou'], 4) for one in scores],
        }
        if row.recipe:
            checkpoint = Checkpoint.load(model)
            out |= {
                'minutes': checkpoint.training['minutes'],
                'alarms': checkpoint.training.get('alarms', []),
            }
            if 'generator' in checkpoint.weights:
                real = read_pictures(self.data('training'), self.budget.layered.size, most=2000)
                out |= distances(checkpoint, real)
                out['nmi'] = clustering(checkpoint, real)
        return out

    def train(self, row: Row) -> Path:
        """The checkpoint of a row's configuration, trained once for all rows that share it."""
        values = {
            'data': str(self.data('training')),
            'loop': replace(row.config.loop, device=self.device, threads=self.threads),
        }
        if row.recipe == 'independence-foreground':
            values['backgrounds'] = str(self.data('empty'))
        config = replace(row.config, **values)
        # Rows that differ in what comes later share what comes first.
        shared: dict[str, Any] = {}
        if row.recipe == 'layered-gan' and config.rounds > 1:
            shared = {'rounds': 1, 'gan.gamma_bg': LayeredGanConfig().gamma_bg}
        elif row.recipe == 'independence-foreground' and config.distillation:
            shared = {'distillation': False}
        if shared:
            config = replace(
                config,
                begin=str(self.train(replace(row, config=changed(row.config, shared))).parent),
            )
        key = hashlib.sha256(
            json.dumps([row.recipe, asdict(config)], sort_keys=True, default=str).encode()
        ).hexdigest()[:10]
        out = self.folder / 'runs' / f'{row.recipe}-{key}'
        return (
            out / 'checkpoint'
            if (out / 'checkpoint').exists()
            else RECIPES[row.recipe][1](replace(config, out=str(out)))
        )


def evaluate_view(
    segmenter: Segmenter, test: Path, view: View, context: float
) -> list[dict[str, float]]:
    """Scores of every test scene, as the node would see it, or as a crop around the object's
    box."""
    if view == 'scene':
        return evaluate_foreground(segmenter, ShardDataset(test))
    return score_pictures(
        segmenter, read_pictures(test, TEST_PX['box'], 'box', context, truth=True)
    )


def score_pictures(segmenter: Any, pictures: Pictures) -> list[dict[str, float]]:
    """Scores of a PictureSegmenter on every picture of a set with masks."""
    return [
        foreground_scores(mask, segmenter.foreground(image) > 0.5)
        for image, mask in zip(pictures.images, pictures.masks)
    ]


def mean_scores(scores: list[dict[str, float]]) -> dict[str, float]:
    """Means over pictures."""
    return {name: round(float(np.mean([one[name] for one in scores])), 4) for name in SCORES}


def evaluate_foreground(segmenter: Segmenter, scenes: Iterable[Scene]) -> list[dict[str, float]]:
    """Scores of every scene, within its bin; where a scene has none, of the whole picture."""
    out = []
    for scene in tqdm(scenes, desc='evaluate', unit='scene', leave=False):
        segmenter.workspace = scene.workspace
        found = segmenter.segment(scene.frame).labels > 0
        truth = scene.labelled().labels > 0
        if scene.workspace is not None:
            left, top, right, bottom = scene.workspace.window(
                scene.frame.intrinsics, TRAINING_MARGIN
            )
            found, truth = found[top:bottom, left:right], truth[top:bottom, left:right]
        out.append(foreground_scores(truth, found))
    return out


@torch.no_grad()
def distances(
    checkpoint: Checkpoint, real: Pictures, count: int = 2000, seed: int = 0
) -> dict[str, float]:
    """How far generated pictures, and generated backgrounds, are from real pictures: the first
    should be small, the second large, for a background is no picture of an object. Frechet
    distances of the features that `NAME` names."""
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
        'mask': float(torch.cat([layers.mask for layers in made]).mean()),
    }


def restore_generator(checkpoint: Checkpoint) -> LayeredGenerator:
    """The layered generator of a checkpoint."""
    return checkpoint.restore(
        'generator',
        LayeredGenerator(
            LayeredConfig(**checkpoint.config['generator']),
            PerturbationConfig(**_tuples(checkpoint.config['perturbation'])),
        ),
    )


@torch.no_grad()
def clustering(checkpoint: Checkpoint, real: Pictures) -> float:
    """Normalised mutual information of the child code that E_x reads off real pictures and what
    they show."""
    shape = LayeredConfig(**checkpoint.config['generator'])
    reader = checkpoint.restore(
        'reader',
        Discriminator(
            checkpoint.config['gan']['discriminator_width'],
            'spectral',
            'image',
            shape.size,
            3,
            shape.codes,
        ),
    )
    guesses = torch.cat(
        [
            reader.read(reader.body(in_range(some))).argmax(1)
            for some in to_tensor(real.images).split(128)
        ]
    )
    return float(normalized_mutual_info_score(real.kinds, guesses.numpy()))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that they were."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def as_rows(results: list[dict[str, Any]], machine: str, command: str) -> list[dict[str, Any]]:
    """One row a figure, as all benchmarks write them."""
    out = []
    for one in results:
        small = '' if one['budget'] == 'full' else f' ({one["budget"]} budget)'
        protocol = (
            f'{one["test"]} totes with unseen objects, {one["size"]} px, {one["pictures"]} training'
            f' pictures{small}'
        )
        for metric in (*SCORES, f'image {NAME}', f'background {NAME}', 'nmi', 'minutes'):
            if metric in one:
                out.append(
                    {
                        'benchmark': 'foreground',
                        'table': one['table'],
                        'method': one['method'],
                        'part': 'tote',
                        'protocol': protocol,
                        'metric': metric,
                        'value': round(one[metric], 4),
                        'unit': 'min' if metric == 'minutes' else '',
                        'seed': SETS['test'][2],
                        'reference': '',
                        'machine': machine,
                        'command': command,
                    }
                )
    return out


def markdown(results: list[dict[str, Any]], budget: Budget, machine: str) -> str:
    """All tables that there are results for."""
    lines = [
        '# Foreground segmenters on simulated totes',
        '',
        f'Budget **{budget.name}**'
        + ('.' if budget.name == 'full' else ': a shrunken run, not the figures of the full one.')
        + f' {machine}. One product a tote; {budget.pictures} unlabelled training pictures of'
        f' {budget.layered.size} px, {budget.test} test pictures of products and totes that no'
        ' training has seen, scored at 128 px within the tote, crops at 64 px. IoU of the'
        f' foreground; mIoU, mean of foreground and background. {NAME}: a Frechet distance of the'
        ' features of convolutions with fixed random weights (no ImageNet network was at hand),'
        ' small for pictures, large for backgrounds where they hold no object.',
        '',
    ]
    for table in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == table]
        columns = [
            name
            for name in (*SCORES, f'image {NAME}', f'background {NAME}', 'mask', 'nmi', 'minutes')
            if any(name in one for one in own)
        ]
        lines += table_lines(table, own, columns)
        lines += [
            '',
            *(f'{one["method"]}: {alarm}.' for one in own for alarm in one.get('alarms', [])),
            '',
        ]
    return '\n'.join(lines)
