"""A segmenter on labelled scenes: honest and paper protocol side by side, K-means on the same
scenes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from insegan_ros.data.scene import Scene
from insegan_ros.drawing.panels import compared, write_picture
from insegan_ros.errors import DatasetError
from insegan_ros.frame import Instances
from insegan_ros.geometry.clusters import kmeans_instances
from insegan_ros.methods.posed import PosedSegmenter
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.hard import KMEANS_FAILS_BELOW
from insegan_ros.metrics.masks import SceneScore, score
from insegan_ros.metrics.picks import first_pick_is_free
from insegan_ros.metrics.poses import errors_of
from insegan_ros.tasks.segmenter import Segmenter


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
            if errors := [error for s in chosen for error in s.add_s]:
                out |= {
                    f'poses{suffix}': len(errors),
                    f'add_s_below_tenth{suffix}': round(float((np.array(errors) < 0.1).mean()), 4),
                    f'median_add_s{suffix}': round(float(np.median(errors)), 4),
                }
            picks = [s.first_pick_free for s in chosen if s.first_pick_free is not None]
            if picks:
                out[f'first_pick_free{suffix}'] = round(float(np.mean(picks)), 4)
        return out

    def rows(self) -> list[dict[str, object]]:
        """One row a scene, for a JSON file."""
        return [asdict(scene) for scene in self.scenes]


def evaluate(
    segmenter: Segmenter, scenes: Iterable[Scene], limit: int = 100, progress: bool = True
) -> Evaluation:
    """Score a segmenter on the first `limit` scenes and on the first `limit` on which K-means
    fails, K-means beside it.

    Scenes without labels are passed over. Each is given a scene's own floor and bounds, K-means the
    true number of parts as well. With a mesh (PosedSegmenter) poses are scored where true ones are
    known. Raises DatasetError for a scene without a visible part, InputError for one without masks.
    """
    results: list[SceneResult] = []
    pairs: dict[str, list[tuple[Instances, Instances]]] = {'': [], '_hard': []}
    scales = getattr(segmenter, 'scales', None)
    hard_found, index = 0, -1
    with tqdm(total=2 * limit, desc='evaluate', unit='scene', disable=not progress) as bar:
        for index, scene in enumerate(scenes):
            if scene.truth is None and not scene.present:
                # A recording may have labels for some of its frames only.
                continue
            frame, truth = scene.frame, scene.labelled()
            if not truth.labels.any():
                raise DatasetError(f'scene {index} has no visible part: expected labelled scenes')
            segmenter.workspace = scene.workspace
            theirs = score(truth, kmeans_instances(frame, scene.workspace, len(truth)))
            random, hard = (
                index < limit,
                theirs.paper_miou < KMEANS_FAILS_BELOW and hard_found < limit,
            )
            if random or hard:
                found = segmenter.segment(frame)
                # Masks alone are kept: amodal ones of hundreds of scenes would fill the memory.
                pair = Instances(truth.labels, truth.scores), Instances(found.labels, found.scores)
                for suffix, member in (('', random), ('_hard', hard)):
                    if member:
                        pairs[suffix].append(pair)
                free = first_pick_is_free(
                    scene, found, part_area_m2=scales.part_area_m2 if scales else 0.0
                )
                errors = (
                    errors_of(
                        truth, found, segmenter.registration.points, segmenter.registration.diameter
                    )
                    if isinstance(segmenter, PosedSegmenter)
                    else []
                )
                results.append(
                    SceneResult(
                        index, random, hard, score(truth, found), theirs, free, tuple(errors)
                    )
                )
                hard_found += hard
                bar.update(random + hard)
            if index + 1 >= limit and hard_found >= limit:
                break
    if not results:
        raise DatasetError('there are no labelled scenes: expected at least one')
    return Evaluation(
        results,
        index + 1,
        {suffix: average_precision(*zip(*some)) for suffix, some in pairs.items() if some},
    )


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
