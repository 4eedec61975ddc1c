"""CCGR: from image-level labels to instance masks with classes by boxes (center-context-gap
refinement).

1. cam: a classifier; the peaks of its attention maps are where objects are thought to be;
2. relations, affinity_net: AffinityNet, which gives the first semantic labels;
3. proposals: regions of like colour and depth;
then in every round
4. boxes: the multiple instance branch chooses of each bag's proposals the best;
5. semantic: the semantic branch learns where the classes are;
6. labels: boxes are moved until scores are high within them and low around, and cut masks out of
the scores;
7. mask_rcnn: the instance branch learns from these, and gives the next round its bags and its
semantic labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from tqdm import tqdm

from insegan_ros.data.image_sets import CHANNELS, ImageSet
from insegan_ros.data.mask_sets import Mask, MaskSet
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.engine.loop import run_stage, seed_step
from insegan_ros.errors import ConfigError, DatasetError
from insegan_ros.methods.image_level.bags import Bag, bags_of_masks, bags_of_peaks, peaks_of
from insegan_ros.methods.image_level.box_refinement import (
    Box,
    RefinementConfig,
    boxes_of_pieces,
    cut_masks,
    refine_chosen,
    score_maps,
)
from insegan_ros.methods.image_level.class_maps_stage import (
    ClassMapsConfig,
    load_backbone,
    train_class_maps,
)
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig, edges_of
from insegan_ros.methods.image_level.irnet_recipe import (
    AffinityNetStage,
    IRNetTrainConfig,
    collect_masks,
    make_semantic_labels,
    mine_relations,
    read_class_maps,
    read_labels,
    train_relations,
)
from insegan_ros.methods.image_level.label_synthesis import SynthesisConfig
from insegan_ros.methods.image_level.mask_rcnn_stage import (
    MaskRcnnStage,
    MaskRcnnTrainConfig,
    detect,
)
from insegan_ros.methods.image_level.mask_segmenter import MaskSegmenter
from insegan_ros.methods.image_level.multiple_instance import MultipleInstanceNet, bag_loss
from insegan_ros.methods.image_level.proposals import (
    Proposals,
    ProposalsConfig,
    propose,
    propose_by_network,
)
from insegan_ros.methods.image_level.run import (
    ImageLevelConfig,
    PreparedImages,
    check_begun,
    for_every_picture,
    prepare_images,
    read_pictures,
    take_over_relations,
    to_picture,
    vary_colours,
)
from insegan_ros.methods.image_level.semantic import SemanticNet
from insegan_ros.methods.image_level.semantic_stage import SemanticStage, SemanticTrainConfig
from insegan_ros.methods.image_level.stage_pictures import draw_ccgr
from insegan_ros.methods.registry import find_checkpoint

# Pictures whose boxes are refined together.
TOGETHER = 64


@dataclass(frozen=True)
class MultipleInstanceConfig:
    """How the multiple instance branch is trained."""

    steps: int = 500
    """Optimisation steps a round."""
    batch: int = 4
    """Pictures a step."""
    rate: float = 1e-4
    """Adam's learning rate."""
    decay: float = 1e-4
    """Weight decay."""
    width: int = 256
    """Width of its fully connected layers."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.width < 1:
            raise ConfigError(
                f'boxes.steps is {self.steps}, batch {self.batch}, width {self.width}: expected 1'
                ' or more'
            )


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
    """What is sure in attention maps."""
    affinity_net: IRNetTrainConfig = field(default_factory=IRNetTrainConfig)
    """AffinityNet's training."""
    crf: DenseCrfConfig = field(default_factory=DenseCrfConfig)
    """What is brought to the picture's edges."""
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
    """Rounds; the paper's are three to five. With more of them a run that is there goes on."""
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


