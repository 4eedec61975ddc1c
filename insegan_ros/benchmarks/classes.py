"""`insegan benchmark weak`: the tables of IRNet and CCGR on the simulator's bins of several kinds,
from data to table, in one command that can be stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from insegan_ros.benchmarks.cells import run_cells, shipped_hash
from insegan_ros.benchmarks.classes_labels import first_round, irnet_masks, semantic_miou
from insegan_ros.benchmarks.classes_refinement import draw_steps
from insegan_ros.benchmarks.classes_report import as_rows, markdown
from insegan_ros.benchmarks.classes_rows import ClassesBudget, ClassesCell, cells
from insegan_ros.benchmarks.classes_runs import ClassesRuns
from insegan_ros.benchmarks.rows import Row, write_tables
from insegan_ros.benchmarks.shipped import is_shipped
from insegan_ros.data.image_sets import ImageSet
from insegan_ros.data.mask_sets import MaskSet
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.image_level.class_maps import load_class_maps
from insegan_ros.methods.image_level.relations import transition_matrix, walk
from insegan_ros.methods.image_level.semantic import SCALES
from insegan_ros.methods.registry import find_checkpoint, load_segmenter
from insegan_ros.metrics.classes import Confusion, score_masks, semantic_of
from insegan_ros.nn.device import choose_device
from insegan_ros.tasks.base import machine
from insegan_ros.tasks.classes import baseline_masks, detect_all, draw_found, label_all

Result = dict[str, Any]


class ClassesBenchmark:
    """The benchmark in a folder: `data`, `runs`, `crowded-SEED` with both of its own, `results`,
    `pictures`, and at the end tables.json and tables.md."""

    def __init__(
        self, folder: Path, budget: ClassesBudget, device: str = 'auto', threads: int = 0
    ) -> None:
        self.folder = folder
        self.budget = budget
        self.runs = ClassesRuns(folder, budget, choose_device(device), threads)

    def run(self, only: set[str], measured: bool = False) -> list[Result]:
        """The rows' results, as run_cells gives them; `only` names tables and methods. measured:
        only those that are there already."""
        return run_cells(
            'weak',
            self.folder,
            list(cells(self.budget.config('ccgr').rounds)),
            ('table', 'method'),
            only,
            self._identity,
            None if measured else self._measure,
        )

    def _identity(self, cell: ClassesCell) -> str:
        """What decides whether an earlier result of a cell still holds."""
        budget = self.budget
        numbers = [budget.name, budget.training, budget.test, budget.judged, budget.parts]
        trained: Any = [asdict(budget.config(name)) for name in budget.trainings]
        if cell.what == 'shipped':
            trained = shipped_hash(cell.options['model'])
        return json.dumps([asdict(cell), *numbers, trained], sort_keys=True, default=str)

    def _measure(self, cell: ClassesCell) -> Result | None:
        """A row's figures. None where a shipped checkpoint is not there."""
        ways: dict[str, Callable[[ClassesCell], Result]] = {
            'labels': self._labels,
            'semantic': lambda cell: semantic_miou(self.runs, **cell.options),
            'first_round': self._first_round,
            'others': self._others,
            'classes': self._classes,
            'walk': lambda cell: time_of_walk(cell.options['side']),
            'shipped': self._shipped,
        }
        if cell.what == 'shipped' and not is_shipped(cell.options['model']):
            return None
        head = {'table': cell.table, 'method': cell.method, 'budget': self.budget.name}
        return head | ways.get(cell.what, self._held_out)(cell)

    def _draw(self, images: ImageSet, found: MaskSet, truth: MaskSet, name: str) -> None:
        """Some pictures with what was found in them, as pictures/NAME.png."""
        file = name.replace(' ', '-').replace(',', '')
        draw_found(images, found, truth, self.folder / 'pictures' / f'{file}.png')

    def _labels(self, cell: ClassesCell) -> Result:
        found, truth, figures = irnet_masks(self.runs, cell.options)
        run, _ = self.runs.judged()
        self._draw(run.images, found, truth, f'labels-{cell.method}')
        return figures

    def _first_round(self, cell: ClassesCell) -> Result:
        runs = self.runs.crowded(cell.crowded) if cell.crowded else self.runs
        found, truth, figures = first_round(runs, cell.options)
        name = f'labels-{cell.method}' + f'-crowded-{cell.crowded}' * bool(cell.crowded)
        self._draw(runs.judged()[0].images, found, truth, name)
        if 'box_ap50_by_step' in figures and not cell.crowded:
            draw_steps(figures['box_ap50_by_step'], self.folder / 'pictures' / 'refinement.png')
        return figures

    def _held_out(self, cell: ClassesCell) -> Result:
        return score_masks(self.runs.read('test')[1], self.found(cell.what))

    def _shipped(self, cell: ClassesCell) -> Result:
        images, truth = self.runs.read('test')
        model = cell.options['model']
        minutes = Checkpoint.load(find_checkpoint(model)).training['minutes']
        found = detect_all(self._segmenter(model), images)
        return score_masks(truth, found) | {'minutes': minutes}

    def _others(self, cell: ClassesCell) -> Result:
        """Bins that differ from those that taught."""
        images, truth = self.runs.read('others')
        found = detect_all(self._segmenter(self.runs.train(cell.options['of'])), images)
        self._draw(images, found, truth, f'others-{cell.options["of"]}')
        return score_masks(truth, found)

    def _classes(self, cell: ClassesCell) -> Result:
        """The class of every pixel of the held-out pictures, as DeepLab sees it, or as all sure
        masks of a class together tell."""
        images, truth = self.runs.read('test')
        of = cell.options['of']
        if of == 'deeplab':
            segmenter = self._segmenter(self.runs.train('deeplab'))
            segmenter.zooms = SCALES
            return {'miou': label_all(segmenter, images, truth)[1]}
        found, confusion = self.found(of), Confusion(len(truth.classes))
        masks = tuple(tuple(one for one in some if one.score >= 0.5) for some in found.masks)
        sure = MaskSet(found.classes, found.sizes, masks)
        for index in range(len(images)):
            confusion.add(semantic_of(truth, index), semantic_of(sure, index))
        return {'miou': confusion.miou()}

    def found(self, what: str) -> MaskSet:
        """What a method, or an earlier round of CCGR (`RUN-round-2`), finds in the held-out
        pictures, drawn besides."""

        def find() -> MaskSet:
            images, truth = self.runs.read('test')
            run, _, round_ = what.partition('-round-')
            if run in ('cam', 'cam_boxes', 'prm'):
                classifier = load_class_maps(self.runs.reach('irnet', 'cam').out, self.runs.device)
                proposals = self.budget.config('ccgr').proposals
                found = baseline_masks(run, classifier, images, self.runs.device, proposals)
            else:
                segmenter = self._segmenter(self.runs.train(run))
                if round_:
                    load_round(segmenter, self.folder / 'runs' / run, int(round_))
                found = detect_all(segmenter, images)
            self._draw(images, found, truth, what)
            return found

        return self.runs.once(f'found {what}', find)

    def _segmenter(self, model: Path | str) -> Any:
        """A checkpoint that is ready to run."""
        return load_segmenter(str(model), device=self.runs.device.type)


