"""Evaluations for people: a table in the terminal, a picture of the worst, the median and the best scene, model cards."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from insegan_ros.evaluation.evaluate import Evaluation, truth_frames
from insegan_ros.overlay import overlay
from insegan_ros.segmenters.base import Segmenter


def print_summary(summary: dict[str, float | int]) -> None:
    """Ours beside K-means, random scenes beside those where K-means fails."""
    print(f'{"":24}{"random":>10}{"K-means":>10}{"hard":>12}{"K-means":>10}')
    print(f'{"scenes":24}{summary["scenes"]:>10}{"":10}{summary["scenes_hard"]:>12}')
    for name, title in (('honest_miou', 'honest mIoU'), ('paper_miou', "paper's mIoU"), ('foreground_iou', 'foreground IoU'), ('count_error', 'count error')):
        cells = [summary.get(key) for key in (name, f'kmeans_{name}', f'{name}_hard', f'kmeans_{name}_hard')]
        print(f'{title:24}' + ''.join(f'{"-" if cell is None else f"{cell:.3f}":>{width}}' for cell, width in zip(cells, (10, 10, 12, 10))))
    print('hard: the scenes on which K-means has a best-IoU below 0.7 (the paper\'s test set). honest: one to one, predicted foreground.')


def worst_to_best(segmenter: Segmenter, data: str | Path, result: Evaluation, path: Path) -> None:
    """Draw the worst, the median and the best scene: depth, masks, truth in a column each."""
    order = np.argsort([scene.honest_miou for scene in result.scenes])
    chosen = [int(order[0]), int(order[len(order) // 2]), int(order[-1])]
    scenes = truth_frames(data, max(chosen) + 1)
    columns = []
    for title, index in zip(('worst', 'median', 'best'), chosen):
        frame, truth = scenes[index]
        found = segmenter.segment(frame)
        panels = [overlay(frame.depth_m, labels) for labels in (np.zeros_like(truth.labels), found.labels, truth.labels)]
        bar = np.full((26, panels[0].shape[1], 3), 24, np.uint8)
        cv2.putText(bar, f'{title} {result.scenes[index].honest_miou:.2f}', (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
        columns.append(np.vstack([bar, *panels]))
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))
