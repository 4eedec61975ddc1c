"""IRNet: from image-level labels to instance masks with classes.

1. cam: a classifier; where it looks are the class attention maps;
2. relations: pseudo-labels of the classes where the maps are confident;
3. irnet: boundaries and displacements, learnt from pairs of labelled pixels;
4. labels: pseudo-masks of all training pictures;
5. mask_rcnn: Mask R-CNN learns from them, or DeepLab from their semantic variant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from insegan_ros.methods.image_level.class_maps import (
    ClassMapsConfig,
    load_backbone,
    train_class_maps,
)
from insegan_ros.methods.image_level.confident_areas import ConfidentAreasConfig
from insegan_ros.methods.image_level.dense_crf import DenseCrfConfig
from insegan_ros.methods.image_level.irnet import IRNetTrainConfig
from insegan_ros.methods.image_level.label_synthesis import SynthesisConfig
from insegan_ros.methods.image_level.mask_rcnn_recipe import MaskRcnnStage, MaskRcnnTrainConfig
from insegan_ros.methods.image_level.pseudo_labels import (
    make_masks,
    make_semantic_labels,
    mine_relations,
    read_labels,
    train_irnet_network,
)
from insegan_ros.methods.image_level.run import (
    ImageLevelConfig,
    ImageRun,
    check_begun,
    check_numbered,
    take_over_relations,
)
from insegan_ros.methods.image_level.semantic_stage import SemanticStage, SemanticTrainConfig
from insegan_ros.methods.image_level.stage_pictures import draw_irnet

Stop = Literal['', 'cam', 'relations', 'irnet', 'labels']


@dataclass(frozen=True)
class TrainIRNetConfig(ImageLevelConfig):
    """`insegan train irnet`: masks with classes from a list of what is in each picture (IRNet).
    Stopped and started again, it goes on."""

    class_maps: ClassMapsConfig = field(default_factory=ClassMapsConfig)
    """The classifier's training."""
    relations: ConfidentAreasConfig = field(default_factory=ConfidentAreasConfig)
    """Where attention maps are confident."""
    irnet: IRNetTrainConfig = field(default_factory=IRNetTrainConfig)
    """IRNet's training."""
    crf: DenseCrfConfig = field(default_factory=DenseCrfConfig)
    """What a dense CRF aligns with the picture's edges."""
    labels: SynthesisConfig = field(default_factory=SynthesisConfig)
    """How pseudo-masks are made."""
    final: Literal['masks', 'semantic'] = 'masks'
    """What learns from the labels in the end: Mask R-CNN, or DeepLab, which tells classes apart but
    not instances."""
    mask_rcnn: MaskRcnnTrainConfig = field(default_factory=MaskRcnnTrainConfig)
    """Mask R-CNN's training."""
    deeplab: SemanticTrainConfig = field(default_factory=SemanticTrainConfig)
    """DeepLab's training."""
    begin: str = ''
    """Folder of a run of irnet or ccgr on the same data, whose classifier, attention maps and
    relations are taken over: for other settings of what comes after."""
    stop_after: Stop = ''
    """Stop after this stage, to look at what it made: pictures are in the run's folder."""


def train_irnet(config: TrainIRNetConfig) -> Path:
    """Train all stages, or what is left of them; returns the checkpoint's folder, or the run's
    where `stop_after` ended it before.

    Raises DatasetError for pictures that cannot teach, TrainingError where a stage diverges.
    """
    run = ImageRun(config)
    check_numbered(run)
    if config.begin:
        check_begun(Path(config.begin), run)
    run.claim_folder()
    if config.begin:
        take_over_relations(Path(config.begin), run)
    train_class_maps(run, config.class_maps)
    if config.stop_after == 'cam':
        return draw_irnet(run)
    mine_relations(run, config.relations, config.crf)
    if config.stop_after == 'relations':
        return draw_irnet(run)
    network = train_irnet_network(run, config.irnet)
    if config.stop_after == 'irnet':
        return draw_irnet(run, network)
    labels = make_masks(run, config.labels, config.crf, network)
    draw_irnet(run, network, labels)
    if config.stop_after == 'labels':
        return run.out
    backbone, frozen_norm = load_backbone(run.out)
    run.seed('weights', 3)
    if config.final == 'semantic':
        make_semantic_labels(run, config.labels, config.crf, network)
        semantic = read_labels(run.out, run.images, config.size)
        deeplab = SemanticStage(run, config.deeplab, semantic, 'aspp', backbone, frozen_norm)
        run.stage(deeplab, called='deeplab')
        return run.save_network('irnet', 'semantic', 'semantic', deeplab.network, frozen_norm)
    stage = run.stage(MaskRcnnStage(run, config.mask_rcnn, labels, backbone, frozen_norm))
    return run.save_network('irnet', 'masks', 'mask_rcnn', stage.network, frozen_norm)
