"""Recipes of seconds that learn from image-level labels."""

from __future__ import annotations

from pathlib import Path

import torch

from insegan_ros.engine.loop import LoopConfig
from insegan_ros.methods.image_level.affinity_net import AffinityNetConfig
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.ccgr_recipe import TrainCcgrConfig
from insegan_ros.methods.image_level.class_maps import ClassMapsConfig
from insegan_ros.methods.image_level.irnet import IRNetConfig, IRNetTrainConfig
from insegan_ros.methods.image_level.irnet_recipe import TrainIRNetConfig
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig
from insegan_ros.methods.image_level.mask_rcnn_recipe import MaskRcnnTrainConfig
from insegan_ros.methods.image_level.multiple_instance import MultipleInstanceConfig
from insegan_ros.methods.image_level.semantic_stage import SemanticTrainConfig

SHORT = {'size': 96, 'seed': 3, 'loop': LoopConfig(device='cpu', threads=1)}


MASKS = MaskRcnnTrainConfig(MaskRcnnConfig(32, 32, 16, 1, 16, 8), steps=2, batch=2)


RELATIONS = IRNetTrainConfig(IRNetConfig(64), steps=2, batch=2, radius=5)


SEMANTIC = SemanticTrainConfig(steps=2, batch=2)


def small_irnet(data: Path, out: Path, **changes: object) -> TrainIRNetConfig:
    return TrainIRNetConfig(
        data=str(data),
        out=str(out),
        class_maps=ClassMapsConfig(steps=12, batch=4),
        irnet=RELATIONS,
        mask_rcnn=MASKS,
        deeplab=SEMANTIC,
        **{**SHORT, **changes},
    )


def small_ccgr(data: Path, out: Path, **changes: object) -> TrainCcgrConfig:
    return TrainCcgrConfig(
        data=str(data),
        out=str(out),
        class_maps=ClassMapsConfig(steps=12, batch=4),
        affinity_net=AffinityNetConfig(16, steps=2, batch=2),
        boxes=MultipleInstanceConfig(steps=2, batch=2, width=16),
        semantic=SEMANTIC,
        mask_rcnn=MASKS,
        **{'rounds': 2, **SHORT, **changes},
    )


SMALL_BACKBONE = BackboneConfig()


def random_pictures(count: int = 2, channels: int = 3, size: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)
