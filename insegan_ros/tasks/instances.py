"""A segmenter on labelled scenes: honest and paper protocol side by side, K-means on the same
scenes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from insegan_ros.data.convert import open_dataset
from insegan_ros.data.models import METRES, Model, read_models
from insegan_ros.data.scene import Scene
from insegan_ros.drawing.panels import compared
from insegan_ros.drawing.tiles import tile
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import DatasetError, InseganWarning
from insegan_ros.files import write_png
from insegan_ros.frame import Instances, highest_label
from insegan_ros.geometry.clusters import kmeans_instances
from insegan_ros.geometry.meshes import read_mesh
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.hard import KMEANS_FAILS_BELOW
from insegan_ros.metrics.masks import SceneScore, numbered_as, score
from insegan_ros.metrics.picks import first_pick_is_free
from insegan_ros.metrics.poses import TruePart, errors_of
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.segmenters.square import SquareSegmenter
from insegan_ros.tasks.base import TEST_SEED, Card, Result, Source, Task, card_values, training_line
from insegan_ros.tasks.deep_bins import deep_table, evaluate_deep
from insegan_sim.meshes import load_mesh_part, part_of_data
from insegan_sim.parts import Part, load_part
from insegan_sim.scenes import bin_setup, scene_stream


@dataclass(frozen=True)
class SceneResult:
    """One evaluated scene: its number, whether it is among the first (random) and among those on
    which K-means fails (hard)."""

    index: int
    random: bool
    hard: bool
    ours: SceneScore
    kmeans: SceneScore
    first_pick_free: bool | None = None
    """Whether the part that would be picked first is truly free; None where no part of the scene
    is."""
    add_s: tuple[float, ...] = ()
    """With a mesh: ADD-S in diameters of the parts that are found and half seen or more."""
    mssd: tuple[float, ...] = ()
    """MSSD of the same, where the data keep the part's model, which tells its symmetries."""


@dataclass(frozen=True)
class Evaluation:
    """Scenes in order, and how many were looked at to find the hard ones."""

    scenes: list[SceneResult]
    looked_at: int
    ap: dict[str, dict[str, float]]
    """Average precision over the random scenes ('') and the hard ones ('_hard')."""

    def summary(self) -> dict[str, float | int]:
        """Means over the random scenes, and with the suffix _hard over those on which K-means
        fails."""
        out: dict[str, float | int] = {'looked_at': self.looked_at}
        for suffix, chosen in (
            ('', [s for s in self.scenes if s.random]),
            ('_hard', [s for s in self.scenes if s.hard]),
        ):
            out[f'scenes{suffix}'] = len(chosen)
            if not chosen:
                continue
            for prefix, scores in (
                ('', [s.ours for s in chosen]),
                ('kmeans_', [s.kmeans for s in chosen]),
            ):
                for name in ('honest_miou', 'paper_miou', 'foreground_iou'):
                    out[f'{prefix}{name}{suffix}'] = round(
                        float(np.mean([getattr(score, name) for score in scores])), 4
                    )
                out[f'{prefix}count_error{suffix}'] = round(
                    float(np.mean([abs(score.count_error) for score in scores])), 3
                )
            out.update(
                {f'{name}{suffix}': round(value, 4) for name, value in self.ap[suffix].items()}
            )
            for name in ('add_s', 'mssd'):
                if errors := [error for s in chosen for error in getattr(s, name)]:
                    below = float((np.array(errors) < 0.1).mean())
                    out |= {
                        f'poses{suffix}': len(errors),
                        f'{name}_below_tenth{suffix}': round(below, 4),
                        f'median_{name}{suffix}': round(float(np.median(errors)), 4),
                    }
            picks = [s.first_pick_free for s in chosen if s.first_pick_free is not None]
            if picks:
                out[f'first_pick_free{suffix}'] = round(float(np.mean(picks)), 4)
        return out

    def rows(self) -> list[dict[str, object]]:
        """One row a scene, for a JSON file."""
        return [asdict(scene) for scene in self.scenes]


