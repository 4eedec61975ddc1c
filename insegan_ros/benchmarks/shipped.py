"""`insegan benchmark shipped`: which checkpoints come with the package, and how well those for one
part tell parts apart."""

from __future__ import annotations

from functools import partial

from insegan_ros.benchmarks.rows import Row, row
from insegan_ros.engine.checkpoint import WEIGHTS
from insegan_ros.files import shipped_file
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.tasks.instances import evaluate_simulated
from insegan_sim.parts import PARTS

SETS = {'': 'random scenes', '_hard': 'scenes on which K-means fails'}
METRICS = ('honest_miou', 'paper_miou', 'foreground_iou', 'count_error')


def is_shipped(model: str) -> bool:
    """Whether a checkpoint of this name comes with the package."""
    return shipped_file(f'checkpoints/{model}', WEIGHTS) is not None


def shipped_parts() -> list[str]:
    """The parts for which there is a shipped checkpoint."""
    return [name for name in PARTS if is_shipped(f'cutpaste-{name}')]


def benchmark_shipped(small: bool) -> list[Row]:
    """The shipped checkpoints on unseen simulated bins: random ones and those on which K-means
    fails, both protocols."""
    rows = []
    for name in shipped_parts():
        model = f'cutpaste-{name}'
        segmenter = load_segmenter(model)
        summary = evaluate_simulated(segmenter, name, limit=10 if small else 100).summary()
        for suffix, title in SETS.items():
            protocol = f'{summary[f"scenes{suffix}"]} {title}'
            for prefix, method in (('', model), ('kmeans_', 'kmeans')):
                figure = partial(row, 'shipped', method, name, protocol, unit='', small=small)
                rows += [
                    figure(metric=metric, value=float(summary[key]))
                    for metric in METRICS
                    if (key := f'{prefix}{metric}{suffix}') in summary
                ]
    return rows
