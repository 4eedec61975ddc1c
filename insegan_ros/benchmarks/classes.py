"""`insegan benchmark weak`: the tables of IRNet and CCGR on the simulator's bins of several kinds,
from data to table, in one command that can be stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.figure import Figure
from safetensors import safe_open
from tqdm import tqdm

from insegan_ros.benchmarks.budgets import BenchmarkBudget, Training
from insegan_ros.benchmarks.cells import run_cells, shipped_hash, table_lines
from insegan_ros.benchmarks.rows import Row, budget_sentence, budget_suffix, table_row, write_tables
from insegan_ros.benchmarks.shipped import is_shipped
from insegan_ros.data.image_sets import ImageSet, read_image_set
from insegan_ros.data.mask_sets import Mask, MaskSet, truth_of
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.methods.image_level.affinity_net import AffinityNet, label_by_walk
from insegan_ros.methods.image_level.box_refinement import (
    RefinementConfig,
    boxes_of_pieces,
    cut_masks,
    refine_chosen,
    score_maps,
)
from insegan_ros.methods.image_level.ccgr_recipe import (
    TrainCcgrConfig,
    make_proposals,
    train_boxes,
    train_semantic,
)
from insegan_ros.methods.image_level.class_maps import load_class_maps
from insegan_ros.methods.image_level.dense_crf import edges_of
from insegan_ros.methods.image_level.irnet import IRNet
from insegan_ros.methods.image_level.label_synthesis import instance_map, synthesise
from insegan_ros.methods.image_level.multiple_instance import BoxesStage
from insegan_ros.methods.image_level.pseudo_labels import (
    predict,
    predict_affinities,
    read_class_maps,
    train_affinity_net,
    train_irnet_network,
)
from insegan_ros.methods.image_level.relations import transition_matrix, walk
from insegan_ros.methods.image_level.run import ImageRun, share
from insegan_ros.methods.image_level.semantic import SCALES, SemanticNet
from insegan_ros.methods.registry import METHODS, find_checkpoint, load_segmenter
from insegan_ros.metrics.average_precision import class_average_precision
from insegan_ros.metrics.classes import Confusion, score_masks, semantic_of
from insegan_ros.nn.device import choose_device
from insegan_ros.tasks.base import machine
from insegan_ros.tasks.classes import (
    TEST,
    TRAINING,
    baseline_masks,
    detect_all,
    draw_found,
    label_all,
    make_mixed,
)
from insegan_sim.camera import Jitter

# The shipped checkpoints, by method.
SHIPPED = {'irnet': 'irnet-mixed', 'ccgr': 'ccgr-mixed'}
# What other bins differ in from those that taught: a tote, fuller by half, with more parts, seen by
# a camera that is less steady.
OTHERS = {
    'container': 'tote',
    'instances': '4-9',
    'fill': 0.6,
    'jitter': Jitter(position_m=0.03, tilt_deg=10.0, focal_share=0.05, centre_px=6.0),
}
# A row of Fig. 5 of CCGR is so many steps of the refinement.
STEPS_SHOWN = 20
HELD_OUT = 'held-out pictures'
# (what is measured, how) of every row of the tables.
Rows = dict[str, tuple[str, dict[str, Any]]]
LABEL_ROWS: Rows = {
    'CAM': ('labels', {'boundaries': False, 'displacements': False}),
    'CAM + boundary': ('labels', {'displacements': False}),
    'CAM + boundary + displacement': ('labels', {}),
    'CAM + boundary + displacement + dense CRF': ('labels', {'crf': True}),
}
SEMANTIC_ROWS: Rows = {
    of + ' + dense CRF' * crf: ('semantic', {'of': of, 'crf': crf})
    for of in ('CAM', 'AffinityNet', 'IRNet')
    for crf in (False, True)
}
FIRST_ROUND_ROWS: Rows = {
    'no MIL': ('first_round', {'choose': 'semantic'}),
    'no CCGR': ('first_round', {'steps': 0}),
    'CCGR with the gap as printed': ('first_round', {'gap': 'printed'}),
    'CCGR without dense CRF': ('first_round', {'crf': False}),
    'CCGR with masks cut at the box': ('first_round', {'reach': 1.0}),
    "CCGR on the ceiling's region proposals": ('first_round', {'network': True}),
    'CCGR': ('first_round', {}),
}
OTHER_ROWS: Rows = {
    'IRNet': ('others', {'of': 'irnet'}),
    'CCGR': ('others', {'of': 'ccgr'}),
    'supervised': ('others', {'of': 'supervised'}),
}
CLASS_ROWS: Rows = {
    'IRNet DeepLab': ('classes', {'of': 'deeplab'}),
    'IRNet union of masks': ('classes', {'of': 'irnet'}),
    'CCGR union of masks': ('classes', {'of': 'ccgr'}),
    'supervised union of masks': ('classes', {'of': 'supervised'}),
}
# Folder of a training's run -> which training it is, and what it changes.
TRAINED = {
    'irnet': ('irnet', {}),
    'deeplab': ('irnet', {'final': 'semantic'}),
    'ccgr': ('ccgr', {}),
    'supervised': ('supervised-masks', {}),
}
# What a run takes over that differs only in what learns from IRNet's labels; or from CCGR's
# semantic branch of the first round.
BEFORE_DEEPLAB = (
    'class_maps',
    'cams',
    'relations',
    'labels',
    'labels.json',
    'irnet.state.safetensors',
)
BEFORE_PROPOSALS = ('class_maps', 'cams', 'relations', 'semantic', 'semantic-1.state.safetensors')
Kept = TypeVar('Kept')
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ClassesBudget(BenchmarkBudget):
    """How much of everything `insegan benchmark weak` takes."""

    benchmark = 'weak'
    trainings = {
        'irnet': Training('irnet', 'irnet'),
        'ccgr': Training('ccgr', 'ccgr'),
        'supervised-masks': Training('supervised-masks'),
    }

    training: int
    """Training pictures."""
    test: int
    """Held-out pictures; of other bins, half as many."""
    judged: int
    """Training pictures, the first ones, whose pseudo-labels are held against the truth."""
    parts: str = ''
    """Kinds of parts, joined by commas; the shipped preset's ten if empty."""


