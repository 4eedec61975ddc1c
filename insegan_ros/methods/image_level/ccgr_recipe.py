"""CCGR: from image-level labels to instance masks with classes by boxes (center-context-gap
refinement).

1. cam: a classifier; the peaks of its attention maps are where objects are taken to be;
2. relations, affinity_net: AffinityNet, which gives the first semantic labels (or attention does);
3. proposals: regions of similar colour and depth;
then in every round
4. semantic: the semantic branch learns where the classes are;
5. boxes: the multiple instance branch chooses the best of each bag's proposals;
6. labels: boxes are moved until scores are high within them and low around, and cut masks out of
the scores;
7. mask_rcnn: the instance branch learns from these, and gives the next round its bags and its
semantic labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from torchvision.models.detection import MaskRCNN

from insegan_ros.data.folders import read_png
from insegan_ros.data.image_sets import CHANNELS
from insegan_ros.data.mask_sets import Mask, MaskSet, sizes_of
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.affinity_net import AffinityNetConfig
from insegan_ros.methods.image_level.bags import Bag, bags_of_masks, bags_of_peaks, peaks_of
from insegan_ros.methods.image_level.box_refinement import (
    Box,
    RefinementConfig,
    boxes_of_pieces,
    corners_of,
    cut_masks,
    refine_chosen,
    score_maps,
)
from insegan_ros.methods.image_level.class_maps import (
    ClassMapsConfig,
    load_backbone,
    train_class_maps,
)
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, edges_of
from insegan_ros.methods.image_level.label_synthesis import SynthesisConfig
from insegan_ros.methods.image_level.later_labels import along_edges, keep_unfound, union_of
from insegan_ros.methods.image_level.mask_rcnn import MaskSegmenter, detect
from insegan_ros.methods.image_level.mask_rcnn_recipe import MaskRcnnStage, MaskRcnnTrainConfig
from insegan_ros.methods.image_level.multiple_instance import BoxesStage, MultipleInstanceConfig
from insegan_ros.methods.image_level.proposals import (
    Proposals,
    ProposalsConfig,
    propose,
    propose_by_network,
)
from insegan_ros.methods.image_level.pseudo_labels import (
    collect_masks,
    make_affinity_labels,
    make_attention_labels,
    mine_relations,
    pack_masks,
    read_class_maps,
    read_labels,
    train_affinity_net,
)
from insegan_ros.methods.image_level.run import (
    ImageLevelConfig,
    ImageRun,
    check_begun,
    check_numbered,
    take_over_relations,
)
from insegan_ros.methods.image_level.semantic import SemanticNet
from insegan_ros.methods.image_level.semantic_stage import SemanticStage, SemanticTrainConfig
from insegan_ros.methods.image_level.stage_pictures import draw_ccgr
from insegan_ros.methods.registry import find_checkpoint

# Pictures whose boxes are refined together.
TOGETHER = 64
# The score from which on masks of the instance branch teach the next round.
MIN_SCORE = 0.5

Stop = Literal['', 'cam', 'relations', 'proposals', 'boxes', 'semantic', 'labels']


@dataclass(frozen=True)
class TrainCcgrConfig(ImageLevelConfig):
    """`insegan train ccgr`: masks with classes from a list of what is in each picture (CCGR).
    Stopped and started again, it goes on."""

    out: str = 'runs/ccgr'
    """Folder of the run: states, logs, what every stage made, and at the end the checkpoint."""
    class_maps: ClassMapsConfig = field(default_factory=ClassMapsConfig)
    """The classifier's training."""
    relations: ConfidentAreasConfig = field(default_factory=ConfidentAreasConfig)
    """Where attention maps are confident."""
    begin_from: Literal['affinity_net', 'attention'] = 'affinity_net'
    """What the first round's semantic labels are: AffinityNet's, as the paper has it; or where
    attention is high (attention), which trains nothing."""
    affinity_net: AffinityNetConfig = field(default_factory=AffinityNetConfig)
    """AffinityNet's training and walk."""
    crf: DenseCrfConfig = field(default_factory=DenseCrfConfig)
    """What a dense CRF aligns with the picture's edges."""
    proposals: ProposalsConfig = field(default_factory=ProposalsConfig)
    """How regions are grouped."""
    boxes: MultipleInstanceConfig = field(default_factory=MultipleInstanceConfig)
    """The multiple instance branch."""
    semantic: SemanticTrainConfig = field(default_factory=lambda: SemanticTrainConfig(steps=500))
    """The semantic branch, a round."""
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    """From boxes to masks."""
    mask_rcnn: MaskRcnnTrainConfig = field(default_factory=lambda: MaskRcnnTrainConfig(steps=600))
    """The instance branch, a round."""
    rounds: int = 3
    """Rounds; the paper's are three to five. A larger number continues a finished run."""
    relabel: bool = True
    """Whether later rounds make new labels. false, for comparison: they go on learning from those
    of the first round, for as many steps."""
    begin: str = ''
    """Folder of a run of irnet or ccgr on the same data, whose classifier, attention maps and
    relations are taken over."""
    stop_after: Stop = ''
    """Stop after this stage, of the first round, to look at what it made: pictures are in the run's
    folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds < 1:
            raise ConfigError(f'rounds is {self.rounds}: expected 1 or more')


def train_ccgr(config: TrainCcgrConfig) -> Path:
    """Train all stages, or what is left of them; returns the checkpoint's folder, or the run's
    where `stop_after` ended it before.

    Raises DatasetError for pictures that cannot teach, TrainingError where a stage diverges.
    """
    run = ImageRun(config)
    _check(run)
    run.claim_folder()
    if config.begin:
        take_over_relations(Path(config.begin), run)
    train_class_maps(run, config.class_maps)
    if config.stop_after == 'cam':
        return run.out
    mine_relations(run, config.relations, config.crf)
    make_first_labels(run)
    if config.stop_after == 'relations':
        return draw_ccgr(run)
    make_proposals(run)
    if config.stop_after == 'proposals':
        return draw_ccgr(run)
    found: MaskSet | None = None
    stage: MaskRcnnStage | None = None
    labels: MaskSet | None = None
    for round_ in range(1, config.rounds + 1):
        if config.relabel or labels is None:
            labels = make_round_labels(run, round_, found)
        if labels is None or (config.stop_after == 'labels' and round_ == 1):
            return run.out
        stage = train_instances(run, round_, labels, stage)
        if round_ < config.rounds and config.relabel:
            found = find_instances(run, stage.network.module.eval(), round_)
    assert stage is not None, 'there is one round or more'
    run.steps = {
        'cam': config.class_maps.steps,
        'rounds': config.rounds,
        'boxes': config.boxes.steps,
        'semantic': config.semantic.steps,
        'mask_rcnn': config.mask_rcnn.steps,
    }
    _, frozen_norm = load_backbone(run.out)
    return run.save_network('ccgr', 'masks', 'mask_rcnn', stage.network, frozen_norm)


def make_first_labels(run: ImageRun) -> None:
    """The semantic labels that the first round begins with: `semantic/NAME.png`."""
    config: TrainCcgrConfig = run.config
    if config.begin_from == 'attention':
        make_attention_labels(run, SynthesisConfig().background, config.crf)
    else:
        network = train_affinity_net(run, config.affinity_net)
        make_affinity_labels(run, config.affinity_net, config.crf, network)


def _check(run: ImageRun) -> None:
    """Raise what is wrong with the pictures' classes, and with the runs and checkpoints that the
    configuration names, before the folder is claimed."""
    config: TrainCcgrConfig = run.config
    check_numbered(run)
    if config.begin:
        check_begun(Path(config.begin), run)
    done = run.out / 'checkpoint'
    before = Checkpoint.load(done).training['steps'].get('rounds', 0) if done.exists() else 0
    if before > config.rounds and not config.stop_after:
        raise ConfigError(
            f'rounds is {config.rounds}, and {done} has had {before}: expected {before} or more, or'
            ' another --out'
        )
    if config.proposals.network:
        proposing_network(run, 'cpu')


def proposing_network(run: ImageRun, device: str) -> MaskRCNN:
    """The Mask R-CNN whose region proposal network proposes. Raises CheckpointError, or ConfigError
    for a model that is none, or of other pictures."""
    name, channels = run.config.proposals.network, run.images.channels
    checkpoint = Checkpoint.load(find_checkpoint(name))
    if checkpoint.segmenter != 'masks':
        raise ConfigError(
            f'proposals.network is {name}, a checkpoint for {checkpoint.segmenter}: expected a Mask'
            ' R-CNN, such as one of insegan train supervised-masks'
        )
    segmenter = MaskSegmenter(checkpoint, device=device)
    if CHANNELS[segmenter.modality] != channels:
        raise ConfigError(
            f'proposals.network is {name}, which looks at {segmenter.modality}; the pictures have'
            f' {channels} channels: expected one that was taught such pictures'
        )
    return segmenter.network


def make_proposals(run: ImageRun) -> None:
    """Proposals of every picture: `proposals/NAME.npz`. Raises what proposing_network raises."""
    config: ProposalsConfig = run.config.proposals
    network = proposing_network(run, str(run.device)) if config.network else None

    def make(index: int) -> bytes | None:
        found = (
            propose(run.images.picture(index), config)
            if network is None
            else propose_by_network(network, run.picture(index), config)
        )
        return found.pack() if found else None

    run.for_every_picture('proposals', 'npz', make)


def make_round_labels(run: ImageRun, round_: int, found: MaskSet | None) -> MaskSet | None:
    """The pseudo-masks of a round; None where `stop_after` ended it before. found: the masks of the
    instance branch of the round before."""
    config: TrainCcgrConfig = run.config
    semantic = train_semantic(run, round_, found)
    if config.stop_after == 'semantic':
        return None
    choose = _choice(run, round_, found, semantic)
    whole, stop = run.out / f'labels-{round_}.json', config.stop_after == 'boxes'
    if whole.exists() and not stop:
        return MaskSet.load(whole)
    indices = range(len(run.images))
    chosen = [choose(index) for index in run.progress(indices, f'chosen-{round_}')]
    corners = [corners_of(boxes) for boxes in chosen]
    if stop:
        draw_ccgr(run, round_, chosen=corners)
        return None
    masks, refined = _refine_and_cut(run, semantic, chosen, round_)
    MaskSet(run.images.classes, sizes_of(run.images), tuple(masks)).save(whole)
    labels = MaskSet.load(whole)
    draw_ccgr(run, round_, labels, corners, [corners_of(boxes) for boxes in refined])
    empty = sum(not some for some in masks)
    if empty:
        run.say(f'round {round_}: no box in {empty} of {len(masks)} pictures; they are left out')
    return labels


def _choice(
    run: ImageRun, round_: int, found: MaskSet | None, semantic: SemanticNet
) -> Callable[[int], list[Box]]:
    """What chooses a picture's boxes: the multiple instance branch, trained, or without it the
    pieces of the semantic branch's labels."""
    if run.config.refinement.choose == 'boxes':
        return train_boxes(run, round_, found).choose

    def choose(index: int) -> list[Box]:
        present = run.images.present[index]
        return boxes_of_pieces(score_maps(semantic, run.picture(index), present), present)

    return choose


