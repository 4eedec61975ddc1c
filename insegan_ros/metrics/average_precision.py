"""Average precision of instance masks, COCO's own measure by COCO's own tool."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from insegan_ros.data.mask_sets import MaskSet, from_instances
from insegan_ros.frame import Instances

THRESHOLDS = (0.25, 0.5, 0.75)


def average_precision(
    truths: Sequence[Instances],
    found: Sequence[Instances],
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[str, float]:
    """AP at IoU thresholds over pairs of truth and answer of the same pictures, {'ap50': ...}:
    classes are not told apart, up to 1,000 instances a picture count; pixels that the truth ignores
    count neither way. 0 where nothing is found; NaN where there is no truth."""
    return class_average_precision(part_masks(truths), part_masks(found), thresholds)


def part_masks(instances: Iterable[Instances]) -> MaskSet:
    """Instances of many pictures as masks of one class, which take little memory, and what their
    labels ignore."""
    nameless = (replace(one, classes=('part',) * len(one)) for one in instances)
    return from_instances(('part',), nameless)


def class_average_precision(
    truth: MaskSet,
    found: MaskSet,
    thresholds: Sequence[float] = THRESHOLDS,
    of: Literal['segm', 'bbox'] = 'segm',
) -> dict[str, float]:
    """The same class by class, the mean of those that there is truth of, as PASCAL VOC and COCO
    have it; by masks, or by their boxes. Classes are told by name: what is found of others is no
    answer to anything."""
    rows = _precision(truth, found, thresholds, of)
    return {
        name: float(row[~np.isnan(row)].mean()) if (~np.isnan(row)).any() else float('nan')
        for name, row in zip(_names(thresholds), rows)
    }


def precision_by_class(
    truth: MaskSet, found: MaskSet, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, dict[str, float]]:
    """The same for every class that there is truth of, {'nut': {'ap50': ...}}."""
    rows = _precision(truth, found, thresholds, 'segm')
    return {
        kind: {name: round(float(row[number]), 4) for name, row in zip(_names(thresholds), rows)}
        for number, kind in enumerate(truth.classes)
        if not np.isnan(rows[0][number])
    }


def _names(thresholds: Sequence[float]) -> list[str]:
    return [f'ap{round(100 * one)}' for one in thresholds]


def _precision(
    truth: MaskSet, found: MaskSet, thresholds: Sequence[float], of: Literal['segm', 'bbox']
) -> np.ndarray:
    """AP (thresholds, classes), NaN for classes that there is no truth of."""
    found = found.outside(truth.void)
    counts = np.zeros(len(truth.classes), int)
    for some in truth.masks:
        for one in some:
            counts[one.kind] += 1
    images = [
        {'id': index, 'height': height, 'width': width}
        for index, (height, width) in enumerate(truth.sizes)
    ]
    annotations, answers = (_annotations(some, truth.classes) for some in (truth, found))
    if not annotations or not answers:
        return np.where(counts > 0, 0.0, np.nan)[None].repeat(len(thresholds), 0)
    # The tool prints what it does.
    with contextlib.redirect_stdout(io.StringIO()):
        true, answer = COCO(), COCO()
        true.dataset = {
            'images': images,
            'categories': [
                {'id': number, 'name': name} for number, name in enumerate(truth.classes, 1)
            ],
            'annotations': annotations,
        }
        answer.dataset = {**true.dataset, 'annotations': answers}
        true.createIndex()
        answer.createIndex()
        evaluation = COCOeval(true, answer, of)
        evaluation.params.iouThrs, evaluation.params.maxDets = np.array(thresholds), [1000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ['all']
        evaluation.evaluate()
        evaluation.accumulate()
    # (thresholds, recalls, classes); -1 where there is no truth of a class.
    precision = evaluation.eval['precision'][:, :, :, 0, 0]
    return np.where(precision.min(1) >= 0, precision.mean(1), np.nan)


def _annotations(masks: MaskSet, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    numbers = {
        kind: classes.index(name) + 1 for kind, name in enumerate(masks.classes) if name in classes
    }
    found = [
        (index, one)
        for index, some in enumerate(masks.masks)
        for one in some
        if one.kind in numbers
    ]
    return [
        {
            'id': number,
            'image_id': index,
            'category_id': numbers[one.kind],
            'iscrowd': 0,
            'area': one.area,
            'bbox': one.box,
            'score': one.score,
            'segmentation': one.packed,
        }
        for number, (index, one) in enumerate(found, 1)
    ]