class BoxesStage:
    """The multiple instance branch on the bags of every picture."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainCcgrConfig,
        images: ImageSet,
        bags: list[list[Bag]],
        boxes: list[np.ndarray],
        start: dict[str, Tensor],
        frozen_norm: bool,
        round_: int,
    ) -> None:
        self.fabric, self.config, self.images, self.bags, self.boxes, self.name = (
            fabric,
            config,
            images,
            bags,
            boxes,
            f'boxes-{round_}',
        )
        self.images_per_step = config.boxes.batch
        self.usable = [index for index, some in enumerate(bags) if some]
        if not self.usable:
            raise DatasetError(
                f'there is no bag in {len(bags)} pictures: expected proposals that hold one peak;'
                ' train the classifier longer, or lower proposals.least'
            )
        network = MultipleInstanceNet(
            config.backbone, images.channels, len(images.classes), config.boxes.width, frozen_norm
        )
        network.backbone.load_state_dict(start)
        self.network, self.optimiser = fabric.setup(
            network,
            torch.optim.AdamW(
                network.parameters(), config.boxes.rate, weight_decay=config.boxes.decay
            ),
        )
        _keep_norm(network)

    def parts(self) -> dict[str, Any]:
        """See Stage."""
        return {'network': self.network, 'optimiser': self.optimiser}

    def step(self, index: int) -> dict[str, Tensor]:
        """One step: the mean of the bags' losses. Pictures are not turned: their boxes are not."""
        chosen = [
            self.usable[number]
            for number in torch.randint(len(self.usable), (self.config.boxes.batch,)).tolist()
        ]
        pictures = vary_colours(
            read_pictures(self.images, chosen, self.config.size).to(self.fabric.device),
            self.config.colours,
        )
        scores = self.network(pictures, [self._inputs(number) for number in chosen])
        kinds = [bag.kind for number in chosen for bag in self.bags[number]]
        loss = torch.stack([bag_loss(one, kind) for one, kind in zip(scores, kinds)]).mean()
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()
        return {'L_MIL': loss.detach()}

    def _inputs(self, number: int) -> list[Tensor]:
        return [
            torch.from_numpy(self.boxes[number][bag.proposals]).to(self.fabric.device)
            for bag in self.bags[number]
        ]

    @torch.no_grad()
    def choose(self, number: int) -> list[tuple[int, float, np.ndarray]]:
        """Of every bag of a picture its class, the score and the box (4,) of its best proposal."""
        if not self.bags[number]:
            return []
        scores = self.network(
            read_pictures(self.images, [number], self.config.size).to(self.fabric.device),
            [self._inputs(number)],
        )
        best = [one[bag.kind].argmax().item() for one, bag in zip(scores, self.bags[number])]
        return [
            (bag.kind, float(one[bag.kind].sum()), self.boxes[number][bag.proposals[index]])
            for one, bag, index in zip(scores, self.bags[number], best)
        ]

    def pictures(self) -> dict[str, Tensor]:
        """Nothing: `pictures.png` in the run's folder shows more."""
        return {}


def _keep_norm(network: MultipleInstanceNet) -> None:
    """Few pictures a step: batch norm stays as the classifier left it."""
    for module in network.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def train_ccgr(config: TrainCcgrConfig) -> Path:
    """Train all stages, or what is left of them; returns the checkpoint's folder, or the run's
    where `stop_after` ended it before.

    Raises DatasetError for pictures that cannot teach, TrainingError where a stage diverges.
    """

    def check(images: ImageSet) -> None:
        if config.begin:
            check_begun(Path(config.begin), config, images)
        done = Path(config.out) / 'checkpoint'
        before = Checkpoint.load(done).training['steps'].get('rounds', 0) if done.exists() else 0
        if before > config.rounds and not config.stop_after:
            raise ConfigError(
                f'rounds is {config.rounds}, and {done} has had {before}: expected {before} or'
                ' more, or another --out'
            )
        if config.proposals.network:
            proposing_network(config.proposals, images, 'cpu')

    data = prepare_images(config, check)
    if config.begin:
        take_over_relations(Path(config.begin), data)
    seconds = train_class_maps(data, config, config.class_maps)
    if config.stop_after == 'cam':
        return data.out
    mine_relations(data, config.relations, config.crf)
    network, took = train_relations(data, config, config.affinity_net, AffinityNetStage)
    make_semantic_labels(data, SynthesisConfig(), config.crf, network)
    if config.stop_after == 'relations':
        return draw_ccgr(data.out, data.images)
    make_proposals(data, config.proposals)
    if config.stop_after == 'proposals':
        return draw_ccgr(data.out, data.images)
    seconds += took
    start: dict[str, Tensor] | None = None
    found: MaskSet | None = None
    for round_ in range(1, config.rounds + 1):
        labels, took = make_round_labels(data, config, round_, found)
        seconds += took
        if labels is None or (config.stop_after == 'labels' and round_ == 1):
            return data.out
        backbone, frozen_norm = load_backbone(data.out)
        seed_step(config.seed, 'weights', 10 * round_ + 3)
        stage = MaskRcnnStage(
            data.fabric,
            config,
            config.mask_rcnn,
            data.images,
            labels,
            backbone,
            frozen_norm,
            f'mask_rcnn-{round_}',
        )
        if start is not None:
            # The instance branch goes on learning, from better labels.
            stage.network.module.load_state_dict(start)
        seconds += run_stage(
            data.fabric, stage, config.mask_rcnn.steps, data.out, config.seed, config.loop
        )
        start = {
            name: value.detach().clone()
            for name, value in stage.network.module.state_dict().items()
        }
        if round_ < config.rounds:
            found = instance_answers(data, stage.network.module.eval(), round_)
    steps = {
        'cam': config.class_maps.steps,
        'rounds': config.rounds,
        'boxes': config.boxes.steps,
        'semantic': config.semantic.steps,
        'mask_rcnn': config.mask_rcnn.steps,
    }
    data.checkpoint(
        'ccgr', 'masks', config, {'mask_rcnn': stage.network}, frozen_norm, seconds, steps
    ).save(data.out / 'checkpoint')
    return data.out / 'checkpoint'


