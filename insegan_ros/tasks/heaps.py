"""Heaps with truth, simulated or photographed, and how well a segmenter divides them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from insegan_ros.data.folders import LABELS
from insegan_ros.data.images import read_picture
from insegan_ros.data.photo_sets import PICTURES
from insegan_ros.data.scene import seen_instances, visible_fractions
from insegan_ros.data.shards import ShardDataset, is_shards
from insegan_ros.data.whole_sets import NOTE
from insegan_ros.drawing.overlay import overlay
from insegan_ros.drawing.tiles import save_picture, tile_colour
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.config import shipped_yaml
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.files import write_png
from insegan_ros.frame import IGNORE, Frame, Instances, Intrinsics, Modality, numbered_anew
from insegan_ros.methods.baselines.heaps import (
    ClustersSegmenter,
    RegionsSegmenter,
    TemplateSegmenter,
    WatershedSegmenter,
)
from insegan_ros.methods.hoc.generator import HocConfig, HocGenerator
from insegan_ros.methods.hoc.labels import are_single, draw_masks
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.masks import count_error, honest_miou
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.base import (
    Card,
    Result,
    Source,
    Task,
    card_values,
    figure_table,
    training_line,
)
from insegan_ros.texts import read_mapping
from insegan_ros.workspace import Workspace
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig, simulate

# Parts of which less is seen are not judged, neither finding them nor missing them: slivers deep in
# a heap are nothing to pick.
JUDGED = 0.5


@dataclass(frozen=True)
class Heap:
    """A frame; labels (H, W) of what is judged; overlooked (H, W) bool, where instances lie that
    are not."""

    name: str
    frame: Frame
    labels: np.ndarray
    overlooked: np.ndarray
    workspace: Workspace | None


def simulated_heaps(folder: Path) -> Iterator[Heap]:
    """The scenes of a folder of shards; parts seen by half or more are judged."""
    for index, scene in enumerate(ShardDataset(folder)):
        truth = scene.labelled()
        judged = visible_fractions(truth) >= JUDGED
        labels = numbered_anew(np.where(truth.labels == IGNORE, 0, truth.labels), judged)
        yield Heap(
            f'{folder.name} {index}',
            scene.frame,
            labels,
            (truth.labels > 0) & (labels == 0),
            scene.workspace,
        )


def photographed_heaps(folder: Path) -> list[Heap]:
    """Pictures NAME.png with their NAME_labels.png (16-bit, 0 = background, 65535 = not
    judged) in a folder, in order of name: no depth, everything else is judged.

    Raises DatasetError where there are none, or where sizes differ.
    """
    out = []
    for path in sorted(folder.glob('*.png')):
        truth = folder / (path.stem + LABELS)
        if not truth.exists():
            continue
        colour, labels = read_picture(path), read_picture(truth, cv2.IMREAD_UNCHANGED)
        if colour is None or labels is None or labels.ndim != 2 or labels.shape != colour.shape[:2]:
            raise DatasetError(
                f'{path} and its labels: expected a picture, and label numbers of the same size in'
                ' one channel'
            )
        height, width = labels.shape
        frame = Frame(
            np.full(labels.shape, np.nan, np.float32),
            Intrinsics(width, width, (width - 1) / 2, (height - 1) / 2, width, height),
            colour[..., ::-1].copy(),
        )
        labels = seen_instances(labels.astype(np.uint16)).labels
        ignored = labels == IGNORE
        out.append(Heap(path.stem, frame, np.where(ignored, 0, labels), ignored, None))
    if not out:
        raise DatasetError(
            f'{folder} holds no picture with labels: expected NAME.png with NAME_labels.png'
        )
    return out


def divide_heap(segmenter: Any, heap: Heap) -> Instances:
    """What a segmenter finds, without what lies by half or more on instances that are not
    judged."""
    found = segmenter.segment(heap.frame, heap.workspace)
    count = len(found)
    area = np.bincount(found.labels.ravel(), minlength=count + 1)[1:]
    beside = np.bincount(
        found.labels.ravel(), weights=heap.overlooked.ravel(), minlength=count + 1
    )[1:]
    kept = (area > 0) & (beside < 0.5 * area)
    return Instances(numbered_anew(found.labels, kept), found.scores[kept])


def score_heaps(heaps: Sequence[Heap], found: Sequence[Instances]) -> dict[str, float]:
    """AP over all of them, mean one-to-one mIoU of those in which anything is judged, mean absolute
    count error, also as a share of what is there."""
    truths = [
        Instances(heap.labels, np.ones(int(heap.labels.max(initial=0)), np.float32))
        for heap in heaps
    ]
    errors = [abs(count_error(truth.labels, one.labels)) for truth, one in zip(truths, found)]
    there = [len(np.unique(truth.labels[truth.labels > 0])) for truth in truths]
    mious = [
        honest_miou(truth.labels, one.labels)
        for truth, one, count in zip(truths, found, there)
        if count
    ]
    return {
        **{name: round(value, 4) for name, value in average_precision(truths, found).items()},
        'honest_miou': round(float(np.mean(mious)), 4) if mious else float('nan'),
        'count_error': round(float(np.mean(errors)), 3),
        'count_error_share': round(float(np.sum(errors) / max(np.sum(there), 1)), 4),
        'instances': float(np.mean(there)),
    }


def evaluate_heaps(segmenter: Any, heaps: Sequence[Heap]) -> dict[str, float]:
    """Scores of a segmenter on heaps."""
    return score_heaps(
        heaps, [divide_heap(segmenter, heap) for heap in tqdm(heaps, desc='heaps', leave=False)]
    )


def picture_heap(heap: Heap, found: Instances, width: int, colour: bool) -> np.ndarray:
    """(H, W', 3) uint8 RGB: the picture, in colour or depth, what was found, the truth, side by
    side."""
    left, top, right, bottom = (
        heap.workspace.window(heap.frame.intrinsics, 0.2)
        if heap.workspace
        else (0, 0, heap.frame.intrinsics.width, heap.frame.intrinsics.height)
    )
    frame, window = heap.frame, np.s_[top:bottom, left:right]
    panels = [
        overlay(frame.depth_m, labels, frame.colour if colour else None)[window]
        for labels in (np.zeros(heap.labels.shape, np.uint16), found.labels, heap.labels)
    ]
    scale = width / panels[0].shape[1]
    return np.hstack(
        [
            cv2.resize(panel, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for panel in panels
        ]
    )


def draw_heaps(
    heaps: Sequence[Heap], found: Sequence[Instances], path: Path, colour: bool, width: int = 320
) -> None:
    """The worst, the median and the best heap by AP50, one below the other; of those in which
    anything is judged, if there are any."""
    judged = [index for index, heap in enumerate(heaps) if heap.labels.any()]
    order = sorted(
        judged or range(len(heaps)),
        key=lambda index: score_heaps([heaps[index]], [found[index]])['ap50'],
    )
    chosen = dict.fromkeys((order[0], order[len(order) // 2], order[-1]))
    write_png(
        path,
        np.vstack([picture_heap(heaps[index], found[index], width, colour) for index in chosen]),
    )


# Seeds of the simulated heaps: one is learnt from, others are judged.
TRAINING, TEST = 1, 2


NUTS = '150-250'


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
    'template': (TemplateSegmenter, {'min_correlation': (0.3, 0.4, 0.5, 0.6)}),
    'kmeans': (ClustersSegmenter, {'value': (0.3, 1.0, 3.0)}),
}


def best_baseline(
    name: str, modality: Modality, heaps: list[Heap], max_tried: int | None = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores and parameters of one of GRIDS that are best (AP50) on these very heaps: told by the
    truth, which is more than ours is. max_tried: try only so many."""
    kind, grid = GRIDS[name]
    # Depth is bright where it is near; whether the objects of a photograph are bright or dark is
    # part of what is tried.
    tried = [
        dict(zip(grid, values)) | {'dark': dark}
        for values in product(*grid.values())
        for dark in ((False,) if modality == 'depth' else (False, True))
    ][:max_tried]
    width = heap_width(heaps)
    scored = [
        (evaluate_heaps(kind(modality=modality, size_px=width, **parameters), heaps), parameters)
        for parameters in tqdm(tried, desc=name, leave=False)
    ]
    return max(scored, key=lambda pair: pair[0]['ap50'])


def make_heaps(scenes: int, seed: int, out: Path, nuts: str = NUTS, part: str = 'nut') -> Path:
    """Heaps of so many parts by the shipped preset, or what is missing of them."""
    preset = shipped_yaml('simulate/heap.yaml')
    if 'jitter' in preset:
        preset['jitter'] = Jitter(**preset['jitter'])
    return simulate(
        SimulateConfig(
            **{
                **preset,
                'part': part,
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
    shape = checkpoint.settings(HocConfig, 'generator')
    channels = {'depth': 1, 'colour': 3, 'both': 4}[checkpoint.config['modality']]
    return checkpoint.restore('generator', lambda: HocGenerator(shape, channels))


def single_share(checkpoint: Checkpoint, count: int = 500, seed: int = 0) -> float:
    """The share of generated objects that are one: one connected piece of an ordinary area."""
    generator = restore_hoc_generator(checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return round(float(are_single(draw_masks(generator, count).numpy()).mean()), 4)


# Heaps that a HOC learner's card is measured on.
CARD_HEAPS = 8
TITLES = (
    ('ap50', 'AP50'),
    ('honest_miou', 'honest mIoU (one to one)'),
    ('count_error', 'count error'),
)


class HeapsTask(Task):
    """Every instance of a heap of equal objects, of any number."""

    def load(self, segmenter: Segmenter, source: Source) -> list[Heap]:
        """Shards, of which parts seen by half or more are judged, or photographs with labels beside
        them."""
        simulated = is_shards(source.path)
        heaps = simulated_heaps(source.path) if simulated else photographed_heaps(source.path)
        return list(islice(heaps, source.limit))

    def evaluate(self, segmenter: Segmenter, data: list[Heap]) -> Result:
        """AP over all heaps, one-to-one mIoU and count error."""
        found = [divide_heap(segmenter, heap) for heap in data]
        rows = [{'heap': h.name, **score_heaps([h], [one])} for h, one in zip(data, found)]
        return Result(
            {'heaps': len(data), **score_heaps(data, found)},
            {'rows': rows},
            lambda path: draw_heaps(data, found, path, segmenter.needs_colour),
        )

    def card(self, checkpoint: Checkpoint, model: Path, limit: int) -> Card:
        """On simulated heaps of another seed than the one that was learnt from. Raises ConfigError
        for what was learnt from a picture of something else."""
        learnt = Path(checkpoint.config['image'])
        note = learnt / NOTE
        # Simulated heaps say what lies in them, as long as they are there.
        other = note.is_file() and read_mapping(note, DatasetError).get('part') != 'nut'
        if other or learnt.suffix.lower() in PICTURES:
            raise ConfigError(
                f'{model} was learnt from {learnt.name}: expected one'
                ' learnt from a simulated heap of nuts, on which the card is measured; for others'
                ' there is insegan evaluate'
            )
        modality, segmenter = checkpoint.config['modality'], load_segmenter(str(model))
        with tempfile.TemporaryDirectory() as folder:
            made = make_heaps(min(limit, CARD_HEAPS), TEST, Path(folder) / 'heaps')
            heaps = list(simulated_heaps(made))
            found = [divide_heap(segmenter, heap) for heap in tqdm(heaps, desc='heaps')]
            metrics: dict[str, Any] = {'scenes': len(heaps), **score_heaps(heaps, found)}
            metrics['single'] = single_share(checkpoint)
            for name in ('watershed', 'felzenszwalb'):
                best = best_baseline(name, modality, heaps)[0]
                metrics |= {f'{key}_{name}': best[key] for key, _ in TITLES}
        training = checkpoint.training
        values = card_values(
            checkpoint,
            'nut',
            f'{training["data"]} of a simulated heap of nuts by {modality}, fingerprint'
            f' {training["fingerprint"]}; {labels_read(checkpoint)}',
            metrics,
            'insegan card --model checkpoints/hoc-nut --out NEW_FOLDER',
            modality=modality,
        )
        drawn = {
            'objects': lambda path: draw_objects(checkpoint, path),
            'scenes': lambda path: draw_heaps(heaps, found, path, segmenter.needs_colour),
        }
        return Card(values, card_text(values), drawn)


def labels_read(checkpoint: Checkpoint) -> str:
    """What of the truth a HOC learner was told, in words."""
    width = checkpoint.config['instance_px']
    told = f'no mask was read, but an object was said to be {width:g} px wide'
    learnt = told if width else 'no label was read in training'
    chosen = (
        'the thresholds that turn votes into objects were chosen with the labels of three simulated'
        ' heaps'
    )
    return checkpoint.training.get('labels_read') or f'{learnt}; {chosen}'


def card_text(card: dict[str, Any]) -> str:
    """The card for people."""
    metrics = card['metrics']
    others = {'': 'this', '_watershed': 'watershed', '_felzenszwalb': 'Felzenszwalb'}
    head = (
        f'{metrics["scenes"]} other heaps, {metrics["instances"]:.0f} nuts each that are seen by'
        ' half or more'
    )
    return '\n'.join(
        [
            f'# {card["method"]}-{card["part"]}',
            '',
            f'Divides heaps of nuts by {card["modality"]}. Learnt from {card["data"]}.',
            '',
            training_line(card),
            '',
            *figure_table(head, others, TITLES, metrics),
            '',
            f'{metrics["single"]:.0%} of the generated objects are one connected piece of an'
            ' ordinary area. The others are given the width of a nut and the best of all'
            ' parameters tried, told by the truth of these very heaps. Recompute:'
            f' `{card["command"]}`.',
            '',
            'What the generator makes, one object each, with its mask:',
            '',
            '![objects](objects.png)',
            '',
            'From the worst heap to the best: picture, what was found, truth:',
            '',
            '![scenes](scenes.png)',
            '',
        ]
    )


def draw_objects(checkpoint: Checkpoint, path: Path, seed: int = 0) -> None:
    """Objects of a HOC generator, each alone, and their masks below them."""
    generator = restore_hoc_generator(checkpoint)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        colours, masks = generator.provide(torch.randn(16, generator.config.z))
        shown = colours[:, :3] if colours.shape[1] >= 3 else colours.expand(-1, 3, -1, -1)
        save_picture(
            path,
            tile_colour(
                torch.cat([shown * masks + masks - 1, masks.expand(-1, 3, -1, -1) * 2 - 1]), 16
            ),
        )