def _refine_and_cut(
    run: ImageRun, semantic: SemanticNet, chosen: list[list[Box]], round_: int
) -> tuple[list[tuple[Mask, ...]], list[list[Box]]]:
    """The masks of every picture, and the refined boxes that cut them."""
    config, images = run.config, run.images
    masks: list[tuple[Mask, ...]] = []
    after: list[list[Box]] = []
    begins = range(0, len(images), TOGETHER)
    for first in run.progress(begins, f'labels-{round_}', f'{TOGETHER} pictures'):
        together = range(first, min(first + TOGETHER, len(images)))
        maps = [
            score_maps(semantic, run.picture(index), images.present[index]) for index in together
        ]
        refined = refine_chosen(maps, [chosen[index] for index in together], config.refinement)
        after += refined
        for index, scores, boxes in zip(together, maps, refined):
            picture = images.picture(index)
            edges = edges_of(picture, config.crf)
            masks.append(cut_masks(scores, boxes, picture.shape[:2], config.refinement, edges))
    return masks, after


def train_semantic(run: ImageRun, round_: int, found: MaskSet | None) -> SemanticNet:
    """The semantic branch of a round, in evaluation mode: taught by AffinityNet's labels, later by
    the union of the masks that the instance branch found."""
    config: TrainCcgrConfig = run.config
    if found is not None:
        make_later_labels(run, round_, found)
    labels = read_labels(run.out, run.images, config.size, labels_folder(round_))
    backbone, frozen_norm = load_backbone(run.out)
    run.seed('weights', 10 * round_ + 1)
    stage = SemanticStage(
        run, config.semantic, labels, 'pyramid', backbone, frozen_norm, f'semantic-{round_}'
    )
    return run.stage(stage).network.module.eval()


