"""The rows of `insegan benchmark insta10`: what is trained how, on which parts, and the paper's own
figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from insegan_ros.benchmarks.budgets import BenchmarkBudget, Training
from insegan_ros.errors import ConfigError, unknown
from insegan_ros.methods.registry import ready

INSTANCES = 5
# A method that has seen nothing: what others must be above.
VORONOI = 'random Voronoi partition'
SEEDS = 0, 1, 2
INSTA10 = (
    'nut',
    'stopper',
    'cylinder',
    'bolt',
    'cone',
    'connector',
    '5-pin',
    'obj01',
    'obj14',
    'obj05',
)
# Table 1 of the paper, its own protocol on scenes where K-means fails; other objects of the same
# names, so a hint and no target.
PAPER = {
    'kmeans': (0.64, 0.297, 0.7, 0.18, 0.35, 0.554, 0.628, 0.208, 0.496, 0.59),
    'spectral': (0.56, 0.36, 0.54, 0.22, 0.41, 0.56, 0.58, 0.25, 0.47, 0.57),
    'grabcut': (0.572, 0.232, 0.572, 0.472, 0.231, 0.519, 0.497, 0.597, 0.557, 0.605),
    'graphcut': (0.569, 0.1, 0.589, 0.447, 0.12, 0.476, 0.12, 0.597, 0.540, 0.511),
    'point-template': (0.45, 0.28, 0.57, 0.27, 0.33, 0.38, 0.43, 0.23, 0.44, 0.57),
    'iodine': (0.026, 0.059, 0.019, 0.040, 0.089, 0.032, 0.034, 0.058, 0.053, 0.118),
    'slot-attention': (0.375, 0.276, 0.535, 0.43, 0.68, 0.662, 0.628, 0.655, 0.622, 0.481),
    'insegan-2d': (0.215, 0.365, 0.258, 0.524, 0.435, 0.585, 0.628, 0.365, 0.286, 0.532),
    'insegan-paper': (0.773, 0.301, 0.760, 0.539, 0.47, 0.655, 0.642, 0.686, 0.591, 0.483),
}
# Means that it prints where those of its parts are others.
PRINTED_MEANS = {
    'graphcut': 0.373,
    'grabcut': 0.486,
    'point-template': 0.385,
    'slot-attention': 0.535,
}
# Table 2 of the paper, bolt and obj01 in the same protocol.
PAPERS_LOSSES = {
    'paper: OT + i + p': {'bolt': 0.424, 'obj01': 0.686},
    'paper: greedy + i + p': {'bolt': 0.383, 'obj01': 0.664},
    'paper: OT + i': {'bolt': 0.312, 'obj01': 0.360},
    'paper: OT': {'bolt': 0.303, 'obj01': 0.402},
}
# In place of the pose encoder: what the generator renders is searched; it teaches the product's
# dense network.
SEARCHED, DENSE = 'searched', 'with a dense network'
# Rows of checkpoints that come with the package: what they are called but for the part, and another
# way to run them than their own.
SHIPPED = {
    'shipped': ('cutpaste', ''),
    'shipped insegan-generator': ('insegan-generator', ''),
    f'shipped insegan-generator {SEARCHED}': ('insegan-generator', 'insegan-searched'),
    'shipped piles': ('piles', ''),
}
BASELINES = 'point-template', 'slot-attention', 'iodine'
# What may be trained longer than the other rows.
LONG = *BASELINES, 'insegan-paper', 'insegan-paper-dense'
SENSORS = {'methods': 'ideal', 'noisy': 'd435'}


def in_the_paper(table: str, set_: str, metric: str, method: str) -> dict[str, float]:
    """The paper's figures for a row of a table, by part; empty where it has none."""
    if (set_, metric) != ('hard', 'paper_miou'):
        return {}
    if table == 'losses':
        return PAPERS_LOSSES.get(method, {})
    return dict(zip(INSTA10, PAPER.get(method, ()))) if table == 'methods' else {}


class Trained(NamedTuple):
    """How a row is trained, whatever its part and seed, and run. training: of
    Insta10Budget.trainings; changes: of its configuration; segmenter: another way to run it than
    its own."""

    training: str
    changes: dict[str, Any] = {}
    segmenter: str = ''


