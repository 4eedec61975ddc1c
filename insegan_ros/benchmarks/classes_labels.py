"""How good the pseudo-labels of training pictures are: the rows of IRNet's tables 1 and 2 and of
CCGR's table 3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from insegan_ros.benchmarks.classes_refinement import (
    boxes_by_step,
    overlap_by_step,
    overlap_in_bags,
)
from insegan_ros.benchmarks.classes_runs import ClassesRuns
from insegan_ros.data.mask_sets import MaskSet
from insegan_ros.methods.image_level.affinity_net import label_by_walk
from insegan_ros.methods.image_level.box_refinement import (
    Box,
    RefinementConfig,
    boxes_of_pieces,
    cut_masks,
    refine_chosen,
    score_maps,
)
from insegan_ros.methods.image_level.ccgr_recipe import train_boxes, train_semantic
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, Edges, edges_of
from insegan_ros.methods.image_level.irnet import IRNet
from insegan_ros.methods.image_level.label_synthesis import (
    instance_map,
    label_by_attention,
    synthesise,
)
from insegan_ros.methods.image_level.multiple_instance import BoxesStage
from insegan_ros.methods.image_level.pseudo_labels import (
    predict,
    predict_affinities,
    read_class_maps,
    train_affinity_net,
    train_irnet_network,
)
from insegan_ros.methods.image_level.run import ImageRun
from insegan_ros.methods.image_level.semantic import SemanticNet
from insegan_ros.metrics.classes import Confusion, score_masks, semantic_of

# Labels of the picture of a number, of a size (H, W), along its edges.
Labeller = Callable[[int, tuple[int, int], Edges | None], np.ndarray]
# What was found in the judged pictures, the truth, and the figures besides.
Labelled = tuple[MaskSet, MaskSet, dict[str, Any]]


def irnet_network(runs: ClassesRuns) -> IRNet:
    """IRNet as its run has trained it."""
    settings = runs.budget.config('irnet').irnet
    run, _ = runs.judged()
    return runs.once('irnet network', lambda: train_irnet_network(run, settings))


def irnet_masks(runs: ClassesRuns, options: dict[str, Any]) -> Labelled:
    """Pseudo-masks of the judged pictures. options: of SynthesisConfig, and crf."""
    run, truth = runs.judged()
    network, config, changes = irnet_network(runs), run.config, dict(options)
    crf = replace(config.crf, labels=changes.pop('crf', False))
    settings = replace(config.labels, **changes)
    masks = []
    for index in tqdm(range(len(truth)), desc='labels', leave=False):
        maps, class_ids, boundary, displacement = predict(run, network, index)
        instances = instance_map(displacement, settings) if settings.displacements else None
        edges, size = edges_of(run.images.picture(index), crf), truth.sizes[index]
        found, _ = synthesise(maps, class_ids, boundary, instances, size, settings, edges)
        masks.append(found)
    made = MaskSet(truth.classes, truth.sizes, tuple(masks))
    return made, truth, dict(score_masks(truth, made))


def semantic_miou(runs: ClassesRuns, of: str, crf: bool) -> dict[str, float]:
    """Semantic pseudo-labels of the judged pictures: of where the classifier looks (CAM), or of a
    walk by affinities (AffinityNet) or by boundaries (IRNet)."""
    run, truth = runs.judged()
    makers = {'CAM': _by_attention, 'AffinityNet': _by_affinities, 'IRNet': _by_boundaries}
    label, confusion = makers[of](runs), Confusion(len(truth.classes))
    settings: DenseCrfConfig = replace(run.config.crf, labels=crf)
    for index in tqdm(range(len(truth)), desc=of, leave=False):
        edges = edges_of(run.images.picture(index), settings)
        found = label(index, truth.sizes[index], edges)
        confusion.add(semantic_of(truth, index), found)
    return {'miou': confusion.miou()}


def _by_attention(runs: ClassesRuns) -> Labeller:
    run, _ = runs.judged()
    background = run.config.labels.background

    def label(index: int, size: tuple[int, int], edges: Edges | None) -> np.ndarray:
        maps, class_ids = read_class_maps(run.out, run.images.names[index])
        return label_by_attention(maps, class_ids, size, background, edges)

    return label


def _by_boundaries(runs: ClassesRuns) -> Labeller:
    (run, _), network = runs.judged(), irnet_network(runs)

    def label(index: int, size: tuple[int, int], edges: Edges | None) -> np.ndarray:
        maps, class_ids, boundary, _ = predict(run, network, index)
        return synthesise(maps, class_ids, boundary, None, size, run.config.labels, edges)[1]

    return label


def _by_affinities(runs: ClassesRuns) -> Labeller:
    """AffinityNet as CCGR's run has trained it."""
    run = runs.reach('ccgr', 'relations')
    config = run.config.affinity_net
    network = runs.once('affinity_net', lambda: train_affinity_net(run, config))

    def label(index: int, size: tuple[int, int], edges: Edges | None) -> np.ndarray:
        maps, class_ids, matrix = predict_affinities(run, network, index, config)
        return label_by_walk(maps, class_ids, matrix, size, config, edges)

    return label


def first_round(runs: ClassesRuns, options: dict[str, Any]) -> Labelled:
    """Pseudo-masks of CCGR's first round, of the judged pictures. options: of RefinementConfig,
    crf, and the run. With steps, how boxes got better on their way."""
    truth, changes = runs.judged()[1], dict(options)
    name = changes.pop('run', 'ccgr')
    run, semantic, boxes = branches(runs, name)
    crf = replace(run.config.crf, labels=changes.pop('crf', True))
    settings, way = replace(RefinementConfig(), **changes), list[np.ndarray]()
    images, indices = run.images, range(len(truth))
    maps = runs.once(
        f'{name} maps',
        lambda: [
            score_maps(semantic, run.picture(index), images.present[index]) for index in indices
        ],
    )
    chosen: list[list[Box]] = [
        boxes_of_pieces(maps[index], images.present[index])
        if settings.choose == 'semantic'
        else boxes.choose(index)
        for index in indices
    ]
    refined = refine_chosen(maps, chosen, settings, way)
    masks = []
    for index, size in zip(indices, truth.sizes):
        edges = edges_of(images.picture(index), crf)
        masks.append(cut_masks(maps[index], refined[index], size, settings, edges))
    found = MaskSet(truth.classes, truth.sizes, tuple(masks))
    figures: dict[str, Any] = dict(score_masks(truth, found))
    if way and set(options) <= {'axes'}:
        figures |= overlap_by_step(truth, chosen, way[0])
        if not options:
            figures['box_ap50_by_step'] = boxes_by_step(truth, chosen, way[0])
            figures |= overlap_in_bags(truth, boxes.bags, boxes.boxes, chosen)
    return found, truth, figures


def branches(runs: ClassesRuns, name: str) -> tuple[ImageRun, SemanticNet, BoxesStage]:
    """A run of CCGR, and the semantic and the multiple instance branch of its first round."""

    def make() -> tuple[ImageRun, SemanticNet, BoxesStage]:
        run = runs.reach(name, 'proposals')
        return run, train_semantic(run, 1, None), train_boxes(run, 1, None)

    return runs.once(f'branches of {name}', make)