def labels_folder(round_: int) -> str:
    """Where the semantic labels of a round are in its run's folder."""
    return 'semantic' if round_ == 1 else f'semantic-{round_}'


def make_later_labels(run: ImageRun, round_: int, found: MaskSet) -> None:
    """The semantic labels of a later round, `semantic-ROUND/NAME.png`: all masks of a class that
    the instance branch found together, along the picture's edges. Of a class that is in the picture
    and that it did not find, what is known from the round before is kept."""

    def make(index: int) -> bytes:
        picture, name = run.images.picture(index), run.images.names[index]
        before = read_png(run.out / labels_folder(round_ - 1) / f'{name}.png')
        union = union_of(found.masks[index], picture.shape[:2])
        label = keep_unfound(union, before, run.images.present[index])
        edges = edges_of(picture, run.config.crf)
        return cv2.imencode('.png', along_edges(label, edges) if edges else label)[1].tobytes()

    run.for_every_picture(labels_folder(round_), 'png', make)


def train_boxes(run: ImageRun, round_: int, found: MaskSet | None) -> BoxesStage:
    """The multiple instance branch of a round, taught by bags of peaks, later by those of the boxes
    that the instance branch found."""
    bags, boxes = [], []
    for index in run.progress(range(len(run.images)), f'bags-{round_}'):
        some, own = _bags(run, index, found.masks[index] if found else ())
        bags.append(some)
        boxes.append(own)
    if not all(bags):
        run.say(
            f'round {round_}: no bag in {sum(not some for some in bags)} of {len(bags)} pictures;'
            ' they are left out'
        )
    backbone, frozen_norm = load_backbone(run.out)
    run.seed('weights', 10 * round_ + 2)
    stage = BoxesStage(run, run.config.boxes, bags, boxes, backbone, frozen_norm, f'boxes-{round_}')
    return run.stage(stage)


