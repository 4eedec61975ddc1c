"""Average precision of instance masks, COCO's own measure by COCO's own tool."""
from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from insegan_ros.frame import Instances

THRESHOLDS = (0.25, 0.5, 0.75)


def average_precision(truths: Sequence[Instances], found: Sequence[Instances], thresholds: Sequence[float] = THRESHOLDS) -> dict[str, float]:
    """AP at IoU thresholds over pairs of truth and answer of the same pictures, {'ap50': ...}: classes are not told apart, up to
    1,000 instances a picture count. 0 where nothing is found; NaN where there is no truth."""
    images = [{'id': index, 'height': one.labels.shape[0], 'width': one.labels.shape[1]} for index, one in enumerate(truths)]
    annotations = [{'image_id': index, 'category_id': 1, 'iscrowd': 0, 'area': area, 'segmentation': mask}
                   for index, one in enumerate(truths) for mask, area, _ in _masks(one)]
    answers = [{'image_id': index, 'category_id': 1, 'area': area, 'segmentation': mask, 'score': score}
               for index, one in enumerate(found) for mask, area, score in _masks(one)]
    names = [f'ap{round(100 * one)}' for one in thresholds]
    if not annotations or not answers:
        return dict.fromkeys(names, 0.0 if annotations else float('nan'))
    # The tool prints what it does.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {'images': images, 'categories': [{'id': 1, 'name': 'part'}], 'annotations': [{**one, 'id': i} for i, one in enumerate(annotations, start=1)]}
        truth.createIndex()
        answer = COCO()
        answer.dataset = {**truth.dataset, 'annotations': [{**one, 'id': i} for i, one in enumerate(answers, start=1)]}
        answer.createIndex()
        evaluation = COCOeval(truth, answer, 'segm')
        evaluation.params.iouThrs, evaluation.params.maxDets = np.array(thresholds), [1000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ['all']
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][:, :, 0, 0, 0]
    return {name: float(row.mean()) for name, row in zip(names, precision)}


def _masks(one: Instances) -> list[tuple[dict, float, float]]:
    """Run-length mask, area and score of every instance that is seen."""
    out = []
    for label, score in enumerate(one.scores, start=1):
        packed = rle.encode(np.asfortranarray((one.labels == label).astype(np.uint8)))
        area = float(rle.area(packed))
        if area:
            out.append((packed, area, float(score)))
    return out
