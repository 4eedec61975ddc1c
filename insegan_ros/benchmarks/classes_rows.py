"""What `insegan benchmark weak` measures: its budgets, its trainings, the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from insegan_ros.benchmarks.budgets import BenchmarkBudget, Training

# The shipped checkpoints, by method.
SHIPPED = {'irnet': 'irnet-mixed', 'ccgr': 'ccgr-mixed'}
HELD_OUT = 'held-out pictures'
# Seeds of crowded bins and of what learns from them; 2 is that of pictures that are held out.
CROWDED_SEEDS = (1, 3, 4)
# (what is measured, how) of every row of the tables.
Rows = dict[str, tuple[str, dict[str, Any]]]
LABEL_ROWS: Rows = {
    'CAM': ('labels', {'boundaries': False, 'displacements': False}),
    'CAM + boundary': ('labels', {'displacements': False}),
    'CAM + boundary + displacement': ('labels', {}),
    'CAM + boundary + displacement + dense CRF': ('labels', {'crf': True}),
}
SEMANTIC_ROWS: Rows = {
    of + ' + dense CRF' * crf: ('semantic', {'of': of, 'crf': crf})
    for of in ('CAM', 'AffinityNet', 'IRNet')
    for crf in (False, True)
}
# CCGR's Table 3 as the paper has it: masks are the score maps cut at the box, no dense CRF, and
# without the multiple instance branch there is no refinement either.
_PAPER = {'reach': 1.0, 'crf': False}
TABLE_3_ROWS: Rows = {
    "no MIL in the paper's form": ('first_round', {'choose': 'semantic', 'steps': 0, **_PAPER}),
    "no CCGR in the paper's form": ('first_round', {'steps': 0, **_PAPER}),
    "CCGR in the paper's form": ('first_round', _PAPER),
}
FIRST_ROUND_ROWS: Rows = {
    'no MIL': ('first_round', {'choose': 'semantic'}),
    'no CCGR': ('first_round', {'steps': 0}),
    'CCGR with the gap as printed': ('first_round', {'gap': 'printed'}),
    'CCGR without dense CRF': ('first_round', {'crf': False}),
    'CCGR with masks cut at the box': ('first_round', {'reach': 1.0}),
    'CCGR in principal axes': ('first_round', {'axes': 'principal'}),
    'CCGR begun from attention': ('first_round', {'run': 'ccgr-attention'}),
    "CCGR on the ceiling's region proposals": ('first_round', {'run': 'ccgr-network'}),
    'CCGR': ('first_round', {}),
    **TABLE_3_ROWS,
}
# The rows of the paper's own Table 3, the same with our masks, and in principal axes.
CROWDED_ROWS: Rows = TABLE_3_ROWS | {
    name: FIRST_ROUND_ROWS[name] for name in ('no MIL', 'no CCGR', 'CCGR in principal axes', 'CCGR')
}
OTHER_ROWS: Rows = {
    'IRNet': ('others', {'of': 'irnet'}),
    'CCGR': ('others', {'of': 'ccgr'}),
    'supervised': ('others', {'of': 'supervised'}),
}
CLASS_ROWS: Rows = {
    'IRNet DeepLab': ('classes', {'of': 'deeplab'}),
    'IRNet union of masks': ('classes', {'of': 'irnet'}),
    'CCGR union of masks': ('classes', {'of': 'ccgr'}),
    'supervised union of masks': ('classes', {'of': 'supervised'}),
}
WALK_ROWS: Rows = {f'{side}x{side}': ('walk', {'side': side}) for side in (64, 128)}


@dataclass(frozen=True)
class Trained:
    """A training's run. training: of the budget; changes: what it differs in; begun: the run that
    it stands on, and shared: the files and folders that it takes over from that."""

    training: str
    changes: dict[str, Any] = field(default_factory=dict)
    begun: str = ''
    shared: tuple[str, ...] = ()


_RELATIONS = ('class_maps', 'cams', 'relations')
_FIRST_LABELS = (*_RELATIONS, 'semantic')
_BRANCHES = (
    *_FIRST_LABELS,
    'affinity_net.state.safetensors',
    'proposals',
    'semantic-1.state.safetensors',
    'boxes-1.state.safetensors',
)
# Runs by their folders. All stand on IRNet's classifier.
TRAINED = {
    'irnet': Trained('irnet'),
    'deeplab': Trained(
        'irnet',
        {'final': 'semantic'},
        'irnet',
        (*_RELATIONS, 'labels', 'labels.json', 'irnet.state.safetensors'),
    ),
    'ccgr': Trained('ccgr', {}, 'irnet', _RELATIONS),
    # The first semantic labels are where attention is high.
    'ccgr-attention': Trained(
        'ccgr', {'begin_from': 'attention'}, 'ccgr', (*_RELATIONS, 'proposals')
    ),
    # Proposals of the region proposal network that the ceiling's true masks have taught: more than
    # image-level labels.
    'ccgr-network': Trained('ccgr', {}, 'ccgr', (*_FIRST_LABELS, 'semantic-1.state.safetensors')),
    # As many steps of Mask R-CNN as all rounds together, on the labels of the first.
    'ccgr-one-labels': Trained(
        'ccgr',
        {'relabel': False},
        'ccgr',
        (*_BRANCHES, 'labels-1.json', 'mask_rcnn-1.state.safetensors'),
    ),
    'supervised': Trained('supervised-masks', {}, 'irnet'),
}


@dataclass(frozen=True, kw_only=True)
class ClassesBudget(BenchmarkBudget):
    """How much of everything `insegan benchmark weak` takes."""

    benchmark = 'weak'
    trainings = {
        'irnet': Training('irnet', 'irnet'),
        'ccgr': Training('ccgr', 'ccgr'),
        'supervised-masks': Training('supervised-masks'),
    }

    training: int
    """Training pictures."""
    test: int
    """Held-out pictures; of other bins, half as many."""
    judged: int
    """Training pictures, the first ones, whose pseudo-labels are held against the truth."""
    parts: str = ''
    """Kinds of parts, separated by commas; the shipped preset's ten if empty."""