def evaluate(
    segmenter: Segmenter,
    scenes: Iterable[Scene],
    limit: int = 100,
    progress: bool = True,
    models: Sequence[Model] = (),
) -> Evaluation:
    """Score a segmenter on the first `limit` scenes and on the first `limit` on which K-means
    fails, K-means beside it.

    Scenes without labels are passed over, and so are those without a visible part, such as a bin in
    use that has become empty; how many is said. Each is given a scene's own floor and bounds,
    K-means the true number of parts as well. With a mesh (PosedSegmenter) poses are scored where
    true ones are known. models: the data's own; a single one says in which frame the true poses
    are, else they are taken for poses of the mesh. Raises DatasetError where no scene is left,
    InputError for one without masks, or for a mesh of another part than the data's.
    """
    part = _true_part(segmenter, models)
    results: list[SceneResult] = []
    pairs: dict[str, list[tuple[Instances, Instances]]] = {'': [], '_hard': []}
    hard_found, labelled, empty = 0, 0, 0
    with tqdm(total=2 * limit, desc='evaluate', unit='scene', disable=not progress) as bar:
        for index, scene in enumerate(scenes):
            if scene.truth is None and not scene.present:
                # A recording may have labels for some of its frames only.
                continue
            frame, truth = scene.frame, scene.labelled()
            if not highest_label(truth.labels):
                empty += 1
                continue
            theirs = score(truth, kmeans_instances(frame, scene.workspace, len(truth)))
            random = labelled < limit
            hard = theirs.paper_miou < KMEANS_FAILS_BELOW and hard_found < limit
            if random or hard:
                found = segmenter.segment(frame, scene.workspace)
                # Masks alone are kept: amodal ones of hundreds of scenes would fill the memory.
                pair = Instances(truth.labels, truth.scores), Instances(found.labels, found.scores)
                for suffix, member in (('', random), ('_hard', hard)):
                    if member:
                        pairs[suffix].append(pair)
                free = first_pick_is_free(scene, found, part_area_m2=segmenter.scales.part_area_m2)
                errors = errors_of(truth, found, part) if part else []
                mean, largest = (
                    tuple(one for one in some if np.isfinite(one))
                    for some in (zip(*errors) if errors else ((), ()))
                )
                results.append(
                    SceneResult(
                        index, random, hard, score(truth, found), theirs, free, mean, largest
                    )
                )
                hard_found += hard
                bar.update(random + hard)
            labelled += 1
            if labelled >= limit and hard_found >= limit:
                break
    if not results:
        raise DatasetError(
            'there are no labelled scenes: expected at least one with a visible part'
        )
    if empty:
        warnings.warn(
            f'{empty} scenes without a visible part are passed over: there is nothing to compare'
            ' with',
            InseganWarning,
            stacklevel=2,
        )
    return Evaluation(
        results,
        labelled,
        {suffix: average_precision(*zip(*some)) for suffix, some in pairs.items() if some},
    )


def _true_part(segmenter: Segmenter, models: Sequence[Model]) -> TruePart | None:
    """What poses are scored with: the data's part, or the mesh itself where the data keep none;
    None where the segmenter has no mesh."""
    if not isinstance(segmenter, PosedSegmenter):
        return None
    mesh = segmenter.registration.mesh
    if len(models) != 1:
        return TruePart.of(mesh, segmenter.registration.diameter)
    true, model = models[0], read_mesh(models[0].path, METRES)
    return TruePart.of(model, true.diameter_m, true.symmetries, mesh)