# As a pose encoder: no dense network. As a teacher of the dense network: no pose encoder.
ENCODER: dict[str, Any] = {'offsets.steps': 0}
TEACHER: dict[str, Any] = {'factory': 'generator', 'insegan.encoder.steps': 0}
LOSSES: dict[str, dict[str, Any]] = {
    'OT + i + p': {},
    'greedy + i + p': {'insegan.encoder.alignment': 'greedy'},
    'OT + i': {'insegan.encoder.weight_pose': 0.0},
    'OT': {'insegan.encoder.weight_pose': 0.0, 'insegan.encoder.weight_intermediate': 0.0},
}
PAPERS_RECIPE = "the paper's recipe"
# The product less one thing each, and what InSeGAN's generator and its pose encoder give.
ABLATION = {
    # The same training as the first of the losses.
    PAPERS_RECIPE: Trained('insegan-paper', segmenter='insegan'),
    'product': Trained('cutpaste'),
    'votes in the plane': Trained('cutpaste', {'offsets.network.height_votes': False}),
    'no unoccluded crops': Trained('cutpaste', {'offsets.unoccluded': False}),
    'no self-training': Trained('cutpaste', {'offsets.self_training': 0}),
    'generator alone teaches': Trained('insegan', TEACHER),
    'both teach': Trained('insegan', {**TEACHER, 'factory': 'both'}),
    'generator in an alternate round': Trained('insegan', {**TEACHER, 'insegan.gan.rounds': 1}),
    'generator sees no isolated crops': Trained('insegan', {**TEACHER, 'insegan.gan.alone': 0.0}),
    'cross-entropy and instance norm': Trained(
        'insegan', {**TEACHER, 'insegan.gan.loss': 'cross_entropy'}
    ),
    'occupancy instead of features': Trained(
        'insegan', {**TEACHER, 'insegan.generator.shape': 'occupancy'}
    ),
    'pose encoder': Trained('insegan', ENCODER, 'insegan'),
    'pose encoder refined': Trained('insegan', ENCODER, 'insegan-refined'),
    'pose encoder with real images': Trained(
        'insegan', {**ENCODER, 'insegan.encoder.weight_real': 1.0}, 'insegan'
    ),
    'pose encoder aligned in z': Trained(
        'insegan', {**ENCODER, 'insegan.encoder.align_in': 'latent'}, 'insegan'
    ),
    'pose encoder on averaged features': Trained(
        'insegan',
        {
            **ENCODER,
            'insegan.generator.composition': 'average',
            'insegan.generator.placement': 'volume',
        },
        'insegan',
    ),
}


@dataclass(frozen=True, kw_only=True)
class Insta10Budget(BenchmarkBudget):
    """How much of everything `insegan benchmark insta10` takes."""

    benchmark = 'insta10'
    trainings = {
        'cutpaste': Training('cutpaste', 'cutpaste'),
        'supervised': Training('supervised'),
        'insegan': Training('insegan', 'insegan-generator'),
        'insegan-paper': Training('insegan', 'insegan-paper'),
        'insegan-paper-dense': Training('insegan', 'insegan-paper'),
        **{name: Training(name) for name in BASELINES},
    }

    parts: tuple[str, ...]
    """Parts of the tables of methods."""
    seeds: tuple[int, ...]
    """Seeds that every training is run with."""
    scenes: int
    """Training scenes a part."""
    limit: int
    """Random test scenes a part, and those on which K-means fails."""
    max_scenes: int
    """Test scenes a part that are looked at for the latter."""
    ablated: tuple[str, ...]
    """Parts of the other tables."""
    losses: tuple[str, ...] = ()
    """Parts of Table 2, where they are others than those."""
    seeded: tuple[str, ...] = ()
    """Parts on which the product is trained with all SEEDS, where the budget has fewer."""
    at_length: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Trainings of the learned baselines and of the paper's form whose rows stand there a second
    time, as `ROW at length`: what differs in these from `train`."""
    shares: tuple[int, ...]
    """Of the training scenes, one in so many: rows of Fig. 4a, beside all of them."""
    numbers: tuple[int, ...]
    """Parts in a bin that the methods are told: rows of Fig. 4b, beside the true five."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for training in self.at_length:
            if training not in LONG:
                raise unknown('training at length', training, list(LONG))
        for part in (*self.parts, *self.ablated, *self.losses, *self.seeded):
            if part not in INSTA10:
                raise unknown('part', part, list(INSTA10))
        if min(self.scenes, self.limit, self.max_scenes) < 1:
            raise ConfigError(
                f'scenes is {self.scenes}, limit {self.limit}, max_scenes {self.max_scenes}:'
                ' expected 1 or more'
            )


@dataclass(frozen=True)
class Insta10Cell:
    """One method on one part. `training` and `changes` say how it is trained; without them `model`
    is ready as it is; without both it is VORONOI. sensor: of the scenes that it is trained and
    tested on."""

    table: str
    method: str
    part: str
    seed: int = 0
    model: str = ''
    training: str = ''
    changes: dict[str, Any] = field(default_factory=dict)
    segmenter: str = ''
    sensor: str = 'ideal'


