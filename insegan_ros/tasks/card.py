"""From a finished training to a checkpoint that can be shipped: measured, drawn, described."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from insegan_ros.benchmarks import classes as weak
from insegan_ros.benchmarks.benchmark import SEED, evaluate_simulated, machine
from insegan_ros.benchmarks.classes import baseline_masks, make_mixed
from insegan_ros.benchmarks.foreground import (
    TEST_PX,
    evaluate_view,
    make_totes,
    mean_scores,
    restore_generator,
)
from insegan_ros.benchmarks.heaps import (
    TEST,
    best_baseline,
    make_heaps,
    restore_hoc_generator,
    single_share,
)
from insegan_ros.data.image_sets import read_image_set
from insegan_ros.data.mask_sets import MaskSet
from insegan_ros.data.pictures import Pictures, read_pictures
from insegan_ros.drawing.panels import write_picture
from insegan_ros.drawing.tiles import save_picture, tile, tile_colour
from insegan_ros.engine.checkpoint import WEIGHTS, Checkpoint
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.class_maps_stage import load_class_maps
from insegan_ros.methods.image_level.mask_segmenter import MaskSegmenter
from insegan_ros.methods.image_level.proposals import ProposalsConfig
from insegan_ros.methods.image_level.run import truth_of
from insegan_ros.methods.insegan.generator import Generator, GeneratorConfig
from insegan_ros.methods.registry import load_segmenter
from insegan_ros.metrics.classes import score_masks
from insegan_ros.tasks.classes import detect_all
from insegan_ros.tasks.heaps import divide_heap, draw_heaps, score_heaps, simulated_heaps
from insegan_ros.tasks.instances import worst_to_best
from insegan_sim.scenes import bin_setup, scene_stream

# Heaps that a HOC learner's card is measured on.
CARD_HEAPS = 8
# How a checkpoint with a pose encoder can be run besides its own segmenter.
POSE_ENCODER = {
    'insegan': 'the pose encoder',
    'insegan-refined': 'the pose encoder, its codes refined',
}


def make_card(model: Path, out: Path, limit: int = 100) -> dict[str, Any]:
    """Measure a checkpoint on unseen bins and write weights, card.json, README.md, singles.png and
    scenes.png into `out`.

    Raises ConfigError where `out` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f'{out} is not empty: expected a new folder for the card')
    checkpoint = Checkpoint.load(model)
    if checkpoint.segmenter == 'foreground':
        return make_foreground_card(checkpoint, model, out, limit)
    if checkpoint.segmenter == 'hoc':
        return make_hoc_card(checkpoint, model, out, limit)
    if checkpoint.segmenter == 'masks':
        return make_mask_card(checkpoint, model, out, limit)
    if checkpoint.segmenter == 'semantic':
        raise ConfigError(
            f'{model} tells classes but no instances: expected a checkpoint of instances for a'
            ' card; insegan benchmark weak measures the others'
        )
    segmenter = load_segmenter(str(model))
    result = evaluate_simulated(segmenter, checkpoint.part, limit)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model / WEIGHTS, out / WEIGHTS)
    worst_to_best(
        segmenter, scene_stream(bin_setup(checkpoint.part, seed=SEED)), result, out / 'scenes.png'
    )
    shown = ['scenes']
    if (
        'generator' in checkpoint.weights
        and checkpoint.config['insegan']['generator']['composition'] == 'z_order'
    ):
        draw_singles(checkpoint, out / 'singles.png')
        shown.insert(0, 'singles')
    metrics = result.summary()
    for other in POSE_ENCODER if 'encoder' in checkpoint.weights else ():
        if other != checkpoint.segmenter:
            found = evaluate_simulated(
                load_segmenter(str(model), other), checkpoint.part, limit
            ).summary()
            metrics |= {
                f'{other}_{key}': value
                for key, value in found.items()
                if not key.startswith(('kmeans_', 'scenes', 'looked_at'))
            }
    training = checkpoint.training
    labels = 'true labels were read' if checkpoint.method == 'supervised' else 'no label was read'
    card = {
        'method': checkpoint.method,
        'part': checkpoint.part,
        'segmenter': checkpoint.segmenter,
        'data': (
            f'{training["data"]} of {_number(checkpoint)}simulated parts, fingerprint'
            f' {training["fingerprint"]}; {labels}'
        ),
        **{
            key: training[key]
            for key in ('taught_by', 'seed', 'steps', 'hardware', 'minutes')
            if key in training
        },
        'metrics': metrics,
        'measured_on': machine(),
        'command': f'insegan card --model checkpoints/{shipped_name(checkpoint)} --out NEW_FOLDER',
    }
    (out / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
    (out / 'README.md').write_text(card_text(card, shipped_name(checkpoint), shown))
    return card


def shipped_name(checkpoint: Checkpoint) -> str:
    """What the folder of a shipped checkpoint for one part is called: one that holds a generator
    says so."""
    whole = checkpoint.method == 'insegan' and 'generator' in checkpoint.weights
    return f'{checkpoint.method}{"-generator" if whole else ""}-{checkpoint.part}'


def _number(checkpoint: Checkpoint) -> str:
    """How many parts a training picture held, as far as its configuration tells, with a space
    behind."""
    instances = checkpoint.config.get('insegan', {}).get('instances')
    return '' if instances is None else f'{instances} ' if instances else 'any number of '


def make_foreground_card(
    checkpoint: Checkpoint, model: Path, out: Path, limit: int
) -> dict[str, Any]:
    """The same for a method that tells foreground from background: on simulated totes with objects
    that no training has seen."""
    view, context = checkpoint.config['view'], checkpoint.config['context']
    segmenters = {
        '': load_segmenter(str(model)),
        '_grabcut': load_segmenter('grabcut-colour'),
        '_kmeans': load_segmenter('kmeans-colour'),
    }
    if view == 'scene':
        segmenters['_depth'] = load_segmenter('depth-threshold')
    with tempfile.TemporaryDirectory() as folder:
        test = make_totes('test', 3 * limit, Path(folder) / 'totes')
        scores = {
            suffix: evaluate_view(segmenter, test, view, context)
            for suffix, segmenter in segmenters.items()
        }
        pictures = read_pictures(test, TEST_PX[view], view, context, truth=True)
    metrics = {
        'scenes': len(pictures.images),
        **{
            f'{name}{suffix}': value
            for suffix, rows in scores.items()
            for name, value in mean_scores(rows).items()
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model / WEIGHTS, out / WEIGHTS)
    draw_foregrounds(segmenters[''], pictures, scores[''], out / 'scenes.png')
    training, shown = checkpoint.training, ['scenes']
    if 'generator' in checkpoint.weights:
        draw_layers(checkpoint, out / 'layers.png')
        shown.append('layers')
    card = {
        'method': checkpoint.method,
        'part': 'tote',
        'segmenter': checkpoint.segmenter,
        'data': (
            f'{training["data"]} of simulated totes with one product'
            f' each{", cut around its box" if view == "box" else ""}, fingerprint'
            f' {training["fingerprint"]}; no mask was read'
        ),
        **{
            key: training[key]
            for key in ('seed', 'steps', 'hardware', 'minutes', 'backgrounds', 'alarms')
            if key in training
        },
        'metrics': metrics,
        'measured_on': machine(),
        'command': f'insegan card --model checkpoints/{checkpoint.method}-tote --out NEW_FOLDER',
    }
    (out / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
    (out / 'README.md').write_text(foreground_card_text(card, shown))
    return card


def foreground_card_text(card: dict[str, Any], pictures: list[str]) -> str:
    """The card of a foreground method for people."""
    metrics = card['metrics']
    others = {
        suffix: title
        for suffix, title in (
            ('', 'this'),
            ('_grabcut', 'GrabCut on colour'),
            ('_kmeans', 'K-means on colour'),
            ('_depth', 'depth threshold'),
        )
        if 'iou' + suffix in metrics
    }
    names = (
        ('iou', 'IoU of the foreground'),
        ('miou', 'mIoU (foreground, background)'),
        ('acc', 'accuracy'),
        ('ari', 'ARI'),
        ('msc', 'mean segmentation covering'),
    )
    titles = {
        'scenes': 'From the worst test picture to the best: picture, what was found, truth:',
        'layers': 'What the generator makes: composite, background, foreground, mask:',
    }
    lines = [
        f'# {card["method"]}-{card["part"]}',
        '',
        f'Tells the object from the tote in a colour picture. Learnt from {card["data"]}.',
        '',
        (
            f'Seed {card["seed"]}; steps'
            f' {", ".join(f"{name} {count}" for name, count in card["steps"].items())};'
            f' {card["minutes"]} minutes on {card["hardware"]}.'
        ),
        '',
        f'| {metrics["scenes"]} pictures of unseen objects | ' + ' | '.join(others.values()) + ' |',
        '|---' * (len(others) + 1) + '|',
        *(
            f'| {title} | '
            + ' | '.join(f'{metrics[name + suffix]:.3f}' for suffix in others)
            + ' |'
            for name, title in names
        ),
        '',
        (
            f'Recompute: `{card["command"]}`. A depth threshold sees what this method does not:'
            ' ideal depth.'
        ),
        '',
    ]
    for name in pictures:
        lines += [titles[name], '', f'![{name}]({name}.png)', '']
    return '\n'.join(lines)


def make_hoc_card(checkpoint: Checkpoint, model: Path, out: Path, limit: int) -> dict[str, Any]:
    """The same for what was learnt from one picture of a heap: on simulated heaps of another
    seed."""
    look, segmenter = checkpoint.config['look'], load_segmenter(str(model))
    if Path(checkpoint.config['image']).suffix:
        raise ConfigError(
            f'{model} was learnt from {Path(checkpoint.config["image"]).name}: expected one learnt'
            ' from a simulated heap of nuts, on which the card is measured; for others there is'
            ' insegan evaluate'
        )
    with tempfile.TemporaryDirectory() as folder:
        heaps = list(
            simulated_heaps(make_heaps(min(limit, CARD_HEAPS), TEST, Path(folder) / 'heaps'))
        )
        found = [divide_heap(segmenter, heap) for heap in tqdm(heaps, desc='heaps', leave=False)]
        metrics = {
            'scenes': len(heaps),
            **score_heaps(heaps, found),
            'single': single_share(checkpoint),
        }
        for name in ('watershed', 'felzenszwalb'):
            best = best_baseline(name, look, heaps)[0]
            metrics |= {
                f'{score}_{name}': best[score] for score in ('ap50', 'honest_miou', 'count_error')
            }
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model / WEIGHTS, out / WEIGHTS)
    draw_heaps(heaps, found, out / 'scenes.png', segmenter.needs_colour)
    draw_objects(checkpoint, out / 'objects.png')
    training = checkpoint.training
    card = {
        'method': checkpoint.method,
        'part': 'nut',
        'segmenter': checkpoint.segmenter,
        'look': look,
        'data': (
            f'{training["data"]} of a simulated heap of nuts by {look}, fingerprint'
            f' {training["fingerprint"]}; no label was read'
        ),
        **{
            key: training[key]
            for key in ('seed', 'steps', 'hardware', 'minutes')
            if key in training
        },
        'metrics': metrics,
        'measured_on': machine(),
        'command': 'insegan card --model checkpoints/hoc-nut --out NEW_FOLDER',
    }
    (out / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
    (out / 'README.md').write_text(hoc_card_text(card))
    return card


def hoc_card_text(card: dict[str, Any]) -> str:
    """The card of a HOC learner for people."""
    metrics = card['metrics']
    columns = (('', 'this'), ('_watershed', 'watershed'), ('_felzenszwalb', 'Felzenszwalb'))
    names = (
        ('ap50', 'AP50'),
        ('honest_miou', 'honest mIoU (one to one)'),
        ('count_error', 'count error'),
    )
    return '\n'.join(
        [
            f'# {card["method"]}-{card["part"]}',
            '',
            f'Divides heaps of nuts by {card["look"]}. Learnt from {card["data"]}.',
            '',
            (
                f'Seed {card["seed"]}; steps'
                f' {", ".join(f"{name} {count}" for name, count in card["steps"].items())};'
                f' {card["minutes"]} minutes on {card["hardware"]}.'
            ),
            '',
            f'| {metrics["scenes"]} other heaps, {metrics["instances"]:.0f} nuts each that are seen'
            ' by half or more | ' + ' | '.join(title for _, title in columns) + ' |',
            '|---' * (len(columns) + 1) + '|',
            *(
                f'| {title} | '
                + ' | '.join(f'{metrics[name + suffix]:.3f}' for suffix, _ in columns)
                + ' |'
                for name, title in names
            ),
            '',
            (
                f'{metrics["single"]:.0%} of the generated objects are one connected piece of an'
                ' ordinary area. The others are given the width of a nut and the best of all'
                ' parameters tried, told by the truth of these very heaps. Recompute:'
                f' `{card["command"]}`.'
            ),
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


def make_mask_card(checkpoint: Checkpoint, model: Path, out: Path, limit: int) -> dict[str, Any]:
    """The same for masks with classes learnt from image-level labels: on simulated bins of several
    kinds, with what PRM makes of the run's classifier, and with the ceiling that lies beside the
    run. Raises ConfigError where these are not there: `insegan benchmark weak` makes them."""
    run = model.parent
    ceiling, labels = run.parent / 'supervised/checkpoint', sorted(run.glob('labels*.json'))
    if not labels or not (run / 'class_maps' / WEIGHTS).is_file() or not ceiling.is_dir():
        raise ConfigError(
            f'{run} is no run of irnet or ccgr with {ceiling} beside it: expected those of insegan'
            ' benchmark weak, whose folders lie in its runs/'
        )
    with tempfile.TemporaryDirectory() as folder:
        segmenter = MaskSegmenter(checkpoint)
        images = read_image_set(
            make_mixed(Path(folder) / 'test', 2 * limit, weak.TEST), segmenter.size, segmenter.look
        )
        truth, found = truth_of(images, progress=False), detect_all(segmenter, images)
        metrics: dict[str, Any] = {'pictures': len(images), **score_masks(truth, found)}
        classifier = load_class_maps(run, segmenter.device)
        for name in ('cam', 'prm'):
            metrics |= {
                f'{key}_{name}': value
                for key, value in score_masks(
                    truth,
                    baseline_masks(name, classifier, images, segmenter.device, ProposalsConfig()),
                ).items()
                if key in ('ap25', 'ap50')
            }
        metrics |= {
            f'{key}_supervised': value
            for key, value in score_masks(
                truth, detect_all(MaskSegmenter(Checkpoint.load(ceiling)), images)
            ).items()
            if key in ('ap25', 'ap50')
        }
        learnt = read_image_set(
            make_mixed(Path(folder) / 'training', 2 * limit, weak.TRAINING),
            segmenter.size,
            segmenter.look,
        )
        made = MaskSet.load(labels[-1])
        judged = MaskSet(made.classes, made.sizes[: len(learnt)], made.masks[: len(learnt)])
        metrics |= {
            f'pseudo_{key}': value
            for key, value in score_masks(truth_of(learnt, progress=False), judged).items()
            if key in ('ap25', 'ap50')
        }
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model / WEIGHTS, out / WEIGHTS)
        weak.draw_found(images, found, truth, out / 'scenes.png')
    training = checkpoint.training
    card = {
        'method': checkpoint.method,
        'part': 'mixed',
        'segmenter': checkpoint.segmenter,
        'classes': list(segmenter.classes),
        'data': (
            f'{training["data"]} of simulated bins of ten kinds, fingerprint'
            f' {training["fingerprint"]}; no mask was read'
        ),
        **{
            key: training[key]
            for key in ('seed', 'steps', 'hardware', 'minutes')
            if key in training
        },
        'metrics': metrics,
        'measured_on': machine(),
        'command': 'insegan benchmark weak --budget medium',
    }
    (out / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
    (out / 'README.md').write_text(mask_card_text(card))
    return card


def mask_card_text(card: dict[str, Any]) -> str:
    """The card of masks with classes for people."""
    metrics = card['metrics']
    columns = (
        ('', 'this'),
        ('_cam', 'CAM'),
        ('_prm', 'PRM'),
        ('_supervised', 'taught by true masks'),
    )
    return '\n'.join(
        [
            f'# {card["method"]}-{card["part"]}',
            '',
            (
                f'Finds and names {", ".join(card["classes"])} in a colour picture of a bin. Learnt'
                f' from {card["data"]}.'
            ),
            '',
            (
                f'Seed {card["seed"]}; steps'
                f' {", ".join(f"{name} {count}" for name, count in card["steps"].items())};'
                f' {card["minutes"]} minutes on {card["hardware"]}.'
            ),
            '',
            f'| {metrics["pictures"]} unseen bins | '
            + ' | '.join(title for _, title in columns)
            + ' |',
            '|---' * (len(columns) + 1) + '|',
            *(
                f'| {title} | '
                + ' | '.join(f'{metrics[name + suffix]:.3f}' for suffix, _ in columns)
                + ' |'
                for name, title in (('ap50', 'AP50'), ('ap25', 'AP25'))
            ),
            '',
            (
                f'AP75 {metrics["ap75"]:.3f}, box AP50 {metrics["box_ap50"]:.3f}. AP is the mean'
                ' over the classes. The pseudo masks that it learnt from have AP50'
                f' {metrics["pseudo_ap50"]:.3f} on the first {metrics["pictures"]} training'
                ' pictures, whose classes are known. Recompute, training included:'
                f' `{card["command"]}`.'
            ),
            '',
            'Pictures, what is found with a score of .5 or more, the truth; a class a colour:',
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


def draw_foregrounds(
    segmenter: Any, pictures: Pictures, scores: list[dict[str, float]], path: Path, count: int = 12
) -> None:
    """Pictures, found masks and true masks in three rows, from the worst score to the best."""
    columns, ranked = [], sorted(range(len(scores)), key=lambda index: scores[index]['iou'])
    for index in ranked[:: max(len(ranked) // count, 1)][:count]:
        masks = [
            np.repeat(mask[..., None] * np.uint8(255), 3, -1)
            for mask in (segmenter.foreground(pictures.images[index]) > 0.5, pictures.masks[index])
        ]
        columns.append(np.vstack([pictures.images[index], *masks]))
    write_picture(path, np.hstack(columns))


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


def draw_singles(checkpoint: Checkpoint, path: Path, count: int = 32, seed: int = 0) -> None:
    """Single renders of the generator: they tell sooner than any score whether it has learnt the
    part."""
    generator = checkpoint.restore(
        'generator', Generator(GeneratorConfig(**checkpoint.config['insegan']['generator']))
    )
    z = torch.randn(
        count // 4, 4, generator.config.latent, generator=torch.Generator().manual_seed(seed)
    )
    with torch.inference_mode():
        picture = tile(generator(z).singles.flatten(0, 1), 8)[0].numpy()
    grey = (cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST) * 255).astype(
        np.uint8
    )
    write_picture(path, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


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
            for method, title in POSE_ENCODER.items()
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
        (
            f'Seed {card["seed"]}; steps'
            f' {", ".join(f"{name} {count}" for name, count in card["steps"].items())};'
            f' {card["minutes"]} minutes on {card["hardware"]}.'
        ),
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
        (
            f'Recompute: `{card["command"]}`. K-means is told the number of parts, the dense'
            ' network is not.'
        ),
        '',
    ]
    for picture in pictures:
        lines += [titles[picture], '', f'![{picture}]({picture}.png)', '']
    return '\n'.join(lines)