def _bags(run: ImageRun, index: int, found: tuple[Mask, ...]) -> tuple[list[Bag], np.ndarray]:
    """The bags of a picture and the boxes (P, 4) px that their proposals are numbers of: of the
    masks that were found in it; of classes that are in it and of which there is none, of the peaks
    of their attention maps."""
    name = run.images.names[index]
    proposals = Proposals.load(run.out / 'proposals' / f'{name}.npz')
    boxes = proposals.boxes if proposals else np.zeros((0, 4), np.float32)
    bags, both = bags_of_masks(found, boxes)
    unfound = {*np.flatnonzero(run.images.present[index]).tolist()} - {one.kind for one in found}
    if proposals is None or not unfound:
        return bags, both
    peaks = peaks_of(*read_class_maps(run.out, name))
    label = read_png(run.out / 'semantic' / f'{name}.png')
    scores = semantic_scores(label, len(run.images.classes))
    of_peaks = bags_of_peaks(peaks, proposals, scores)
    return [*bags, *(bag for bag in of_peaks if bag.class_id in unfound)], both


def semantic_scores(label: np.ndarray, classes: int) -> np.ndarray:
    """Score maps (K, H, W), 0 or 1, of a semantic label (H, W), 0 background, class + 1:
    AffinityNet's labels as Eq. 4 asks for them."""
    return (label[None] == np.arange(1, classes + 1)[:, None, None]).astype(np.float32)


def train_instances(
    run: ImageRun, round_: int, labels: MaskSet, before: MaskRcnnStage | None
) -> MaskRcnnStage:
    """The instance branch of a round, which goes on learning from better labels where that of the
    round before stopped."""
    backbone, frozen_norm = load_backbone(run.out)
    run.seed('weights', 10 * round_ + 3)
    stage = MaskRcnnStage(
        run, run.config.mask_rcnn, labels, backbone, frozen_norm, f'mask_rcnn-{round_}'
    )
    if before is not None:
        stage.network.module.load_state_dict(before.network.module.state_dict())
    return run.stage(stage)


def find_instances(run: ImageRun, network: MaskRCNN, round_: int) -> MaskSet:
    """What the instance branch finds in the training pictures, of classes that are in them: the
    next round's bags and semantic labels."""

    def make(index: int) -> bytes:
        found = detect(network, run.picture(index), MIN_SCORE)
        return pack_masks(tuple(one for one in found if run.images.present[index, one.kind]))

    return without_empty(collect_masks(run, f'answers-{round_}', make))


def without_empty(found: MaskSet) -> MaskSet:
    """The masks that have a pixel. Mask R-CNN may be sure of a box and of none of its pixels; that
    is no object, and its box, which is that of its mask, has no area that could be refined."""
    masks = tuple(tuple(one for one in some if one.area) for some in found.masks)
    return replace(found, masks=masks)