def cells(budget: Insta10Budget) -> Iterator[Insta10Cell]:
    """All cells of all tables, quick ones first."""
    for table, sensor in SENSORS.items():
        for part in budget.parts:
            for method in ready('instances'):
                yield Insta10Cell(table, method, part, model=method, sensor=sensor)
            if table == 'methods':
                yield Insta10Cell(table, VORONOI, part)
            for method, (name, way) in SHIPPED.items():
                yield Insta10Cell(
                    table, method, part, model=f'{name}-{part}', segmenter=way, sensor=sensor
                )
    for table, sensor in SENSORS.items():
        for part in budget.parts:
            for seed in budget.seeds:
                yield from _trained_cells(table, trained_methods(table, budget), part, seed, sensor)
    product = {'product': Trained('cutpaste')}
    for part in budget.seeded:
        for seed in sorted({*SEEDS} - {*budget.seeds}):
            yield from _trained_cells('methods', product, part, seed)
    studies = {
        'losses': (trained_losses(), budget.losses or budget.ablated),
        'ablation': (ABLATION, budget.ablated),
        'images': (trained_on_fewer(budget), budget.ablated),
        'number': (trained_for_numbers(budget), budget.ablated),
    }
    for seed in budget.seeds:
        for table, (rows, parts) in studies.items():
            for part in parts:
                yield from _trained_cells(table, rows, part, seed)


def _trained_cells(
    table: str, rows: dict[str, Trained], part: str, seed: int, sensor: str = 'ideal'
) -> Iterator[Insta10Cell]:
    """The rows of a table on one part."""
    for method, (training, changes, segmenter) in rows.items():
        yield Insta10Cell(
            table,
            method,
            part,
            seed,
            training=training,
            changes=changes,
            segmenter=segmenter,
            sensor=sensor,
        )


def trained_methods(table: str, budget: Insta10Budget) -> dict[str, Trained]:
    """The methods of Table 1 that learn; of noisy depth the product and its ancestors alone."""
    product = {
        'supervised': Trained('supervised'),
        'product': Trained('cutpaste'),
        'product as pose encoder': Trained('insegan', ENCODER, 'insegan'),
    }
    paper = Trained('insegan-paper')
    if table != 'methods':
        return {**product, 'insegan-paper': paper}
    # The paper's generator; its encoder compares poses, since 128 numbers cannot be read back from
    # a pose of six, and reads layouts in which parts keep each other away as in a bin.
    in_poses = paper._replace(
        changes={'insegan.encoder.align_in': 'pose', 'insegan.candidates': 30}
    )
    others = {
        **{name: Trained(name) for name in BASELINES},
        'insegan-2d': paper._replace(changes={'insegan.generator.shape': '2d'}),
        'insegan-paper': paper,
        'insegan-paper in poses': in_poses,
        'insegan-paper in poses refined': in_poses._replace(segmenter='insegan-refined'),
        f'insegan-paper {SEARCHED}': paper._replace(
            changes={'insegan.encoder.steps': 0}, segmenter='insegan-searched'
        ),
        f'insegan-paper {DENSE}': Trained('insegan-paper-dense'),
    }
    longer = {
        f'{name} at length': row._replace(changes={**budget.at_length[row.training], **row.changes})
        for name, row in others.items()
        if row.training in budget.at_length
    }
    return {**product, **others, **longer}


def trained_losses() -> dict[str, Trained]:
    """Table 2: the encoder's losses, in the paper's form and the product's."""
    common = {'insegan.encoder.alignment': 'ipot', **ENCODER}
    return {
        f'{form}: {losses}': Trained(training, {**common, **changes}, 'insegan')
        for form, training in (('paper', 'insegan-paper'), ('product', 'insegan'))
        for losses, changes in LOSSES.items()
    }


def trained_on_fewer(budget: Insta10Budget) -> dict[str, Trained]:
    """Fig. 4a: fewer training images. On all of them it is the same training as in the other
    tables."""
    out = {}
    for share in (*budget.shares, 1):
        scenes = max(budget.scenes // share, 1)
        changes = {'scenes': scenes if share > 1 else 0}
        out[f'product on {scenes} images'] = Trained('cutpaste', changes)
        out[f'paper on {scenes} images'] = Trained('insegan-paper', changes)
        out[f'paper {DENSE} on {scenes} images'] = Trained('insegan-paper-dense', changes)
    return out


def trained_for_numbers(budget: Insta10Budget) -> dict[str, Trained]:
    """Fig. 4b: another number of parts than there are in a bin."""
    out = {}
    for number in sorted({*budget.numbers, INSTANCES}):
        out[f'product with n = {number}'] = Trained('cutpaste', {'instances': number})
        changes = {'insegan.instances': number}
        out[f'paper with n = {number}'] = Trained('insegan-paper', changes)
        out[f'paper {DENSE} with n = {number}'] = Trained('insegan-paper-dense', changes)
    return out


def is_papers_form(method: str) -> bool:
    """Whether a row is of the paper's own form."""
    return method in ('insegan-2d', PAPERS_RECIPE) or method.startswith(('insegan-paper', 'paper'))
