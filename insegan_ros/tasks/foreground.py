"""Foreground against background: how pictures of single objects are loaded, and how a method is
scored, drawn and described."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from insegan_ros.data.pictures import Pictures, View, read_pictures
from insegan_ros.data.scene import Scene
from insegan_ros.data.shards import ShardDataset
from insegan_ros.drawing.tiles import save_picture, tile_colour
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.config import shipped_yaml
from insegan_ros.files import write_png
from insegan_ros.methods.foreground.layered import LayeredConfig, LayeredGenerator
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.masks import foreground_scores
from insegan_ros.nn.perturbation import PerturbationConfig
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.segmenters.foreground import PictureSegmenter
from insegan_ros.tasks.base import (
    Card,
    Result,
    Source,
    Task,
    card_values,
    expect,
    figure_table,
    training_line,
)
from insegan_ros.workspace import TRAINING_MARGIN
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig, simulate

# Parts, instances and seed of the sets: objects and totes of the test set are in no training.
SETS = {
    'training': ('product-0:200', '1', 1),
    'empty': ('product-0:200', '0-1', 5),
    'test': ('product-800:900', '1', 2),
    'validation': ('product-700:800', '1', 77),
}

# What of a method was chosen with masks, though it learns without: docs/foreground.md.
CHOSEN = {
    'independence-foreground': (
        '; the penalty on the area (its weight, and the area it draws masks to) and both learning'
        ' rates were chosen with the masks of simulated totes of another seed, and how much of a'
        ' background a crop shows with those of 120 totes like the ones learnt from'
    )
}

# Sides of test pictures. Crops of the preset's pictures are smaller than the pictures: enlarged
# ones would show nothing more.
TEST_PX = {'scene': 128, 'box': 64}


TITLES = (
    ('iou', 'IoU of the foreground'),
    ('miou', 'mIoU (foreground, background)'),
    ('acc', 'accuracy'),
    ('ari', 'ARI'),
    ('msc', 'mean segmentation covering'),
)
SCORES = tuple(name for name, _ in TITLES)
# What a card compares with, by the suffix of its metrics.
OTHERS = {
    '': 'this',
    '_grabcut': 'GrabCut on colour',
    '_kmeans': 'K-means on colour',
    '_depth': 'depth threshold',
}
SHOWN = {
    'scenes': 'From the worst test picture to the best: picture, what was found, truth:',
    'layers': 'What the generator makes: composite, background, foreground, mask:',
}


def make_totes(name: str, scenes: int, out: Path, preset_name: str = 'single-tote') -> Path:
    """One of SETS by a shipped preset, or what is missing of it."""
    part, instances, seed = SETS[name]
    preset = shipped_yaml(f'simulate/{preset_name}.yaml')
    own = {
        'part': part,
        'instances': instances,
        'seed': seed,
        'scenes': scenes,
        'out': str(out),
        'shard_scenes': min(100, scenes),
    }
    return simulate(SimulateConfig(**{**preset, 'jitter': Jitter(**preset['jitter']), **own}))


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
        for image, mask in zip(pictures.images, pictures.require_masks())
    ]


def mean_scores(scores: list[dict[str, float]]) -> dict[str, float]:
    """Means over pictures."""
    return {name: round(float(np.mean([one[name] for one in scores])), 4) for name in SCORES}


def evaluate_foreground(segmenter: Segmenter, scenes: Iterable[Scene]) -> list[dict[str, float]]:
    """Scores of every scene, within its bin; where a scene has none, of the whole picture."""
    out = []
    for scene in tqdm(scenes, desc='evaluate', unit='scene', leave=False):
        found = segmenter.segment(scene.frame, scene.workspace).labels > 0
        truth = scene.labelled().labels > 0
        if scene.workspace is not None:
            left, top, right, bottom = scene.workspace.window(
                scene.frame.intrinsics, TRAINING_MARGIN
            )
            found, truth = found[top:bottom, left:right], truth[top:bottom, left:right]
        out.append(foreground_scores(truth, found))
    return out


def restore_generator(checkpoint: Checkpoint) -> LayeredGenerator:
    """The layered generator of a checkpoint."""
    shape = checkpoint.settings(LayeredConfig, 'generator')
    moves = checkpoint.settings(PerturbationConfig, 'perturbation')
    return checkpoint.restore('generator', lambda: LayeredGenerator(shape, moves))


class ForegroundTask(Task):
    """Foreground against background, on pictures of one object each."""

    def load(self, segmenter: Segmenter, source: Source) -> Pictures:
        """Pictures with masks: shards, or photographs."""
        method = expect(segmenter, PictureSegmenter)
        return read_pictures(
            source.path,
            TEST_PX[method.view],
            method.view,
            method.context,
            source.limit,
            truth=True,
            split=source.split,
        )

    def evaluate(self, segmenter: Segmenter, data: Pictures) -> Result:
        """IoU and its kin, mean over the pictures."""
        scores = score_pictures(segmenter, data)
        return Result(
            {'pictures': len(scores), **mean_scores(scores)},
            {'rows': scores},
            lambda path: draw_foregrounds(segmenter, data, scores, path),
        )

    def card(self, checkpoint: Checkpoint, model: Path, limit: int) -> Card:
        """On simulated totes with objects that no training has seen."""
        view, context = checkpoint.config['view'], checkpoint.config['context']
        names = {'': str(model), '_grabcut': 'grabcut-colour', '_kmeans': 'kmeans-colour'}
        if view == 'scene':
            names['_depth'] = 'depth-threshold'
        segmenters = {suffix: load_segmenter(name) for suffix, name in names.items()}
        with tempfile.TemporaryDirectory() as folder:
            test = make_totes('test', 3 * limit, Path(folder) / 'totes')
            scores = {
                suffix: evaluate_view(segmenter, test, view, context)
                for suffix, segmenter in segmenters.items()
            }
            pictures = read_pictures(test, TEST_PX[view], view, context, truth=True)
        metrics: dict[str, Any] = {'scenes': len(pictures.images)}
        for suffix, rows in scores.items():
            metrics |= {f'{name}{suffix}': value for name, value in mean_scores(rows).items()}
        training = checkpoint.training
        crops = ', cut around its box' if view == 'box' else ''
        values = card_values(
            checkpoint,
            'tote',
            f'{training["data"]} of simulated totes with one product each{crops}, fingerprint'
            f' {training["fingerprint"]}; no mask was read in training'
            + CHOSEN.get(checkpoint.method, ''),
            metrics,
            f'insegan card --model checkpoints/{checkpoint.method}-tote --out NEW_FOLDER',
        )
        drawn = {
            'scenes': lambda path: draw_foregrounds(segmenters[''], pictures, scores[''], path)
        }
        if 'generator' in checkpoint.weights:
            drawn['layers'] = lambda path: draw_layers(checkpoint, path)
        return Card(values, card_text(values, list(drawn)), drawn)


def card_text(card: dict[str, Any], pictures: list[str]) -> str:
    """The card for people."""
    metrics = card['metrics']
    others = {suffix: title for suffix, title in OTHERS.items() if 'iou' + suffix in metrics}
    lines = [
        f'# {card["method"]}-{card["part"]}',
        '',
        f'Tells the object from the tote in a colour picture. Learnt from {card["data"]}.',
        '',
        training_line(card),
        '',
        *figure_table(f'{metrics["scenes"]} pictures of unseen objects', others, TITLES, metrics),
        '',
        f'Recompute: `{card["command"]}`. A depth threshold sees what this method does not: ideal'
        ' depth.',
        '',
    ]
    for name in pictures:
        lines += [SHOWN[name], '', f'![{name}]({name}.png)', '']
    return '\n'.join(lines)


def draw_foregrounds(
    segmenter: Any, pictures: Pictures, scores: list[dict[str, float]], path: Path, count: int = 12
) -> None:
    """Pictures, found masks and true masks in three rows, from the worst score to the best."""
    truth, columns = pictures.require_masks(), []
    ranked = sorted(range(len(scores)), key=lambda index: scores[index]['iou'])
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    for index in (ranked[place] for place in places):
        masks = [
            np.repeat(mask[..., None] * np.uint8(255), 3, -1)
            for mask in (segmenter.foreground(pictures.images[index]) > 0.5, truth[index])
        ]
        columns.append(np.vstack([pictures.images[index], *masks]))
    write_png(path, np.hstack(columns))


def draw_layers(checkpoint: Checkpoint, path: Path, seed: int = 0) -> None:
    """Composites, backgrounds, foregrounds and masks of a layered generator."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        layers = restore_generator(checkpoint).sample(16)[1]
        save_picture(
            path,
            tile_colour(
                torch.cat(
                    [
                        layers.image,
                        layers.background,
                        layers.foreground,
                        layers.mask.expand(-1, 3, -1, -1) * 2 - 1,
                    ]
                ),
                16,
            ),
        )
