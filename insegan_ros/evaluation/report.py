"""Evaluations for people: a table in the terminal, a picture of the worst, the median and the best
scene, model cards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from insegan_ros.datasets.scene import Scene
from insegan_ros.evaluation.evaluate import Evaluation
from insegan_ros.overlay import overlay
from insegan_ros.segmenters.base import Segmenter


def print_summary(summary: dict[str, float | int]) -> None:
    """Ours beside K-means, random scenes beside those where K-means fails."""
    print(f'{"":24}{"random":>10}{"K-means":>10}{"hard":>12}{"K-means":>10}')
    print(f'{"scenes":24}{summary["scenes"]:>10}{"":10}{summary["scenes_hard"]:>12}')
    for name, title in (
        ('honest_miou', 'honest mIoU'),
        ('paper_miou', "paper's mIoU"),
        ('foreground_iou', 'foreground IoU'),
        ('count_error', 'count error'),
    ):
        cells = [
            summary.get(key)
            for key in (name, f'kmeans_{name}', f'{name}_hard', f'kmeans_{name}_hard')
        ]
        print(
            f'{title:24}'
            + ''.join(
                f'{"-" if cell is None else f"{cell:.3f}":>{width}}'
                for cell, width in zip(cells, (10, 10, 12, 10))
            )
        )
    for name, title in (
        ('ap50', 'AP50'),
        ('ap75', 'AP75'),
        ('first_pick_free', 'first pick truly free'),
    ):
        cells = [summary.get(key) for key in (name, f'{name}_hard')]
        print(
            f'{title:24}'
            + ''.join(
                f'{"-" if cell is None else f"{cell:.3f}":>{width}}{"":10}'
                for cell, width in zip(cells, (10, 12))
            ).rstrip()
        )
    for name, title in (
        ('add_s_below_tenth', 'ADD-S below .1 diameter'),
        ('median_add_s', 'median ADD-S, diameters'),
    ):
        if name in summary:
            print(
                f'{title:24}{summary[name]:>10.3f}{"":10}'
                + (
                    f'{summary[f"{name}_hard"]:>12.3f}'
                    if f'{name}_hard' in summary
                    else f'{"-":>12}'
                )
            )
    print(
        "hard: the scenes on which K-means has a best-IoU below 0.7 (the paper's test set). honest:"
        ' one to one, predicted foreground.'
    )


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
        frame, truth = kept[scene.index].frame, kept[scene.index].labelled()
        segmenter.workspace = kept[scene.index].workspace
        columns.append(
            compared(
                f'{title} {scene.ours.honest_miou:.2f}',
                frame.depth_m,
                segmenter.segment(frame).labels,
                truth.labels,
            )
        )
    write_picture(path, np.hstack(columns))


def compared(title: str, depth_m: np.ndarray, found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Depth, found and true labels (H, W) of one scene below each other, RGB, each with a line of
    text above."""
    panels = {f'{title}: depth': np.zeros_like(truth), 'found': found, 'truth': truth}
    return np.vstack([titled(text, overlay(depth_m, labels)) for text, labels in panels.items()])


def titled(title: str, panel: np.ndarray) -> np.ndarray:
    """A panel (H, W, 3) with a line of text above it."""
    bar = np.full((30, panel.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, title, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([bar, panel])


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB as PNG."""
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
