"""The data, trainings and scores of `insegan benchmark insta10` in a folder, each made once.

A cell is one method on the test scenes of one part. Its result is a file; a second start takes what
is there. Trainings are recipes' own runs in folders of their own, so they too go on where they were
stopped.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from insegan_ros.benchmarks.budgets import differing
from insegan_ros.benchmarks.cells import run_cells, shipped_hash
from insegan_ros.benchmarks.held_out import HeldOut, held_out
from insegan_ros.benchmarks.insta10_rows import (
    INSTANCES,
    SHIPPED,
    VORONOI,
    Insta10Budget,
    Insta10Cell,
    cells,
)
from insegan_ros.data.scene import Scene
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError
from insegan_ros.frame import Frame, Instances, counted
from insegan_ros.methods.insegan.stages import EncoderConfig
from insegan_ros.methods.registry import METHODS, load_segmenter
from insegan_ros.metrics.average_precision import average_precision
from insegan_ros.metrics.masks import covering, foreground_rand, score
from insegan_ros.offsets.stage import OffsetTrainConfig
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import Workspace
from insegan_sim.generate import SimulateConfig, simulate

# COCO's: AP is the mean over them.
AP_THRESHOLDS = tuple(np.arange(0.5, 1.0, 0.05).round(2).tolist())


class VoronoiPartition(Segmenter):
    """As many instances as it is told, each of them what lies nearest to a random point of the
    picture, floor and all: what an answer is worth that has seen nothing."""

    def __init__(self, seed: int = 0) -> None:
        self.rng, self.instances = np.random.default_rng(seed), INSTANCES

    def told(self, instances: int) -> VoronoiPartition:
        """The same, of so many instances."""
        self.instances = instances
        return self

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """A partition that neither knows."""
        height, width = frame.depth_m.shape
        centres = self.rng.uniform(0, (height, width), (self.instances, 2))
        y, x = np.mgrid[:height, :width]
        squared = (y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2
        return _instances(squared.argmin(-1) + 1)


class Insta10:
    """The benchmark in a folder: `data` (training), `test`, `runs`, `results`, and at the end
    tables.json, tables.md, report.html."""

    def __init__(
        self, folder: Path, budget: Insta10Budget, device: str = 'auto', threads: int = 0
    ) -> None:
        self.folder, self.budget, self.device, self.threads = folder, budget, device, threads
        self._tests: dict[tuple[str, str], HeldOut] = {}

    def tests(self, part: str, sensor: str) -> HeldOut:
        """The test scenes of a part under a sensor. One set is kept in memory at a time."""
        if (part, sensor) not in self._tests:
            folder = self.folder / 'test' / f'{part}-{sensor}'
            limit, max_scenes = self.budget.limit, self.budget.max_scenes
            self._tests = {(part, sensor): held_out(folder, part, sensor, limit, max_scenes)}
        return self._tests[part, sensor]

    def run(self, only: set[str], measured: bool = False) -> list[dict[str, Any]]:
        """The cells' results, as run_cells gives them; `only` names tables, methods and parts.
        measured: only those that are there already."""
        return run_cells(
            'insta10',
            self.folder,
            list(cells(self.budget)),
            ('table', 'method', 'part'),
            only,
            self._identity,
            None if measured else self._measure,
            ('table', 'method', 'part', 'seed'),
        )

    def config(self, cell: Insta10Cell) -> Any:
        """The configuration of a cell that is trained, without its part and its seed."""
        return self.budget.config(cell.training, cell.changes)

    def _identity(self, cell: Insta10Cell) -> str:
        """What decides whether an earlier result of a cell still holds."""
        config = asdict(self.config(cell)) if cell.training else {}
        numbers = [self.budget.scenes, self.budget.limit, self.budget.max_scenes]
        text = json.dumps([asdict(cell), config, *numbers], sort_keys=True, default=str)
        return text + (shipped_hash(cell.model) if cell.method in SHIPPED else '')

    def _measure(self, cell: Insta10Cell) -> dict[str, Any] | None:
        """Train if need be, segment the test scenes, score. None where a shipped checkpoint is not
        there."""
        model, minutes = cell.model, None
        if cell.training:
            checkpoint = self.train(cell)
            trained = Checkpoint.load(checkpoint)
            model, minutes = str(checkpoint), trained.training['minutes']
            if generator := trained.config.get('generator'):
                minutes += Checkpoint.load(generator).training['minutes']
        try:
            segmenter = (
                load_segmenter(model, cell.segmenter, device=self.device)
                if model
                else VoronoiPartition()
            )
        except CheckpointError:
            if cell.method in SHIPPED:
                return None
            raise
        tests = self.tests(cell.part, cell.sensor)
        begun = time.perf_counter()
        found = [
            segment_scene(segmenter, scene)
            for scene in tqdm(tests.scenes, desc=f'{cell.method} {cell.part}', leave=False)
        ]
        scene_ms = 1000 * (time.perf_counter() - begun) / len(found)
        truths = [scene.labelled() for scene in tests.scenes]
        return {
            'table': cell.table,
            'method': cell.method,
            'part': cell.part,
            'seed': cell.seed,
            'sensor': cell.sensor,
            'budget': self.budget.name,
            'model': cell.model,
            'config': differing(self.config(cell)) if cell.training else {},
            'checkpoint': str(Path(model).relative_to(self.folder)) if cell.training else model,
            'segmenter': cell.segmenter,
            'minutes': minutes,
            'scene_ms': round(scene_ms, 1),
            'looked_at': tests.looked_at,
            'random': tests.random,
            'hard': tests.hard,
            'scores': [scores(true, one) for true, one in zip(truths, found)],
            'ap': {
                'random': precision(truths, found, tests.random),
                'hard': precision(truths, found, tests.hard),
            },
        }

    def train(self, cell: Insta10Cell) -> Path:
        """The checkpoint of a cell's configuration, trained once for all cells that share it."""
        recipe = self.budget.trainings[cell.training].recipe
        return self._train(recipe, cell.part, cell.sensor, cell.seed, self.config(cell))

    def _train(self, recipe: str, part: str, sensor: str, seed: int, own: Any) -> Path:
        """The same. own: the configuration without part and seed."""
        data = self.folder / 'data' / f'{part}-{sensor}'
        loop = replace(own.loop, device=self.device, threads=self.threads)
        config = replace(own, data=str(data), seed=seed, loop=loop)
        text = json.dumps([recipe, asdict(config)], sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:10]
        out = self.folder / 'runs' / f'{part}-{recipe}-{key}'
        if (out / 'checkpoint').exists():
            return out / 'checkpoint'
        if recipe == 'insegan' and (alone := generator_alone(own)) != own:
            generator = self._train(recipe, part, sensor, seed, alone)
            config = replace(config, generator=str(generator))
        simulate(
            SimulateConfig(
                part=part,
                scenes=self.budget.scenes,
                out=str(data),
                sensor=sensor,
                seed=0,
                shard_scenes=min(100, self.budget.scenes),
            )
        )
        return METHODS[recipe].run(replace(config, out=str(out)))