def summary_text(summary: dict[str, float | int]) -> str:
    """Ours beside K-means, random scenes beside those where K-means fails."""
    lines = [
        f'{"":24}{"random":>10}{"K-means":>10}{"hard":>12}{"K-means":>10}',
        f'{"scenes":24}{summary["scenes"]:>10}{"":10}{summary["scenes_hard"]:>12}',
    ]
    for name, title in BESIDE_KMEANS:
        keys = (name, f'kmeans_{name}', f'{name}_hard', f'kmeans_{name}_hard')
        cells = zip((summary.get(key) for key in keys), (10, 10, 12, 10))
        lines.append(f'{title:24}' + ''.join(f'{_figure(one):>{width}}' for one, width in cells))
    for name, title in ALONE:
        if name in summary:
            both = _figure(summary[name]), _figure(summary.get(f'{name}_hard'))
            lines.append(f'{title:24}{both[0]:>10}{"":10}{both[1]:>12}')
    lines.append(
        "hard: the scenes on which K-means has a best-IoU below 0.7 (the paper's test set). honest:"
        ' one to one, predicted foreground.'
    )
    return '\n'.join(lines)


def _figure(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'


def worst_to_best(
    segmenter: Segmenter, scenes: Iterable[Scene], result: Evaluation, path: Path
) -> None:
    """Draw the worst, the median and the best of the random scenes: depth, masks, truth in a column
    each."""
    ranked = sorted(
        (scene for scene in result.scenes if scene.random), key=lambda scene: scene.ours.honest_miou
    )
    chosen = dict(
        zip(('worst', 'median', 'best'), (ranked[0], ranked[len(ranked) // 2], ranked[-1]))
    )
    wanted = {scene.index for scene in chosen.values()}
    kept = {index: one for index, one in zip(range(max(wanted) + 1), scenes) if index in wanted}
    columns = []
    for title, scene in chosen.items():
        frame, truth = kept[scene.index].frame, kept[scene.index].labelled().labels
        found = segmenter.segment(frame, kept[scene.index].workspace).labels
        columns.append(
            compared(
                f'{title} {scene.ours.honest_miou:.2f}',
                frame.depth_m,
                numbered_as(truth, found),
                truth,
            )
        )
    write_png(path, np.hstack(columns))


def evaluate_simulated(
    segmenter: Segmenter, part: str | Part, limit: int = 100, instances: int = 5
) -> Evaluation:
    """Evaluate on bins simulated on the way, of a seed that no training uses; at most ten times as
    many as are asked for are looked at for hard ones."""
    return evaluate(
        segmenter,
        islice(scene_stream(bin_setup(part, instances, TEST_SEED)), max(10 * limit, 100)),
        limit,
    )


# What a summary shows, by its keys: beside K-means' and alone.
BESIDE_KMEANS = (
    ('honest_miou', 'honest mIoU'),
    ('paper_miou', "paper's mIoU"),
    ('foreground_iou', 'foreground IoU'),
    ('count_error', 'count error'),
)
ALONE = (
    ('ap50', 'AP50'),
    ('ap75', 'AP75'),
    ('first_pick_free', 'first pick truly free'),
    ('add_s_below_tenth', 'ADD-S below .1 diameter'),
    ('median_add_s', 'median ADD-S, diameters'),
    ('mssd_below_tenth', 'MSSD below .1 diameter'),
    ('median_mssd', 'median MSSD, diameters'),
)
# How a checkpoint of InSeGAN can be run besides its own segmenter, and the network that this needs.
OTHER_WAYS = {
    'insegan': ('encoder', 'the pose encoder'),
    'insegan-refined': ('encoder', 'the pose encoder, its codes refined'),
    'insegan-searched': ('generator', 'the generator, whose renders are searched'),
}


@dataclass(frozen=True)
class LabelledScenes:
    """Scenes that can be gone through again, their source, and the names of what they show."""

    names: tuple[str, ...]
    open: Callable[[], Iterable[Scene]]
    limit: int
    models: Sequence[Model] = ()


class InstancesTask(Task):
    """Equal parts in a bin, told apart: by the honest and by the paper's protocol, and K-means
    beside. part: what cards are measured on, if not what the checkpoint's own data show;
    option: how the command line says so."""

    def __init__(self, part: Part | None = None, option: str = '') -> None:
        self.part, self.option = part, option

    def of_mesh(self, mesh: Path, scale: float) -> InstancesTask:
        """The same on bins of a user's part. Raises InputError for a mesh that cannot be used."""
        return InstancesTask(load_mesh_part(mesh, scale))

    def of_part(self, name: str) -> InstancesTask:
        """The same on bins of one of the simulator's parts. Raises ConfigError for another name."""
        return InstancesTask(load_part(name), f' --part {name}')

    def load(self, segmenter: Segmenter, source: Source) -> LabelledScenes:
        """Shards, BOP, COCO, Insta-10, label pictures, or a recording with labels."""

        def scenes() -> tuple[tuple[str, ...], Iterable[Scene]]:
            return open_dataset(
                source.path, source.workspace, segmenter.needs_colour, source.camera
            )

        return LabelledScenes(
            scenes()[0], lambda: scenes()[1], source.limit, read_models(source.path)
        )

    def evaluate(self, segmenter: Segmenter, data: LabelledScenes) -> Result:
        """The first scenes, and the first ones on which K-means fails."""
        found = evaluate(segmenter, data.open(), data.limit, models=data.models)
        return Result(
            found.summary(),
            {'rows': found.rows()},
            lambda path: worst_to_best(segmenter, data.open(), found, path),
            summary_text(found.summary()),
        )

    def card(self, checkpoint: Checkpoint, model: Path, limit: int) -> Card:
        """On bins simulated on the way."""
        part = self.part or part_of_data(
            checkpoint.part, Path(str(checkpoint.config.get('data', '')))
        )
        segmenter = load_segmenter(str(model))
        result = evaluate_simulated(segmenter, part, limit)
        metrics = result.summary()
        # What divides a square picture knows the bin of its training alone, and refuses others.
        if not isinstance(segmenter, SquareSegmenter):
            metrics |= evaluate_deep(segmenter, part, max(limit // 5, 1))
        for other in other_ways(checkpoint):
            way = load_segmenter(str(model), other)
            found = evaluate_simulated(way, part, limit).summary()
            metrics |= {
                f'{other}_{key}': value
                for key, value in found.items()
                if not key.startswith(('kmeans_', 'scenes', 'looked_at'))
            }
        training, name = checkpoint.training, shipped_name(checkpoint)
        values = card_values(
            checkpoint,
            checkpoint.part,
            f'{training["data"]} of {_number(checkpoint)}'
            f'{"" if self.part else "simulated "}parts, fingerprint'
            f' {training["fingerprint"]}; {labels_read(checkpoint)}',
            metrics,
            f'insegan card --model checkpoints/{name}{self.option}{_said(limit)} --out NEW_FOLDER',
            **({'measured_with': self.part.name} if self.part else {}),
        )
        drawn: dict[str, Callable[[Path], None]] = {}
        if 'generator' in checkpoint.weights:
            drawn['singles'] = lambda path: draw_singles(checkpoint, path)
        drawn['scenes'] = lambda path: worst_to_best(
            segmenter, scene_stream(bin_setup(part, seed=TEST_SEED)), result, path
        )
        return Card(values, card_text(values, name, list(drawn)), drawn)


def _said(limit: int) -> str:
    """A number of scenes as the command line has it, where it is not the usual one."""
    return '' if limit == 100 else f' --limit {limit}'


def shipped_name(checkpoint: Checkpoint) -> str:
    """What the folder of a shipped checkpoint for one part is called: one that holds a generator
    says so."""
    whole = checkpoint.method == 'insegan' and 'generator' in checkpoint.weights
    return f'{checkpoint.method}{"-generator" if whole else ""}-{checkpoint.part}'


def _number(checkpoint: Checkpoint) -> str:
    """How many parts a training picture held, as far as its configuration tells, with a space
    behind."""
    config = checkpoint.config
    instances = config.get('instances', config.get('insegan', {}).get('instances'))
    return '' if instances is None else f'{instances} ' if instances else 'any number of '


def other_ways(checkpoint: Checkpoint) -> list[str]:
    """The segmenters that can run a checkpoint of InSeGAN besides its own; none of another
    method's."""
    if 'generator' not in checkpoint.weights:
        return []
    shape = checkpoint.settings(GeneratorConfig, 'insegan', 'generator')
    return [
        way
        for way, (network, _) in OTHER_WAYS.items()
        if network in checkpoint.weights
        and way != checkpoint.segmenter
        and (way != 'insegan-searched' or shape.renders_alone)
    ]


def draw_singles(checkpoint: Checkpoint, path: Path, count: int = 32, seed: int = 0) -> None:
    """Single renders of the generator: they tell sooner than any score whether it has learnt the
    part."""
    shape = checkpoint.settings(GeneratorConfig, 'insegan', 'generator')
    generator = checkpoint.restore('generator', lambda: Generator(shape))
    slots = checkpoint.config['insegan']['instances']
    z = torch.randn(
        count // 4, 4, generator.config.latent, generator=torch.Generator().manual_seed(seed)
    )
    with torch.inference_mode():
        picture = tile(generator.render_alone(z, slots).flatten(0, 1), 8)[0].numpy()
    grey = (cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) * 255).astype(
        np.uint8
    )
    write_png(path, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def labels_read(checkpoint: Checkpoint) -> str:
    """What of labels went into a checkpoint: into its training, and into what its segmenter
    is set to: the rule by which votes are a part, which all dense networks share unless their
    configuration has one of its own, or the search."""
    supervised = checkpoint.method == 'supervised'
    read = 'true labels were read' if supervised else 'no label was read in training'
    settings = {
        'offsets': 'the thresholds that turn votes into parts',
        'insegan-searched': 'the settings of the search',
    }.get(checkpoint.segmenter)
    chosen = (
        f'; {settings} were chosen with the labels of simulated bins of another seed'
        if settings
        else ''
    )
    return (checkpoint.training.get('labels_read') or read) + chosen


def card_text(card: dict[str, Any], name: str, pictures: list[str]) -> str:
    """The card for people."""
    metrics = card['metrics']
    titles = {
        'singles': 'What the generator renders, one instance each:',
        'scenes': 'Worst, median and best of the random scenes: depth, masks, truth:',
    }
    rows = {
        'honest_miou': 'honest mIoU (one to one)',
        'paper_miou': "paper's mIoU (flatters)",
        'count_error': 'count error',
        **{
            f'{method}_honest_miou': f'honest mIoU of {title} (`--segmenter {method}`)'
            for method, (_, title) in OTHER_WAYS.items()
        },
    }

    def cell(name: str) -> str:
        return f'{metrics[name]:.3f}' if name in metrics else '-'

    lines = [
        f'# {name}',
        '',
        (
            f'Segments simulated {card["part"]}s in a bin from depth. Runs as'
            f' `{card["segmenter"]}`, learnt from {card["data"]}.'
        ),
        '',
        *(
            [f'The dense network was taught by {card["taught_by"]}.', '']
            if 'taught_by' in card
            else []
        ),
        training_line(card),
        *(['', f'Measured on bins of {card["measured_with"]}.'] if 'measured_with' in card else []),
        '',
        (
            f'| | {metrics["scenes"]} random scenes | K-means | {metrics["scenes_hard"]} scenes'
            ' where K-means fails | K-means |'
        ),
        '|---|---|---|---|---|',
    ]
    for metric, title in rows.items():
        if metric in metrics:
            lines.append(
                f'| {title} | {cell(metric)} | {cell("kmeans_" + metric)} |'
                f' {cell(metric + "_hard")} | {cell("kmeans_" + metric + "_hard")} |'
            )
    lines += [
        '',
        *deep_table(metrics),
        (
            f'Recompute: `{card["command"]}`. K-means is told the number of parts'
            + (', the dense network is not.' if card['segmenter'] == 'offsets' else '.')
        ),
        '',
    ]
    for picture in pictures:
        lines += [titles[picture], '', f'![{picture}]({picture}.png)', '']
    return '\n'.join(lines)