def proposing_network(config: ProposalsConfig, images: ImageSet, device: str) -> MaskRCNN:
    """The Mask R-CNN whose region proposal network proposes. Raises CheckpointError, or ConfigError
    for a model that is none, or of other pictures."""
    checkpoint = Checkpoint.load(find_checkpoint(config.network))
    if checkpoint.segmenter != 'masks':
        raise ConfigError(
            f'proposals.network is {config.network}, a checkpoint for {checkpoint.segmenter}:'
            ' expected a Mask R-CNN, such as one of insegan train supervised-masks'
        )
    segmenter = MaskSegmenter(checkpoint, device=device)
    if CHANNELS[segmenter.look] != images.channels:
        raise ConfigError(
            f'proposals.network is {config.network}, which looks at {segmenter.look}; the pictures'
            f' have {images.channels} channels: expected one that was taught such pictures'
        )
    return segmenter.network


def make_proposals(data: PreparedImages, config: ProposalsConfig) -> None:
    """Proposals of every picture: `proposals/NAME.npz`. Raises what proposing_network raises."""
    network = (
        proposing_network(config, data.images, str(data.fabric.device)) if config.network else None
    )

    def make(index: int) -> bytes | None:
        if network is None:
            found = propose(data.images.picture(index), config)
        else:
            found = propose_by_network(
                network, to_picture(data.images, index, data.fabric.device), config
            )
        return found.pack() if found else None

    for_every_picture(data.out / 'proposals', data.images, 'npz', make)


def make_round_labels(
    data: PreparedImages, config: TrainCcgrConfig, round_: int, found: MaskSet | None
) -> tuple[MaskSet | None, float]:
    """Pseudo masks of a round, and the seconds; None where `stop_after` ended it before. found:
    what the instance branch of the round before answered."""
    images, whole = data.images, data.out / f'labels-{round_}.json'
    semantic, took = train_semantic(data, config, round_, found)
    if config.stop_after == 'semantic':
        return None, took

    def chosen_by(choose: Callable[[int], list[Box]]) -> list[list[Box]]:
        return (
            []
            if whole.exists()
            else [
                choose(index)
                for index in tqdm(
                    range(len(images)),
                    desc=f'chosen-{round_}',
                    unit='picture',
                    disable=not data.fabric.is_global_zero,
                )
            ]
        )

    if config.refinement.choose == 'semantic':
        chosen = chosen_by(
            lambda index: boxes_of_pieces(semantic, images, index, data.fabric.device)
        )
    else:
        stage, more = train_boxes(data, config, round_, found)
        took += more
        chosen = chosen_by(stage.choose)
        if config.stop_after == 'boxes':
            draw_ccgr(
                data.out,
                images,
                round_,
                None,
                ([np.array([box for _, _, box in some]).reshape(-1, 4) for some in chosen],),
            )
            return None, took
    if whole.exists():
        return MaskSet.load(whole), took
    masks: list[tuple[Mask, ...]] = []
    after: list[list[Box]] = []
    for first in tqdm(
        range(0, len(images), TOGETHER),
        desc=f'labels-{round_}',
        unit=f'{TOGETHER} pictures',
        disable=not data.fabric.is_global_zero,
    ):
        together = range(first, min(first + TOGETHER, len(images)))
        maps = [
            score_maps(
                semantic, to_picture(images, index, data.fabric.device), images.present[index]
            )
            for index in together
        ]
        refined = refine_chosen(maps, [chosen[index] for index in together], config.refinement)
        after += refined
        for index, scores, boxes in zip(together, maps, refined):
            picture = images.picture(index)
            masks.append(
                cut_masks(
                    scores,
                    boxes,
                    picture.shape[:2],
                    config.refinement,
                    edges_of(picture, config.crf),
                )
            )
    MaskSet(
        images.classes,
        tuple(images.picture(index).shape[:2] for index in range(len(images))),
        tuple(masks),
    ).save(whole)
    draw_ccgr(
        data.out,
        images,
        round_,
        MaskSet.load(whole),
        tuple(
            [np.array([box for _, _, box in some]).reshape(-1, 4) for some in boxes]
            for boxes in (chosen, after)
        ),
    )
    empty = sum(not some for some in masks)
    if empty:
        print(f'round {round_}: no box in {empty} of {len(images)} pictures, they are left out')
    return MaskSet.load(whole), took


