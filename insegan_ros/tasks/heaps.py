"""Heaps with truth, simulated or photographed, and how well a segmenter divides them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from insegan_ros.data.images import read_picture
from insegan_ros.data.scene import visible_fractions
from insegan_ros.data.shards import ShardDataset
from insegan_ros.drawing.overlay import overlay
from insegan_ros.drawing.panels import write_picture
from insegan_ros.errors import DatasetError
from insegan_ros.frame import Frame, Instances, Intrinsics
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.masks import count_error, honest_miou
from insegan_ros.workspace import Workspace

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
        number = np.concatenate([[0], np.where(judged, np.cumsum(judged), 0)]).astype(np.uint16)
        labels = number[truth.labels]
        yield Heap(
            f'{folder.name} {index}',
            scene.frame,
            labels,
            (truth.labels > 0) & (labels == 0),
            scene.workspace,
        )


def photographed_heaps(folder: Path) -> list[Heap]:
    """Pictures NAME.png with their NAME_labels.png (16-bit, 0 = background) in a folder, in order
    of name: no depth, everything is judged.

    Raises DatasetError where there are none, or where sizes differ.
    """
    out = []
    for path in sorted(folder.glob('*.png')):
        truth = folder / f'{path.stem}_labels.png'
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
        out.append(
            Heap(path.stem, frame, labels.astype(np.uint16), np.zeros(labels.shape, bool), None)
        )
    if not out:
        raise DatasetError(
            f'{folder} holds no picture with labels: expected NAME.png with NAME_labels.png'
        )
    return out


def divide_heap(segmenter: Any, heap: Heap) -> Instances:
    """What a segmenter finds, without what lies by half or more on instances that are not
    judged."""
    segmenter.workspace = heap.workspace
    found = segmenter.segment(heap.frame)
    count = len(found)
    area = np.bincount(found.labels.ravel(), minlength=count + 1)[1:]
    beside = np.bincount(
        found.labels.ravel(), weights=heap.overlooked.ravel(), minlength=count + 1
    )[1:]
    kept = (area > 0) & (beside < 0.5 * area)
    number = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.uint16)
    return Instances(number[found.labels], found.scores[kept])


def score_heaps(heaps: Sequence[Heap], found: Sequence[Instances]) -> dict[str, float]:
    """AP over all of them, mean one-to-one mIoU, mean absolute count error, also as a share of what
    is there."""
    truths = [
        Instances(heap.labels, np.ones(int(heap.labels.max(initial=0)), np.float32))
        for heap in heaps
    ]
    errors = [abs(count_error(truth.labels, one.labels)) for truth, one in zip(truths, found)]
    there = [len(np.unique(truth.labels[truth.labels > 0])) for truth in truths]
    return {
        **{name: round(value, 4) for name, value in average_precision(truths, found).items()},
        'honest_miou': round(
            float(
                np.mean(
                    [honest_miou(truth.labels, one.labels) for truth, one in zip(truths, found)]
                )
            ),
            4,
        ),
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
    """The worst, the median and the best heap by AP50, one below the other."""
    order = sorted(
        range(len(heaps)), key=lambda index: score_heaps([heaps[index]], [found[index]])['ap50']
    )
    chosen = dict.fromkeys((order[0], order[len(order) // 2], order[-1]))
    write_picture(
        path,
        np.vstack([picture_heap(heaps[index], found[index], width, colour) for index in chosen]),
    )
