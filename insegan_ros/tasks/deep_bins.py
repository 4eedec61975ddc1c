"""Bins of many parts in layers, for cards: what a bin is before it is nearly empty."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from tqdm import tqdm

from insegan_ros.data.scene import visible_fractions
from insegan_ros.metrics.masks import score_seen, seen_summary
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.tasks.base import TEST_SEED
from insegan_sim.parts import Part
from insegan_sim.scenes import bin_setup, scene_stream
from insegan_sim.sensor import load_sensor

PARTS, FILL, SENSORS = 40, 2.0, ('ideal', 'd435')
TITLES = {
    'seen_miou': 'mIoU of parts half seen or more',
    'found50': 'of them found (IoU .5)',
    'found75': 'of them found (IoU .75)',
    'precision': 'precision (IoU .5)',
}


def evaluate_deep(segmenter: Segmenter, part: str | Part, limit: int) -> dict[str, float]:
    """seen_summary's figures of `limit` bins of PARTS parts in FILL layers for each sensor, by
    names such as deep_ideal_found50, and `deep_scenes`."""
    out: dict[str, float] = {'deep_scenes': limit}
    for sensor in SENSORS:
        setup = replace(bin_setup(part, PARTS, TEST_SEED, fill=FILL), sensor=load_sensor(sensor))
        scores = []
        for scene in tqdm(
            islice(scene_stream(setup), limit), desc=f'deep {sensor}', total=limit, unit='scene'
        ):
            truth = scene.labelled()
            found = segmenter.segment(scene.frame, scene.workspace)
            scores.append(score_seen(truth, visible_fractions(truth), found.labels))
        out |= {
            f'deep_{sensor}_{name}': round(value, 4) for name, value in seen_summary(scores).items()
        }
    return out


def deep_table(metrics: dict[str, float]) -> list[str]:
    """The figures as lines of Markdown; none where a card has none."""
    if 'deep_scenes' not in metrics:
        return []
    heads = [f'{sensor} depth' for sensor in SENSORS]
    lines = [
        f'In {metrics["deep_scenes"]:.0f} bins of {PARTS} parts in {FILL:g} layers, never seen in'
        ' training:',
        '',
        f'| | {" | ".join(heads)} |',
        f'|---|{"---|" * len(heads)}',
    ]
    for name, title in TITLES.items():
        cells = [f'{metrics[f"deep_{sensor}_{name}"]:.3f}' for sensor in SENSORS]
        lines.append(f'| {title} | {" | ".join(cells)} |')
    return [*lines, '']