def train_semantic(
    data: PreparedImages, config: TrainCcgrConfig, round_: int, found: MaskSet | None
) -> tuple[SemanticNet, float]:
    """The semantic branch of a round, taught by AffinityNet's labels, later by the union of the
    masks that the instance branch found."""
    labels = read_labels(data.out, data.images, config.size)
    if found is not None:
        # Where the instance branch found nothing, what is known from before is kept.
        answered = np.array([bool(masks) for masks in found.masks])
        labels[answered] = union_of(found, config.size)[answered]
    backbone, frozen_norm = load_backbone(data.out)
    seed_step(config.seed, 'weights', 10 * round_ + 1)
    stage = SemanticStage(
        data.fabric,
        config,
        config.semantic,
        data.images,
        labels,
        'pyramid',
        backbone,
        frozen_norm,
        f'semantic-{round_}',
    )
    took = run_stage(data.fabric, stage, config.semantic.steps, data.out, config.seed, config.loop)
    return stage.network.module.eval(), took


def union_of(found: MaskSet, size: int) -> np.ndarray:
    """Semantic labels (N, size, size) uint8 of all masks of a class together; where classes
    overlap, of the surest."""
    out = np.zeros((len(found), size, size), np.uint8)
    for label, masks in zip(out, found.masks):
        for one in sorted(masks, key=lambda mask: mask.score):
            pixels = one.pixels()
            label[: pixels.shape[0], : pixels.shape[1]][pixels] = one.kind + 1
    return out


def train_boxes(
    data: PreparedImages, config: TrainCcgrConfig, round_: int, found: MaskSet | None
) -> tuple[BoxesStage, float]:
    """The multiple instance branch of a round: bags of peaks, later of the boxes that the instance
    branch found."""
    images, bags, boxes = data.images, [], []
    for index in tqdm(
        range(len(images)),
        desc=f'bags-{round_}',
        unit='picture',
        disable=not data.fabric.is_global_zero,
    ):
        proposals = Proposals.load(data.out / 'proposals' / f'{images.names[index]}.npz')
        own, some = proposals.boxes if proposals else np.zeros((0, 4), np.float32), []
        if found is not None and found.masks[index]:
            some, own = bags_of_masks(found.masks[index], own)
        elif proposals:
            maps, kinds = read_class_maps(data.out, images.names[index])
            scores = semantic_scores(
                cv2.imread(
                    str(data.out / 'semantic' / f'{images.names[index]}.png'), cv2.IMREAD_UNCHANGED
                ),
                len(images.classes),
            )
            some = bags_of_peaks(peaks_of(maps, kinds), proposals, scores)
        bags.append(some)
        boxes.append(own)
    if data.fabric.is_global_zero and not all(bags):
        print(
            f'round {round_}: no bag in {sum(not some for some in bags)} of {len(images)} pictures,'
            ' they are left out'
        )
    backbone, frozen_norm = load_backbone(data.out)
    seed_step(config.seed, 'weights', 10 * round_ + 2)
    stage = BoxesStage(data.fabric, config, images, bags, boxes, backbone, frozen_norm, round_)
    took = run_stage(data.fabric, stage, config.boxes.steps, data.out, config.seed, config.loop)
    return stage, took


def semantic_scores(label: np.ndarray, classes: int) -> np.ndarray:
    """Score maps (K, H, W) of a semantic label (H, W), 0 background, class + 1: AffinityNet's
    labels as Eq. 4 asks them."""
    return (label[None] == np.arange(1, classes + 1)[:, None, None]).astype(np.float32)


def instance_answers(data: PreparedImages, network: torch.nn.Module, round_: int) -> MaskSet:
    """What the instance branch finds in the training pictures, of classes that are in them: the
    next round's bags and semantic labels."""

    def make(index: int) -> bytes:
        found = detect(network, to_picture(data.images, index, data.fabric.device), 0.5)
        return json.dumps(
            [asdict(one) for one in found if data.images.present[index, one.kind]]
        ).encode()

    return collect_masks(data, f'answers-{round_}', make)