@dataclass(frozen=True)
class ClassesCell:
    """One row. `what` names what is measured, `options` how."""

    table: str
    method: str
    what: str
    options: dict[str, Any] = field(default_factory=dict)


def cells(rounds: int) -> Iterator[ClassesCell]:
    """All rows, in the papers' order; rounds: of CCGR."""
    held_out: Rows = {
        'CAM boxes': ('cam_boxes', {}),
        'CAM': ('cam', {}),
        'PRM': ('prm', {}),
        'IRNet': ('irnet', {}),
        **{f'CCGR round {number}': (f'ccgr-{number}', {}) for number in range(1, rounds)},
        'CCGR': ('ccgr', {}),
        'supervised': ('supervised', {}),
    }
    tables: dict[str, Rows] = {
        'instance pseudo-labels of training pictures (IRNet table 1)': LABEL_ROWS,
        'semantic pseudo-labels of training pictures (IRNet table 2)': SEMANTIC_ROWS,
        'pseudo-labels of the first round (CCGR table 3)': FIRST_ROUND_ROWS,
        HELD_OUT: held_out,
        'other bins, inference alone': OTHER_ROWS,
        'classes of held-out pictures': CLASS_ROWS,
        'random walk of 256 steps on 8 channels': {
            f'{side}x{side}': ('walk', {'side': side}) for side in (64, 128)
        },
    }
    for table, rows in tables.items():
        for method, (what, options) in rows.items():
            yield ClassesCell(table, method, what, options)
    for method, model in SHIPPED.items():
        yield ClassesCell(HELD_OUT, f'shipped {method}', 'shipped', {'model': model})


