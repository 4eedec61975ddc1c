"""Masks with the names of their classes, or the class of every pixel alone: how such a segmenter
answers, how it is scored, and how its answers are drawn."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from insegan_ros.data.image_set_reader import read_image_set
from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import Mask, MaskSet, sizes_of, truth_of
from insegan_ros.drawing.overlay import draw_masks
from insegan_ros.drawing.panels import sheet
from insegan_ros.engine.checkpoint import WEIGHTS, Checkpoint
from insegan_ros.engine.config import shipped_yaml
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import to_tensor
from insegan_ros.methods.image_level.class_maps import ClassMapNet, load_class_maps
from insegan_ros.methods.image_level.mask_rcnn import MaskSegmenter
from insegan_ros.methods.image_level.peak_response import PeakResponse, cam_masks, prm_masks
from insegan_ros.methods.image_level.proposals import ProposalsConfig, propose
from insegan_ros.metrics.average_precision import precision_by_class
from insegan_ros.metrics.classes import Confusion, score_masks, semantic_of
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.segmenters.classes import ClassSegmenter, MaskDetector, PixelClassifier
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
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig, simulate

# Seeds of the simulated bins of several kinds.
TRAINING, TEST = 1, 2
TITLES = (('ap50', 'AP50'), ('ap25', 'AP25'))
# What a card compares with, by the suffix of its metrics.
OTHERS = {'': 'this', '_cam': 'CAM', '_prm': 'PRM', '_supervised': 'taught by true masks'}
# Pictures that are drawn, and the score from which on their masks are.
DRAWN, DRAWN_SCORE = 5, 0.5
# What of a method was chosen with labels, though it learns without: methods/image_level/bags.py.
CHOSEN = {
    'ccgr': (
        '; two settings, how far the peaks of attention are blurred and how high they must be, were'
        ' chosen with the masks of 40 of these bins'
    )
}


def detect_all(segmenter: MaskDetector, images: ImageSet) -> MaskSet:
    """The masks that it finds in every picture of a set, down to a score of .05; their classes are
    those that it was taught. Raises InputError for pictures of other channels or classes."""
    segmenter.require_taught(images)
    indices = tqdm(range(len(images)), desc='detect', leave=False)
    found = tuple(segmenter.detect(images.picture(index)) for index in indices)
    return MaskSet(segmenter.classes, sizes_of(images), found)


def label_all(
    segmenter: PixelClassifier, images: ImageSet, truth: MaskSet
) -> tuple[MaskSet, float]:
    """The class of every pixel of a set, each class of a picture as one mask, and the mean IoU in
    [0, 1] over the true classes and the background. Raises InputError for pictures of other
    channels or classes."""
    segmenter.require_taught(images)
    confusion, masks = Confusion(len(truth.classes)), []
    numbers = [0, *(_number(name, truth.classes) for name in segmenter.classes)]
    true_number = np.array(numbers, np.uint8)
    for index in tqdm(range(len(images)), desc='label', leave=False):
        label = segmenter.label(images.picture(index))
        confusion.add(semantic_of(truth, index), true_number[label])
        seen = [number for number in np.unique(label) if number]
        masks.append(tuple(Mask.of(int(number) - 1, 1.0, label == number) for number in seen))
    return MaskSet(segmenter.classes, sizes_of(images), tuple(masks)), confusion.miou()


def _number(name: str, classes: tuple[str, ...]) -> int:
    """Of a class in semantic labels; 0, as the background, where it is none of them."""
    return classes.index(name) + 1 if name in classes else 0


def draw_found(images: ImageSet, found: MaskSet, truth: MaskSet, path: Path) -> None:
    """Write some pictures as PNG, a row each: the picture, what was found in it with a score of .5
    or more, and the truth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(found_rows(images, found, truth), path)


def found_rows(images: ImageSet, found: MaskSet, truth: MaskSet) -> list[dict[str, np.ndarray]]:
    """The rows of `draw_found`: pictures (H, W, 3) uint8 by their titles."""
    # A model may find what is not among the set's classes.
    names = list(dict.fromkeys((*truth.classes, *found.classes)))
    rows = []
    for index in np.linspace(0, len(truth) - 1, min(DRAWN, len(truth))).astype(int):
        picture = images.picture(index)
        row = {'picture': picture[..., :3]}
        for title, masks in (('found', found), ('truth', truth)):
            shown = [
                (names.index(masks.classes[number]), pixels)
                for number, pixels in masks.pixels(index, DRAWN_SCORE)
            ]
            row[title] = draw_masks(picture, shown, len(names))
        rows.append(row)
    return rows


def make_mixed(out: Path, scenes: int, seed: int, changes: dict[str, Any] | None = None) -> Path:
    """Bins of several kinds by the shipped preset, changed or not, with masks, or what is missing
    of them."""
    preset = shipped_yaml('simulate/mixed.yaml')
    own = {'scenes': scenes, 'seed': seed, 'truth': 'full', 'out': str(out)}
    values = {**preset, 'jitter': Jitter(**preset['jitter']), **(changes or {}), **own}
    return simulate(SimulateConfig(**values))


def baseline_masks(
    what: str, network: ClassMapNet, images: ImageSet, device: torch.device, settings: Any
) -> MaskSet:
    """What a method finds that has a classifier alone: `cam`, `cam_boxes` or `prm`. settings: of
    PRM's proposals."""
    masks: list[tuple[Mask, ...]] = []
    response = PeakResponse(network) if what == 'prm' else None
    for index in tqdm(range(len(images)), desc=what, leave=False):
        picture = to_tensor(images.picture(index), device)
        masks.append(
            prm_masks(response, picture, propose(images.picture(index), settings))
            if response
            else cam_masks(network, picture, what == 'cam_boxes')
        )
    return MaskSet(images.classes, sizes_of(images), tuple(masks))