def generator_alone(config: Any) -> Any:
    """The training of an insegan configuration's generator, and of nothing else: rows that differ
    in what comes after it share one, so nothing of that may be in its configuration."""
    return replace(
        config,
        insegan=replace(config.insegan, candidates=1, encoder=EncoderConfig(0)),
        offsets=OffsetTrainConfig(steps=0),
        factory='generator',
    )


def scores(truth: Instances, found: Instances) -> dict[str, float]:
    """All measures of one scene."""
    labels = counted(truth.labels, found.labels)
    both = {'ari': foreground_rand(*labels), 'msc': covering(*labels)}
    return asdict(score(truth, found)) | both


def precision(
    truths: Sequence[Instances], found: Sequence[Instances], chosen: Sequence[bool]
) -> float | None:
    """COCO's AP[.5:.95] over the chosen scenes; None where there are none."""
    inside = [index for index, one in enumerate(chosen) if one]
    if not inside:
        return None
    pairs = [truths[index] for index in inside], [found[index] for index in inside]
    return float(np.mean([*average_precision(*pairs, AP_THRESHOLDS).values()]))


def protocol_check(tests: HeldOut, seed: int = 0) -> dict[str, dict[str, float]]:
    """Two answers that no honest measure may praise: a random Voronoi partition of the whole
    picture, and the true masks dilated by 3 px (of 64), with the floor around them."""
    partition = VoronoiPartition(seed)
    out: dict[str, list[dict[str, float]]] = {VORONOI: [], 'true masks dilated by 3 px of 64': []}
    for scene in tests.scenes:
        truth = scene.labelled()
        out[VORONOI].append(scores(truth, segment_scene(partition, scene)))
        radius_px = 3 * truth.labels.shape[1] / 64
        out['true masks dilated by 3 px of 64'].append(
            scores(truth, _instances(dilated(truth.labels, radius_px)))
        )
    return {
        name: {
            metric: float(np.mean([one[metric] for one in scored]))
            for metric in ('honest_miou', 'paper_miou', 'ari', 'msc')
        }
        for name, scored in out.items()
    }


def dilated(labels: np.ndarray, radius_px: float) -> np.ndarray:
    """Every instance of a label image (H, W) grown over the floor by radius_px; where two meet, to
    the middle."""
    from scipy.ndimage import distance_transform_edt

    distance, (rows, columns) = distance_transform_edt(labels == 0, return_indices=True)
    return np.where(distance <= radius_px, labels[rows, columns], 0)


def _instances(labels: np.ndarray) -> Instances:
    """A label image (H, W) as an answer whose scores are all the same."""
    return Instances(labels.astype(np.uint16), np.full(int(labels.max(initial=0)), 0.5, np.float32))


def segment_scene(segmenter: Segmenter, scene: Scene) -> Instances:
    """Segment a test scene, its floor and bounds given, and to methods that must be told the number
    of parts."""
    return segmenter.told(len(scene.labelled())).segment(scene.frame, scene.workspace)