def load_round(segmenter: Any, run: Path, number: int) -> None:
    """Give a segmenter the instance branch of an earlier round of CCGR."""
    with safe_open(run / f'mask_rcnn-{number}.state.safetensors', 'pt') as file:
        segmenter.network.load_state_dict(
            {
                name.removeprefix('network/'): file.get_tensor(name)
                for name in file.keys()
                if name.startswith('network/')
            }
        )


def time_of_walk(side: int) -> dict[str, float]:
    """Time and memory of a random walk on a square of so many px."""
    rng = np.random.default_rng(0)
    boundary = rng.random((side, side)).astype(np.float32)
    scores = rng.random((8, side, side)).astype(np.float32)
    begun = time.perf_counter()
    matrix = transition_matrix(boundary)
    walk(scores, matrix)
    seconds = time.perf_counter() - begun
    size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    return {'seconds': round(seconds, 3), 'matrix_mib': round(size / 2**20, 2)}


def run_weak(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The tables of IRNet and CCGR in a folder, and printed. A second start goes on where the first
    was stopped."""
    benchmark = ClassesBenchmark(folder, ClassesBudget.read(budget))
    results = benchmark.run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark weak --budget {budget}')
    return write_tables(folder, rows, markdown(results, benchmark.budget, machine()))
