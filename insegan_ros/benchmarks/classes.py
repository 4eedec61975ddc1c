"""`insegan benchmark weak`: the tables of IRNet and CCGR on the simulator's bins of several kinds,
from data to table, in one command that can be stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from tqdm import tqdm

from insegan_ros.benchmarks.cells import run_cells, shipped_hash, table_lines
from insegan_ros.data.image_sets import ImageSet, read_image_set
from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.drawing.overlay import draw_masks
from insegan_ros.drawing.panels import sheet
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import CheckpointError
from insegan_ros.files import shipped_file
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
    train_ccgr,
    train_semantic,
)
from insegan_ros.methods.image_level.class_maps import ClassMapNet
from insegan_ros.methods.image_level.class_maps_stage import ClassMapsConfig, load_class_maps
from insegan_ros.methods.image_level.dense_crf import edges_of
from insegan_ros.methods.image_level.irnet_recipe import (
    AffinityNetStage,
    IRNetStage,
    IRNetTrainConfig,
    TrainIRNetConfig,
    predict,
    predict_affinities,
    read_class_maps,
    train_irnet,
    train_relations,
)
from insegan_ros.methods.image_level.label_synthesis import instance_map, synthesise
from insegan_ros.methods.image_level.mask_rcnn_stage import (
    MaskRcnnTrainConfig,
    TrainMaskRcnnConfig,
    train_supervised_masks,
)
from insegan_ros.methods.image_level.mask_segmenter import MaskSegmenter
from insegan_ros.methods.image_level.peak_response import PeakResponse, cam_masks, prm_masks
from insegan_ros.methods.image_level.proposals import propose
from insegan_ros.methods.image_level.relations import transition_matrix, walk
from insegan_ros.methods.image_level.run import prepare_images, share, to_picture, truth_of
from insegan_ros.methods.image_level.semantic import SCALES
from insegan_ros.methods.image_level.semantic_segmenter import SemanticSegmenter
from insegan_ros.methods.image_level.semantic_stage import SemanticTrainConfig
from insegan_ros.methods.registry import find_checkpoint
from insegan_ros.metrics.average_precision import class_average_precision
from insegan_ros.metrics.classes import Confusion, score_masks, semantic_of
from insegan_ros.nn.device import choose_device
from insegan_ros.tasks.classes import detect_all, label_all
from insegan_sim.camera import Jitter
from insegan_sim.generate import SimulateConfig, simulate

TRAINING, TEST = 1, 2
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
# Held-out pictures that are drawn.
SHOWN = 5


@dataclass(frozen=True)
class Budget:
    """How much of everything. judged: training pictures whose pseudo labels are held against the
    truth."""

    name: str
    training: int
    test: int
    judged: int
    irnet: TrainIRNetConfig
    ccgr: TrainCcgrConfig
    supervised: TrainMaskRcnnConfig


def _budget(name: str, training: int, test: int, judged: int, steps: dict[str, int]) -> Budget:
    def masks(of: str) -> MaskRcnnTrainConfig:
        return (
            replace(MaskRcnnTrainConfig(), steps=steps[of])
            if of in steps
            else {'ccgr_masks': TrainCcgrConfig().mask_rcnn}.get(of, MaskRcnnTrainConfig())
        )

    maps = replace(ClassMapsConfig(), steps=steps.get('cam', ClassMapsConfig().steps))
    relations = replace(IRNetTrainConfig(), steps=steps.get('relations', IRNetTrainConfig().steps))
    irnet = TrainIRNetConfig(
        class_maps=maps,
        irnet=relations,
        mask_rcnn=masks('masks'),
        deeplab=replace(
            SemanticTrainConfig(), steps=steps.get('deeplab', SemanticTrainConfig().steps)
        ),
    )
    ccgr = TrainCcgrConfig()
    ccgr = replace(
        ccgr,
        class_maps=maps,
        affinity_net=relations,
        mask_rcnn=masks('ccgr_masks'),
        boxes=replace(ccgr.boxes, steps=steps.get('boxes', ccgr.boxes.steps)),
        semantic=replace(ccgr.semantic, steps=steps.get('semantic', ccgr.semantic.steps)),
        rounds=steps.get('rounds', ccgr.rounds),
    )
    return Budget(
        name, training, test, judged, irnet, ccgr, TrainMaskRcnnConfig(mask_rcnn=masks('masks'))
    )


BUDGETS = {
    # Every row in minutes: it shows that all of it runs, not how good it is.
    'small': _budget(
        'small',
        24,
        6,
        6,
        {
            'cam': 40,
            'relations': 3,
            'masks': 6,
            'ccgr_masks': 4,
            'boxes': 3,
            'semantic': 6,
            'deeplab': 4,
            'rounds': 2,
        },
    ),
    # An evening on two cores.
    'medium': _budget('medium', 3000, 200, 200, {'masks': 900, 'ccgr_masks': 450, 'rounds': 2}),
    # For a GPU.
    'full': _budget(
        'full',
        10_000,
        1000,
        1000,
        {
            'cam': 20_000,
            'relations': 3000,
            'masks': 20_000,
            'ccgr_masks': 8000,
            'boxes': 5000,
            'semantic': 8000,
            'deeplab': 10_000,
            'rounds': 5,
        },
    ),
}


@dataclass(frozen=True)
class Cell:
    """One row. `what` names what is measured, `options` how."""

    table: str
    method: str
    what: str
    options: dict[str, Any] = field(default_factory=dict)


def cells(rounds: int) -> Iterator[Cell]:
    """All rows, in the papers' order."""
    labels = 'instance labels of training pictures (IRNet table 1)'
    yield Cell(labels, 'CAM', 'labels', {'boundaries': False, 'displacements': False})
    yield Cell(labels, 'CAM + boundary', 'labels', {'displacements': False})
    yield Cell(labels, 'CAM + boundary + displacement', 'labels')
    yield Cell(labels, 'CAM + boundary + displacement + dense CRF', 'labels', {'crf': True})
    semantic = 'semantic labels of training pictures (IRNet table 2)'
    for method in ('CAM', 'AffinityNet', 'IRNet'):
        for crf in (False, True):
            yield Cell(
                semantic, method + ' + dense CRF' * crf, 'semantic', {'of': method, 'crf': crf}
            )
    first = 'labels of the first round (CCGR table 3)'
    yield Cell(first, 'no MIL', 'first_round', {'choose': 'semantic'})
    yield Cell(first, 'no CCGR', 'first_round', {'steps': 0})
    yield Cell(first, 'CCGR with the gap as printed', 'first_round', {'gap': 'printed'})
    yield Cell(first, 'CCGR without dense CRF', 'first_round', {'crf': False})
    yield Cell(first, 'CCGR with masks cut at the box', 'first_round', {'reach': 1.0})
    yield Cell(first, "CCGR on the ceiling's region proposals", 'first_round', {'network': True})
    yield Cell(first, 'CCGR', 'first_round')
    held = 'held-out pictures'
    for method, what in (
        ('CAM boxes', 'cam_boxes'),
        ('CAM', 'cam'),
        ('PRM', 'prm'),
        ('IRNet', 'irnet'),
        *((f'CCGR round {number}', f'ccgr-{number}') for number in range(1, rounds)),
        ('CCGR', 'ccgr'),
        ('supervised', 'supervised'),
    ):
        yield Cell(held, method, what)
    others = 'other bins, inference alone'
    for method, what in (('IRNet', 'irnet'), ('CCGR', 'ccgr'), ('supervised', 'supervised')):
        yield Cell(others, method, 'others', {'of': what})
    classes = 'classes of held-out pictures'
    for method, what in (
        ('IRNet DeepLab', 'deeplab'),
        ('IRNet union of masks', 'irnet'),
        ('CCGR union of masks', 'ccgr'),
        ('supervised union of masks', 'supervised'),
    ):
        yield Cell(classes, method, 'classes', {'of': what})
    for side in (64, 128):
        yield Cell(
            'random walk of 256 steps on 8 channels', f'{side}x{side}', 'walk', {'side': side}
        )
    for method, model in SHIPPED.items():
        yield Cell(held, f'shipped {method}', 'shipped', {'model': model})