@dataclass(frozen=True)
class ClassesCell:
    """One row. `what` names what is measured, `options` how; crowded: the seed of the crowded bins
    in which it is, 0 for those of all other tables."""

    table: str
    method: str
    what: str
    options: dict[str, Any] = field(default_factory=dict)
    crowded: int = 0


def cells(rounds: int) -> Iterator[ClassesCell]:
    """All rows, in the papers' order; rounds: of CCGR."""
    numbers = range(1, rounds)
    held_out: Rows = {
        'CAM boxes': ('cam_boxes', {}),
        'CAM': ('cam', {}),
        'PRM': ('prm', {}),
        'IRNet': ('irnet', {}),
        **{f'CCGR round {number}': (f'ccgr-round-{number}', {}) for number in numbers},
        'CCGR': ('ccgr', {}),
        **{
            f"CCGR round {number} on the first round's labels": (
                f'ccgr-one-labels-round-{number}',
                {},
            )
            for number in numbers[1:]
        },
        "CCGR on the first round's labels": ('ccgr-one-labels', {}),
        'supervised': ('supervised', {}),
    }
    tables: dict[str, Rows] = {
        'instance pseudo-labels of training pictures (IRNet table 1)': LABEL_ROWS,
        'semantic pseudo-labels of training pictures (IRNet table 2)': SEMANTIC_ROWS,
        'pseudo-labels of the first round (CCGR table 3)': FIRST_ROUND_ROWS,
        HELD_OUT: held_out,
        'other bins by inference alone': OTHER_ROWS,
        'classes of held-out pictures': CLASS_ROWS,
        'random walk of 256 steps on 8 channels': WALK_ROWS,
    }
    for table, rows in tables.items():
        for method, (what, options) in rows.items():
            yield ClassesCell(table, method, what, options)
    for seed in CROWDED_SEEDS:
        table = f'pseudo-labels of the first round in crowded bins of seed {seed} (CCGR table 3)'
        for method, (what, options) in CROWDED_ROWS.items():
            yield ClassesCell(table, method, what, options, seed)
    for method, model in SHIPPED.items():
        yield ClassesCell(HELD_OUT, f'shipped {method}', 'shipped', {'model': model})