class ClassesBenchmark:
    """The benchmark in a folder: `data`, `runs`, `results`, `pictures`, and at the end tables.json
    and tables.md."""

    def __init__(
        self, folder: Path, budget: ClassesBudget, device: str = 'auto', threads: int = 0
    ) -> None:
        self.folder = folder
        self.budget = budget
        self.device = choose_device(device)
        self.threads = threads
        self._kept: dict[str, Any] = {}

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
        numbers = [budget.name, budget.training, budget.test, budget.judged]
        trained: Any = [asdict(budget.config(name)) for name in budget.trainings]
        if cell.what == 'shipped':
            trained = shipped_hash(cell.options['model'])
        return json.dumps([asdict(cell), *numbers, trained], sort_keys=True, default=str)

    def _once(self, name: str, make: Callable[[], Kept]) -> Kept:
        """What `make` makes the first time, kept by its name."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def data(self, name: str) -> Path:
        """The training or the test set, or what is missing of it."""
        sets = {'training': (self.budget.training, TRAINING), 'test': (self.budget.test, TEST)}
        return make_mixed(self.folder / 'data' / name, *sets[name])

    def config(self, run: str) -> Any:
        """The configuration of one of TRAINED here. CCGR and the ceiling stand on IRNet's
        classifier."""
        training, changes = TRAINED[run]
        config = self.budget.config(training, changes)
        return replace(
            config,
            data=str(self.data('training')),
            out=str(self.folder / 'runs' / run),
            seed=TRAINING,
            begin='' if training == 'irnet' else str(self.folder / 'runs/irnet'),
            loop=replace(config.loop, device=self.device.type, threads=self.threads),
        )

    def train(self, run: str) -> Path:
        """The checkpoint of one of TRAINED, trained once. DeepLab stands on all of IRNet's run."""
        out = self.folder / 'runs' / run / 'checkpoint'
        if out.is_dir():
            return out
        if run != 'irnet':
            self.train('irnet')
        if run == 'deeplab' and not out.parent.exists():
            self._claimed(self.config('deeplab'))
            share(self.folder / 'runs/irnet', out.parent, BEFORE_DEEPLAB)
        return METHODS[TRAINED[run][0]].run(self.config(run))

    def _claimed(self, config: Any) -> ImageRun:
        """A training of these pictures, in its folder."""
        run = ImageRun(config)
        run.claim_folder()
        return run

    def _segmenter(self, model: Path | str) -> Any:
        """A checkpoint that is ready to run."""
        return load_segmenter(str(model), device=self.device.type)

    def _read(self, folder: Path) -> tuple[ImageSet, MaskSet]:
        """Simulated pictures, as the methods see them, and their truth."""
        config = self.budget.config('irnet')
        images = read_image_set(folder, config.size, config.modality)
        return images, truth_of(images, progress=False)

    def test(self) -> tuple[ImageSet, MaskSet]:
        """Held-out pictures and their truth."""
        return self._once('test', lambda: self._read(self.data('test')))

    def judged(self) -> tuple[ImageRun, MaskSet]:
        """IRNet's run, and the truth of its first pictures."""

        def read() -> tuple[ImageRun, MaskSet]:
            self.train('irnet')
            run = self._claimed(self.config('irnet'))
            return run, truth_of(run.images.first(self.budget.judged), progress=False)

        return self._once('judged', read)

    def _draw(self, images: ImageSet, found: MaskSet, truth: MaskSet, name: str) -> None:
        """Some pictures with what was found in them, as pictures/NAME.png."""
        file = name.replace(' ', '-').replace(',', '')
        draw_found(images, found, truth, self.folder / 'pictures' / f'{file}.png')

    def _measure(self, cell: ClassesCell) -> Result | None:
        """A row's figures. None where a shipped checkpoint is not there."""
        ways: dict[str, Callable[[ClassesCell], dict[str, float]]] = {
            'labels': self._labels,
            'semantic': self._semantic,
            'first_round': self._first_round,
            'others': self._others,
            'classes': self._classes,
            'walk': self._walk,
            'shipped': self._shipped,
        }
        if cell.what == 'shipped' and not is_shipped(cell.options['model']):
            return None
        head = {'table': cell.table, 'method': cell.method, 'budget': self.budget.name}
        return head | ways.get(cell.what, self._held_out)(cell)

    def _held_out(self, cell: ClassesCell) -> dict[str, float]:
        return score_masks(self.test()[1], self.found(cell.what))

    def _shipped(self, cell: ClassesCell) -> dict[str, float]:
        images, truth = self.test()
        model = cell.options['model']
        minutes = Checkpoint.load(find_checkpoint(model)).training['minutes']
        found = detect_all(self._segmenter(model), images)
        return score_masks(truth, found) | {'minutes': minutes}

    def _others(self, cell: ClassesCell) -> dict[str, float]:
        """Bins that differ from those that taught by OTHERS."""
        count = max(self.budget.test // 2, 2)
        folder = self.folder / 'data/others'
        images, truth = self._once(
            'others', lambda: self._read(make_mixed(folder, count, TEST, OTHERS))
        )
        found = detect_all(self._segmenter(self.train(cell.options['of'])), images)
        self._draw(images, found, truth, f'others-{cell.options["of"]}')
        return score_masks(truth, found)

    def found(self, what: str) -> MaskSet:
        """What a method finds in the held-out pictures, drawn besides."""

        def find() -> MaskSet:
            images, truth = self.test()
            if what in ('cam', 'cam_boxes', 'prm'):
                self.train('irnet')
                network = load_class_maps(self.folder / 'runs/irnet', self.device)
                proposals = self.budget.config('ccgr').proposals
                found = baseline_masks(what, network, images, self.device, proposals)
            elif what.startswith('ccgr-'):
                found = self._round_masks(int(what.removeprefix('ccgr-')))
            else:
                found = detect_all(self._segmenter(self.train(what)), images)
            self._draw(images, found, truth, what)
            return found

        return self._once(f'found {what}', find)

    def _round_masks(self, number: int) -> MaskSet:
        """What the instance branch of an earlier round of CCGR finds."""
        segmenter = self._segmenter(self.train('ccgr'))
        state = self.folder / 'runs/ccgr' / f'mask_rcnn-{number}.state.safetensors'
        with safe_open(state, 'pt') as file:
            segmenter.network.load_state_dict(
                {
                    name.removeprefix('network/'): file.get_tensor(name)
                    for name in file.keys()
                    if name.startswith('network/')
                }
            )
        return detect_all(segmenter, self.test()[0])

    def _irnet_network(self) -> IRNet:
        """IRNet as its run has trained it."""
        settings = self.budget.config('irnet').irnet
        run, _ = self.judged()
        return self._once('irnet', lambda: train_irnet_network(run, settings))

    def _affinity_net(self) -> AffinityNet:
        """AffinityNet as CCGR's run has trained it."""
        self.train('ccgr')
        config = self.config('ccgr')
        return train_affinity_net(self._claimed(config), config.affinity_net)

    def _labels(self, cell: ClassesCell) -> dict[str, float]:
        """Pseudo-masks of the judged pictures."""
        run, truth = self.judged()
        network, config = self._irnet_network(), run.config
        options = dict(cell.options)
        crf = replace(config.crf, labels=options.pop('crf', False))
        settings = replace(config.labels, **options)
        masks = []
        for index in tqdm(range(len(truth)), desc=cell.method, leave=False):
            maps, class_ids, boundary, displacement = predict(run, network, index)
            instances = instance_map(displacement, settings) if settings.displacements else None
            edges = edges_of(run.images.picture(index), crf)
            size = truth.sizes[index]
            found, _ = synthesise(maps, class_ids, boundary, instances, size, settings, edges=edges)
            masks.append(found)
        made = MaskSet(truth.classes, truth.sizes, tuple(masks))
        self._draw(run.images, made, truth, f'labels-{cell.method}')
        return score_masks(truth, made)

    def _semantic(self, cell: ClassesCell) -> dict[str, float]:
        """Semantic pseudo-labels of the judged pictures, from where the classifier looks, or from a
        walk by affinities or by boundaries."""
        run, truth = self.judged()
        settings, confusion = run.config.labels, Confusion(len(truth.classes))
        of, crf = cell.options['of'], replace(run.config.crf, labels=cell.options['crf'])
        network: Any = None
        affinities = self.config('ccgr').affinity_net
        if of == 'AffinityNet':
            network = self._affinity_net()
        elif of == 'IRNet':
            network = self._irnet_network()
        else:
            settings = replace(settings, boundaries=False)
        for index in tqdm(range(len(truth)), desc=cell.method, leave=False):
            edges = edges_of(run.images.picture(index), crf)
            size = truth.sizes[index]
            if of == 'AffinityNet':
                maps, class_ids, matrix = predict_affinities(run, network, index, affinities)
                label = label_by_walk(maps, class_ids, matrix, size, affinities, edges)
                confusion.add(semantic_of(truth, index), label)
                continue
            if of == 'IRNet':
                maps, class_ids, boundary, _ = predict(run, network, index)
            else:
                maps, class_ids = read_class_maps(run.out, run.images.names[index])
                boundary = np.zeros(maps.shape[1:], np.float32)
            _, label = synthesise(maps, class_ids, boundary, None, size, settings, edges)
            confusion.add(semantic_of(truth, index), label)
        return {'miou': confusion.miou()}

    def _first_round(self, cell: ClassesCell) -> dict[str, Any]:
        """Pseudo-masks of CCGR's first round, of the judged pictures."""
        truth, options = self.judged()[1], dict(cell.options)
        self.train('ccgr')
        config = self._by_network() if options.pop('network', False) else self.config('ccgr')
        run, semantic, boxes = self._branches(config)
        crf = replace(config.crf, labels=options.pop('crf', True))
        settings, way = replace(RefinementConfig(), **options), list[np.ndarray]()
        images, indices = run.images, range(len(truth))
        maps = self._once(
            'ccgr maps',
            lambda: [
                score_maps(semantic, run.picture(index), images.present[index]) for index in indices
            ],
        )
        if settings.choose == 'semantic':
            chosen = [boxes_of_pieces(maps[index], images.present[index]) for index in indices]
        else:
            chosen = [boxes.choose(index) for index in indices]
        refined = refine_chosen(maps, chosen, settings, way)
        masks = []
        for index, size in zip(indices, truth.sizes):
            edges = edges_of(images.picture(index), crf)
            masks.append(cut_masks(maps[index], refined[index], size, settings, edges))
        found = MaskSet(truth.classes, truth.sizes, tuple(masks))
        self._draw(images, found, truth, f'labels-{cell.method}')
        out: dict[str, Any] = score_masks(truth, found)
        if not cell.options:
            out['box_ap50_by_step'] = boxes_by_step(truth, chosen, way[0])
            draw_steps(out['box_ap50_by_step'], self.folder / 'pictures' / 'refinement.png')
        return out

    def _branches(self, config: TrainCcgrConfig) -> tuple[ImageRun, SemanticNet, BoxesStage]:
        """CCGR's run, and the semantic and the multiple instance branch of its first round."""

        def make() -> tuple[ImageRun, SemanticNet, BoxesStage]:
            run = self._claimed(config)
            if config.proposals.network:
                share(self.folder / 'runs/ccgr', run.out, BEFORE_PROPOSALS)
                make_proposals(run)
            return run, train_semantic(run, 1, None), train_boxes(run, 1, None)

        return self._once(f'branches {config.out}', make)

    def _by_network(self) -> TrainCcgrConfig:
        """CCGR's first round on proposals of the region proposal network that the ceiling's true
        masks have taught: more than image-level labels."""
        config = self.config('ccgr')
        return replace(
            config,
            out=str(self.folder / 'runs/ccgr-network'),
            proposals=replace(config.proposals, network=str(self.train('supervised'))),
        )

    def _classes(self, cell: ClassesCell) -> dict[str, float]:
        """The class of every pixel of the held-out pictures, as DeepLab sees it, or as all sure
        masks of a class together tell."""
        images, truth = self.test()
        of = cell.options['of']
        if of == 'deeplab':
            segmenter = self._segmenter(self.train('deeplab'))
            segmenter.zooms = SCALES
            return {'miou': label_all(segmenter, images, truth)[1]}
        found, confusion = self.found(of), Confusion(len(truth.classes))
        masks = tuple(tuple(one for one in some if one.score >= 0.5) for some in found.masks)
        sure = MaskSet(found.classes, found.sizes, masks)
        for index in range(len(images)):
            confusion.add(semantic_of(truth, index), semantic_of(sure, index))
        return {'miou': confusion.miou()}

    def _walk(self, cell: ClassesCell) -> dict[str, float]:
        """Time and memory of a random walk on a square of so many px."""
        side, rng = cell.options['side'], np.random.default_rng(0)
        boundary = rng.random((side, side)).astype(np.float32)
        scores = rng.random((8, side, side)).astype(np.float32)
        begun = time.perf_counter()
        matrix = transition_matrix(boundary)
        walk(scores, matrix)
        seconds = time.perf_counter() - begun
        size = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        return {'seconds': round(seconds, 3), 'matrix_mib': round(size / 2**20, 2)}


def boxes_by_step(truth: MaskSet, chosen: list[list[Any]], way: np.ndarray) -> dict[str, float]:
    """Fig. 5 of CCGR: box AP50 of pseudo-labels on the way (steps + 1, N, 4) px of their
    refinement, by the number of the step. chosen: the boxes of every picture."""
    out = {}
    flat = [
        (number, class_id, score)
        for number, some in enumerate(chosen)
        for class_id, score, _ in some
    ]
    for step in range(0, len(way), STEPS_SHOWN):
        masks: list[list[Mask]] = [[] for _ in truth.masks]
        corners = np.round(way[step]).astype(int)
        for (number, class_id, score), (x1, y1, x2, y2) in zip(flat, corners):
            pixels = np.zeros(truth.sizes[number], bool)
            pixels[y1:y2, x1:x2] = True
            if pixels.any():
                masks[number].append(Mask.of(class_id, score, pixels))
        found = MaskSet(truth.classes, truth.sizes, tuple(map(tuple, masks)))
        out[str(step)] = round(class_average_precision(truth, found, (0.5,), 'bbox')['ap50'], 4)
    return out


def draw_steps(values: dict[str, float], path: Path) -> None:
    """The curve of boxes_by_step as PNG."""
    figure = Figure(figsize=(5, 3), layout='constrained')
    axes = figure.subplots()
    axes.plot([int(step) for step in values], list(values.values()), marker='o')
    axes.set(xlabel='steps of the refinement', ylabel='box AP50 of pseudo-labels')
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def as_rows(results: list[Result], machine: str, command: str) -> list[Row]:
    """One row a figure, as all benchmarks write them."""
    common = {'seed': TEST, 'machine': machine, 'command': command}
    units = {'minutes': 'min', 'seconds': 's', 'matrix_mib': 'MiB'}
    out = []
    for one in results:
        protocol = f'image-level labels{budget_suffix(one["budget"])}'
        steps = one.get('box_ap50_by_step', {})
        figures = {**one, **{f'box_ap50 at step {step}': value for step, value in steps.items()}}
        for metric, value in figures.items():
            if isinstance(value, float):
                unit = units.get(metric, '')
                out.append(table_row('weak', one, 'mixed', protocol, metric, value, unit, **common))
    return out


def markdown(results: list[Result], budget: ClassesBudget, machine: str) -> str:
    """All tables that there are results for."""
    lines = [
        '# Masks with classes from image-level labels',
        '',
        f'{budget_sentence(budget.name)} {machine}. {budget.training} simulated bins of two to six'
        ' parts of ten kinds; of each only is known which kinds lie in it.'
        f' {budget.test} others are judged. AP is the mean over the classes, by masks; box_ap50 by'
        f' boxes. Pseudo-labels of training pictures are judged on the first {budget.judged}; there'
        ' the classes are known, and so the figures higher.',
        '',
    ]
    for table in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == table]
        figures = [key for one in own for key, value in one.items() if isinstance(value, float)]
        lines += [*table_lines(table, own, list(dict.fromkeys(figures))), '']
        for one in own:
            if steps := one.get('box_ap50_by_step'):
                by_step = ', '.join(f'{step}: {value:.3f}' for step, value in steps.items())
                lines += [
                    'Box AP50 of pseudo-labels on the way of the refinement (CCGR figure 5):'
                    f' {by_step}.',
                    '',
                ]
    return '\n'.join(lines)


def run_weak(folder: Path, budget: str, only: set[str], measured: bool = False) -> list[Row]:
    """The tables of IRNet and CCGR in a folder, and printed. A second start goes on where the first
    was stopped."""
    benchmark = ClassesBenchmark(folder, ClassesBudget.read(budget))
    results = benchmark.run(only, measured)
    rows = as_rows(results, machine(), f'insegan benchmark weak --budget {budget}')
    return write_tables(folder, rows, markdown(results, benchmark.budget, machine()))