class WeakBenchmark:
    """The benchmark in a folder: `data`, `runs`, `results`, `pictures`, and at the end tables.json
    and tables.md."""

    def __init__(
        self, folder: Path, budget: Budget, device: str = 'auto', threads: int = 0
    ) -> None:
        self.folder, self.budget, self.device, self.threads = (
            folder,
            budget,
            choose_device(device),
            threads,
        )
        self._kept: dict[str, Any] = {}

    def run(self, only: set[str], measured: bool = False) -> list[dict[str, Any]]:
        """The rows' results, see run_cells; `only` names tables and methods. measured: only those
        that are there already."""
        budget = self.budget

        def identity(cell: Cell) -> str:
            trained = (
                shipped_hash(cell.options['model'])
                if cell.what == 'shipped'
                else [asdict(budget.irnet), asdict(budget.ccgr), asdict(budget.supervised)]
            )
            return json.dumps(
                [asdict(cell), budget.name, budget.training, budget.test, budget.judged, trained],
                sort_keys=True,
                default=str,
            )

        return run_cells(
            'weak',
            self.folder,
            list(cells(budget.ccgr.rounds)),
            ('table', 'method'),
            only,
            identity,
            None if measured else self._measure,
        )

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def data(self, name: str) -> Path:
        """The training or the test set, or what is missing of it."""
        return make_mixed(
            self.folder / 'data' / name,
            *{'training': (self.budget.training, TRAINING), 'test': (self.budget.test, TEST)}[name],
        )

    def config(self, method: str) -> Any:
        """A method's recipe here."""
        recipe = {
            'irnet': self.budget.irnet,
            'deeplab': replace(self.budget.irnet, final='semantic'),
            'ccgr': self.budget.ccgr,
            'supervised': self.budget.supervised,
        }[method]
        begin = {} if method in ('irnet', 'deeplab') else {'begin': str(self.folder / 'runs/irnet')}
        return replace(
            recipe,
            data=str(self.data('training')),
            out=str(self.folder / 'runs' / method),
            seed=TRAINING,
            loop=replace(recipe.loop, device=self.device.type, threads=self.threads),
            **begin,
        )

    def train(self, method: str) -> Path:
        """The checkpoint of a method, trained once. CCGR and the ceiling stand on IRNet's
        classifier; so does DeepLab on all of IRNet's run."""
        out = self.folder / 'runs' / method / 'checkpoint'
        if out.is_dir():
            return out
        if method != 'irnet':
            self.train('irnet')
        if method == 'deeplab':
            _share(self.folder / 'runs/irnet', self.folder / 'runs/deeplab', self.config('deeplab'))
        return {
            'irnet': train_irnet,
            'deeplab': train_irnet,
            'ccgr': train_ccgr,
            'supervised': train_supervised_masks,
        }[method](self.config(method))

    def test(self) -> tuple[ImageSet, MaskSet]:
        """Held-out pictures and their truth."""

        def read() -> tuple[ImageSet, MaskSet]:
            images = read_image_set(
                self.data('test'), self.budget.irnet.size, self.budget.irnet.look
            )
            return images, truth_of(images, progress=False)

        return self._once('test', read)

    def judged(self) -> tuple[Any, MaskSet]:
        """IRNet's run, prepared, and the truth of the first training pictures."""

        def read() -> tuple[Any, MaskSet]:
            self.train('irnet')
            data = prepare_images(self.config('irnet'))
            return data, truth_of(data.images.first(self.budget.judged), progress=False)

        return self._once('judged', read)

    def _measure(self, cell: Cell) -> dict[str, Any] | None:
        out = {'table': cell.table, 'method': cell.method, 'budget': self.budget.name}
        if cell.what == 'shipped':
            try:
                checkpoint = Checkpoint.load(find_checkpoint(cell.options['model']))
            except CheckpointError:
                return None
            return (
                out
                | score_masks(
                    self.test()[1],
                    detect_all(MaskSegmenter(checkpoint, device=str(self.device)), self.test()[0]),
                )
                | {'minutes': checkpoint.training['minutes']}
            )
        if cell.what in ('labels', 'semantic', 'first_round', 'others', 'classes', 'walk'):
            return out | getattr(self, f'_{cell.what}')(cell)
        images, truth = self.test()
        found = self.found(cell.what)
        return out | score_masks(truth, found)

    def _others(self, cell: Cell) -> dict[str, float]:
        def read() -> tuple[ImageSet, MaskSet]:
            folder = make_mixed(
                self.folder / 'data/others', max(self.budget.test // 2, 2), TEST, OTHERS
            )
            images = read_image_set(folder, self.budget.irnet.size, self.budget.irnet.look)
            return images, truth_of(images, progress=False)

        images, truth = self._once('others', read)
        found = detect_all(
            MaskSegmenter(Checkpoint.load(self.train(cell.options['of'])), device=str(self.device)),
            images,
        )
        draw_found(
            images, found, truth, self.folder / 'pictures' / f'others-{cell.options["of"]}.png'
        )
        return score_masks(truth, found)

    def found(self, what: str) -> MaskSet:
        """What a method finds in the held-out pictures, drawn besides."""

        def find() -> MaskSet:
            images = self.test()[0]
            if what in ('cam', 'cam_boxes', 'prm'):
                self.train('irnet')
                found = baseline_masks(
                    what,
                    load_class_maps(self.folder / 'runs/irnet', self.device),
                    images,
                    self.device,
                    self.budget.ccgr.proposals,
                )
            elif what.startswith('ccgr-'):
                found = self._round_masks(int(what[5:]))
            else:
                found = detect_all(
                    MaskSegmenter(Checkpoint.load(self.train(what)), device=str(self.device)),
                    images,
                )
            draw_found(images, found, self.test()[1], self.folder / 'pictures' / f'{what}.png')
            return found

        return self._once(f'found {what}', find)

    def _labels(self, cell: Cell) -> dict[str, float]:
        data, truth = self.judged()
        network = self._once(
            'irnet',
            lambda: train_relations(
                data, self.config('irnet'), self.budget.irnet.irnet, IRNetStage
            )[0],
        )
        options = dict(cell.options)
        crf = replace(self.budget.irnet.crf, labels=options.pop('crf', False))
        settings = replace(self.budget.irnet.labels, **options)
        masks = []
        for index in tqdm(range(len(truth)), desc=cell.method, leave=False):
            maps, kinds, boundary, displacement = predict(data, network, index)
            instances, edges = (
                instance_map(displacement, settings) if settings.displacements else None,
                edges_of(data.images.picture(index), crf),
            )
            masks.append(
                synthesise(
                    maps, kinds, boundary, instances, truth.sizes[index], settings, edges=edges
                )[0]
            )
        found = MaskSet(truth.classes, truth.sizes, tuple(masks))
        draw_found(
            data.images,
            found,
            truth,
            self.folder / 'pictures' / f'labels-{cell.method}.png'.replace(' ', '-'),
        )
        return score_masks(truth, found)

    def _semantic(self, cell: Cell) -> dict[str, float]:
        data, truth = self.judged()
        settings, count, of = (
            self.budget.irnet.labels,
            Confusion(len(truth.classes)),
            cell.options['of'],
        )
        crf = replace(self.budget.irnet.crf, labels=cell.options['crf'])
        if of == 'AffinityNet':
            self.train('ccgr')
            affinity = prepare_images(self.config('ccgr'))
            network = train_relations(
                affinity, self.config('ccgr'), self.budget.ccgr.affinity_net, AffinityNetStage
            )[0]
        elif of == 'IRNet':
            network = self._once(
                'irnet',
                lambda: train_relations(
                    data, self.config('irnet'), self.budget.irnet.irnet, IRNetStage
                )[0],
            )
        for index in tqdm(range(len(truth)), desc=cell.method, leave=False):
            matrix, own = None, settings
            if of == 'AffinityNet':
                maps, kinds, boundary, matrix = predict_affinities(data, network, index)
            elif of == 'IRNet':
                maps, kinds, boundary, _ = predict(data, network, index)
            else:
                maps, kinds = read_class_maps(data.out, data.images.names[index])
                boundary, own = (
                    np.zeros(maps.shape[1:], np.float32),
                    replace(settings, boundaries=False),
                )
            count.add(
                semantic_of(truth, index),
                synthesise(
                    maps,
                    kinds,
                    boundary,
                    None,
                    truth.sizes[index],
                    own,
                    matrix,
                    edges_of(data.images.picture(index), crf),
                )[1],
            )
        return {'miou': count.miou()}

    def _first_round(self, cell: Cell) -> dict[str, float]:
        truth, options = self.judged()[1], dict(cell.options)
        self.train('ccgr')
        config = self._by_network() if options.pop('network', False) else self.config('ccgr')

        def branches() -> tuple[Any, Any, Any]:
            data = prepare_images(config)
            if config.proposals.network:
                share(
                    self.folder / 'runs/ccgr',
                    data.out,
                    ('class_maps', 'cams', 'relations', 'semantic', 'semantic-1.state.safetensors'),
                )
                make_proposals(data, config.proposals)
            return (
                data,
                train_semantic(data, config, 1, None)[0],
                train_boxes(data, config, 1, None)[0],
            )

        data, semantic, boxes = self._once(f'branches {config.out}', branches)
        crf = replace(config.crf, labels=options.pop('crf', True))
        settings = replace(RefinementConfig(), **options)
        images, way = data.images, []
        maps = self._once(
            'ccgr maps',
            lambda: [
                score_maps(semantic, to_picture(images, index, self.device), images.present[index])
                for index in range(len(truth))
            ],
        )
        chosen = [
            (
                boxes_of_pieces(semantic, images, index, self.device)
                if settings.choose == 'semantic'
                else boxes.choose(index)
            )
            for index in range(len(truth))
        ]
        refined = refine_chosen(maps, chosen, settings, way)
        found = MaskSet(
            truth.classes,
            truth.sizes,
            tuple(
                cut_masks(one, some, size, settings, edges_of(images.picture(index), crf))
                for index, (one, some, size) in enumerate(zip(maps, refined, truth.sizes))
            ),
        )
        draw_found(
            images,
            found,
            truth,
            self.folder
            / 'pictures'
            / f'labels-{cell.method}.png'.replace(' ', '-').replace(',', ''),
        )
        out: dict[str, Any] = score_masks(truth, found)
        if not cell.options:
            out['box_ap50_by_step'] = boxes_by_step(truth, chosen, way[0])
            draw_steps(out['box_ap50_by_step'], self.folder / 'pictures' / 'refinement.png')
        return out

    def _by_network(self) -> TrainCcgrConfig:
        """CCGR's first round on proposals of the region proposal network that the ceiling's true
        masks have taught: more than image-level labels."""
        config = self.config('ccgr')
        return replace(
            config,
            out=str(self.folder / 'runs/ccgr-network'),
            proposals=replace(config.proposals, network=str(self.train('supervised'))),
        )

    def _classes(self, cell: Cell) -> dict[str, float]:
        images, truth = self.test()
        count, of = Confusion(len(truth.classes)), cell.options['of']
        if of == 'deeplab':
            return {
                'miou': label_all(
                    SemanticSegmenter(
                        Checkpoint.load(self.train('deeplab')),
                        device=str(self.device),
                        zooms=SCALES,
                    ),
                    images,
                    truth,
                )[1]
            }
        found = self.found(of)
        sure = MaskSet(
            found.classes,
            found.sizes,
            tuple(tuple(one for one in some if one.score >= 0.5) for some in found.masks),
        )
        for index in range(len(images)):
            count.add(semantic_of(truth, index), semantic_of(sure, index))
        return {'miou': count.miou()}

    def _walk(self, cell: Cell) -> dict[str, float]:
        side, rng = cell.options['side'], np.random.default_rng(0)
        boundary, scores = (
            rng.random((side, side)).astype(np.float32),
            rng.random((8, side, side)).astype(np.float32),
        )
        begun = time.perf_counter()
        matrix = transition_matrix(boundary)
        walk(scores, matrix)
        return {
            'seconds': round(time.perf_counter() - begun, 3),
            'matrix_mib': round(
                (matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes) / 2**20, 2
            ),
        }

    def _round_masks(self, number: int) -> MaskSet:
        """What the instance branch of an earlier round finds."""
        checkpoint = Checkpoint.load(self.train('ccgr'))
        segmenter = MaskSegmenter(checkpoint, device=str(self.device))
        from safetensors import safe_open

        with safe_open(
            self.folder / 'runs/ccgr' / f'mask_rcnn-{number}.state.safetensors', 'pt'
        ) as file:
            segmenter.network.load_state_dict(
                {
                    name.removeprefix('network/'): file.get_tensor(name)
                    for name in file.keys()
                    if name.startswith('network/')
                }
            )
        return detect_all(segmenter, self.test()[0])


def _share(run: Path, other: Path, config: TrainIRNetConfig) -> None:
    """A run that differs only in what learns from the labels begins with all that another has made
    before."""
    if not other.exists():
        prepare_images(config)
        share(
            run,
            other,
            ('class_maps', 'cams', 'relations', 'labels', 'labels.json', 'irnet.state.safetensors'),
        )


def make_mixed(out: Path, scenes: int, seed: int, changes: dict[str, Any] | None = None) -> Path:
    """Bins of several kinds by the shipped preset, changed or not, with masks, or what is missing
    of them."""
    preset = yaml.safe_load(shipped_file('config/simulate', 'mixed.yaml').read_text())
    return simulate(
        SimulateConfig(
            **{
                **preset,
                'jitter': Jitter(**preset['jitter']),
                **(changes or {}),
                'scenes': scenes,
                'seed': seed,
                'truth': 'full',
                'out': str(out),
            }
        )
    )


def baseline_masks(
    what: str, network: ClassMapNet, images: ImageSet, device: torch.device, settings: Any
) -> MaskSet:
    """What a method finds that has a classifier alone: `cam`, `cam_boxes` or `prm`."""
    masks: list[tuple[Mask, ...]] = []
    response = PeakResponse(network) if what == 'prm' else None
    for index in tqdm(range(len(images)), desc=what, leave=False):
        picture = to_picture(images, index, device)
        masks.append(
            prm_masks(response, picture, propose(images.picture(index), settings))
            if response
            else cam_masks(network, picture, what == 'cam_boxes')
        )
    return MaskSet(
        images.classes,
        tuple(images.picture(index).shape[:2] for index in range(len(images))),
        tuple(masks),
    )


def boxes_by_step(truth: MaskSet, chosen: list[list[Any]], way: np.ndarray) -> dict[str, float]:
    """Fig. 5 of CCGR: box AP50 of labels on the way (steps + 1, N, 4) of their refinement."""
    out, flat = (
        {},
        [(number, kind, score) for number, some in enumerate(chosen) for kind, score, _ in some],
    )
    for step in range(0, len(way), 20):
        masks: list[list[Mask]] = [[] for _ in truth.masks]
        for (number, kind, score), (x1, y1, x2, y2) in zip(flat, np.round(way[step]).astype(int)):
            pixels = np.zeros(truth.sizes[number], bool)
            pixels[y1:y2, x1:x2] = True
            if pixels.any():
                masks[number].append(Mask.of(kind, score, pixels))
        found = MaskSet(truth.classes, truth.sizes, tuple(map(tuple, masks)))
        out[str(step)] = round(class_average_precision(truth, found, (0.5,), 'bbox')['ap50'], 4)
    return out


def draw_steps(values: dict[str, float], path: Path) -> None:
    """The curve of boxes_by_step."""
    matplotlib.use('Agg')
    figure = Figure(figsize=(5, 3), layout='constrained')
    axes = figure.subplots()
    axes.plot([int(step) for step in values], list(values.values()), marker='o')
    axes.set(xlabel='steps of the refinement', ylabel='box AP50 of labels')
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def draw_found(images: ImageSet, found: MaskSet, truth: MaskSet, path: Path) -> None:
    """Some pictures, what was found in them (scores of .5 or more), and the truth, a row each."""
    rows = []
    for index in np.linspace(0, len(truth) - 1, min(SHOWN, len(truth))).astype(int):
        picture = images.picture(index)
        row = {'picture': picture[..., :3]}
        for title, masks in (('found', found), ('truth', truth)):
            row[title] = draw_masks(
                picture,
                tuple(one for one in masks.masks[index] if one.score >= 0.5),
                len(images.classes),
            )
        rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows, path)