class ClassesTask(Task):
    """Masks with the names of their classes, or the class of every pixel, on colour pictures."""

    def load(self, segmenter: Segmenter, source: Source) -> ImageSet:
        """Pictures with masks and classes: shards, PASCAL VOC or COCO."""
        method = expect(segmenter, ClassSegmenter)
        return read_image_set(source.path, method.size, method.modality, source.split, source.limit)

    def evaluate(self, segmenter: Segmenter, data: ImageSet) -> Result:
        """Average precision over the classes and by class; of a method that tells no instances
        apart the mean IoU of its classes."""
        truth = truth_of(data, progress=False)
        if isinstance(segmenter, MaskDetector):
            found = detect_all(segmenter, data)
            figures, rows = score_masks(truth, found), {'classes': precision_by_class(truth, found)}
        else:
            found, miou = label_all(expect(segmenter, PixelClassifier), data, truth)
            figures, rows = {'miou': round(miou, 4)}, {}
        summary = {'pictures': len(data), **figures}
        return Result(
            summary,
            rows,
            lambda path: draw_found(data, found, truth, path),
            json.dumps({**summary, **rows}, indent=1),
        )

    def card(self, checkpoint: Checkpoint, model: Path, limit: int) -> Card:
        """On simulated bins of several kinds, beside what CAM and PRM make of the run's classifier
        and the ceiling that lies beside the run. Raises ConfigError where these are not there:
        `insegan benchmark weak` makes them."""
        run = model.parent
        ceiling = run.parent / 'supervised/checkpoint'
        # The last round's, of ten or more too.
        labels = sorted(run.glob('labels*.json'), key=lambda path: (len(path.name), path.name))
        whole = labels and (run / 'class_maps' / WEIGHTS).is_file() and ceiling.is_dir()
        if checkpoint.segmenter != 'masks' or not whole:
            raise ConfigError(
                f'{run} is not a run of irnet or ccgr that got as far as masks, with {ceiling}'
                ' beside it: expected one of insegan benchmark weak, whose folders lie in its'
                ' runs/'
            )
        segmenter = MaskSegmenter(checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            images = read_image_set(
                make_mixed(Path(folder) / 'test', 2 * limit, TEST),
                segmenter.size,
                segmenter.modality,
            )
            learnt = read_image_set(
                make_mixed(Path(folder) / 'training', 2 * limit, TRAINING),
                segmenter.size,
                segmenter.modality,
            )
            if set(segmenter.classes) != set(images.classes):
                raise ConfigError(
                    f'{model} knows {", ".join(segmenter.classes)}: expected the kinds of the'
                    f' simulated bins on which a card is measured, {", ".join(images.classes)};'
                    ' for others there is insegan evaluate'
                )
            truth, found = truth_of(images, progress=False), detect_all(segmenter, images)
            others = compared(images, run, ceiling, segmenter.device)
            rows = found_rows(images, found, truth)
            learnt_truth = truth_of(learnt, progress=False)
        metrics: dict[str, Any] = {'pictures': len(images), **score_masks(truth, found)}
        for suffix, masks in others.items():
            metrics |= _compared_figures(truth, masks, '', suffix)
        made = MaskSet.load(labels[-1])
        judged = MaskSet(made.classes, made.sizes[: len(learnt)], made.masks[: len(learnt)])
        metrics |= _compared_figures(learnt_truth, judged, 'pseudo_', '')
        training = checkpoint.training
        values = card_values(
            checkpoint,
            'mixed',
            f'{training["data"]} of simulated bins of ten kinds, fingerprint'
            f' {training["fingerprint"]}; no mask was read in training'
            + CHOSEN.get(checkpoint.method, ''),
            metrics,
            'insegan benchmark weak --budget medium',
            classes=list(segmenter.classes),
        )
        return Card(values, card_text(values), {'scenes': lambda path: sheet(rows, path)})


def compared(
    images: ImageSet, run: Path, ceiling: Path, device: torch.device
) -> dict[str, MaskSet]:
    """What a card compares with finds, by the suffix of its metrics."""
    classifier = load_class_maps(run, device)
    return {
        f'_{name}': baseline_masks(name, classifier, images, device, ProposalsConfig())
        for name in ('cam', 'prm')
    } | {'_supervised': detect_all(MaskSegmenter(Checkpoint.load(ceiling)), images)}


def _compared_figures(truth: MaskSet, found: MaskSet, prefix: str, suffix: str) -> dict[str, float]:
    scores = score_masks(truth, found)
    return {f'{prefix}{key}{suffix}': scores[key] for key in ('ap25', 'ap50')}


def card_text(card: dict[str, Any]) -> str:
    """The card for people."""
    metrics = card['metrics']
    lines = [
        f'# {card["method"]}-{card["part"]}',
        '',
        f'Finds and names {", ".join(card["classes"])} in a colour picture of a bin. Learnt from'
        f' {card["data"]}.',
        '',
        training_line(card),
        '',
        *figure_table(f'{metrics["pictures"]} unseen bins', OTHERS, TITLES, metrics),
        '',
        f'AP75 {metrics["ap75"]:.3f}, box AP50 {metrics["box_ap50"]:.3f}. AP is the mean over the'
        ' classes. The pseudo masks that it learnt from have AP50'
        f' {metrics["pseudo_ap50"]:.3f} on the first {metrics["pictures"]} training pictures, whose'
        f' classes are known. Recompute, training included: `{card["command"]}`.',
        '',
        'Pictures, what is found with a score of .5 or more, the truth; a class a colour:',
        '',
        '![scenes](scenes.png)',
        '',
    ]
    return '\n'.join(lines)