def as_rows(results: list[dict[str, Any]], machine: str, command: str) -> list[dict[str, Any]]:
    """One row a figure, as all benchmarks write them."""
    out = []
    for one in results:
        small = '' if one['budget'] == 'full' else f' ({one["budget"]} budget)'
        figures = {
            **one,
            **{
                f'box_ap50 at step {step}': value
                for step, value in one.get('box_ap50_by_step', {}).items()
            },
        }
        for metric, value in figures.items():
            if isinstance(value, float):
                out.append(
                    {
                        'benchmark': 'weak',
                        'table': one['table'],
                        'method': one['method'],
                        'part': 'mixed',
                        'protocol': f'image-level labels{small}',
                        'metric': metric,
                        'value': value,
                        'unit': (
                            {'minutes': 'min', 'seconds': 's', 'matrix_mib': 'MiB'}.get(metric, '')
                        ),
                        'seed': TEST,
                        'reference': '',
                        'machine': machine,
                        'command': command,
                    }
                )
    return out


def markdown(results: list[dict[str, Any]], budget: Budget, machine: str) -> str:
    """All tables that there are results for."""
    lines = [
        '# Masks with classes from image-level labels',
        '',
        f'Budget **{budget.name}**'
        + ('.' if budget.name == 'full' else ': a shrunken run, not the figures of the full one.')
        + f' {machine}. {budget.training} simulated bins of two to six parts of ten kinds; of each'
        f' only is known which kinds lie in it. {budget.test} others are judged. AP is the mean'
        ' over the classes, by masks; box_ap50 by boxes. Labels of training pictures are judged'
        f' on the first {budget.judged}; there the classes are known, and so the figures higher.',
        '',
    ]
    for table in dict.fromkeys(one['table'] for one in results):
        own = [one for one in results if one['table'] == table]
        columns = list(
            dict.fromkeys(
                key for one in own for key, value in one.items() if isinstance(value, float)
            )
        )
        lines += [*table_lines(table, own, columns), '']
        for one in own:
            if 'box_ap50_by_step' in one:
                lines += [
                    'Box AP50 of labels on the way of the refinement (CCGR figure 5): '
                    + ', '.join(
                        f'{step}: {value:.3f}' for step, value in one['box_ap50_by_step'].items()
                    )
                    + '.',
                    '',
                ]
    return '\n'.join(lines)
