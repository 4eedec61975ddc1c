"""Mask R-CNN, torchvision's, on any of our backbones: what both IRNet and CCGR teach in the end,
and the supervised ceiling."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import MEAN, STD, Backbone, BackboneConfig

LEVELS = ('0', '1', '2', '3')


@dataclass(frozen=True)
class MaskRcnnConfig:
    """Widths of the parts that stand on the backbone; torchvision's, which are the papers', are
    256, 1024, 256, 4, 512, 32."""

    pyramid: int = 64
    """Channels of the feature pyramid."""
    box: int = 256
    """Width of the box head."""
    mask: int = 64
    """Channels of the mask head."""
    mask_layers: int = 2
    """Layers of the mask head."""
    regions: int = 64
    """Regions of a picture that a step learns from."""
    anchor: int = 16
    """Side in px of the smallest anchor; each of the next four levels has one twice as large."""

    def __post_init__(self) -> None:
        if (
            min(self.pyramid, self.box, self.mask, self.mask_layers, self.regions) < 1
            or self.anchor < 4
        ):
            raise ConfigError(
                f'mask_rcnn: expected positive widths and an anchor of 4 px or more, found {self}'
            )


def make_mask_rcnn(
    config: MaskRcnnConfig,
    backbone: BackboneConfig,
    channels: int,
    classes: int,
    size: int,
    frozen_norm: bool = False,
) -> MaskRCNN:
    """Pictures (C, H, W) in [0, 1], brought to `size` px -> boxes, labels 1 to `classes`, scores,
    masks. Its body's state is that of a Backbone."""
    body = Backbone(backbone, channels, last_stride=2, frozen_norm=frozen_norm)
    pyramid = BackboneWithFPN(
        body,
        {f'layer{i + 1}': name for i, name in enumerate(LEVELS)},
        list(body.widths[1:]),
        config.pyramid,
    )
    anchors = AnchorGenerator(
        tuple((config.anchor * 2**i,) for i in range(5)), ((0.5, 1.0, 2.0),) * 5
    )
    return MaskRCNN(
        pyramid,
        min_size=size,
        max_size=size,
        image_mean=MEAN[:channels],
        image_std=STD[:channels],
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(config.pyramid, 3),
        rpn_pre_nms_top_n_train=1000,
        rpn_post_nms_top_n_train=500,
        rpn_pre_nms_top_n_test=500,
        rpn_post_nms_top_n_test=300,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=config.regions,
        box_roi_pool=MultiScaleRoIAlign(LEVELS, 7, 2),
        box_head=TwoMLPHead(config.pyramid * 49, config.box),
        box_predictor=FastRCNNPredictor(config.box, classes + 1),
        mask_roi_pool=MultiScaleRoIAlign(LEVELS, 14, 2),
        mask_head=MaskRCNNHeads(config.pyramid, (config.mask,) * config.mask_layers, 1),
        mask_predictor=MaskRCNNPredictor(config.mask, config.mask, classes + 1),
    )


def body_of(network: MaskRCNN) -> nn.Module:
    """The module that holds a Backbone's weights."""
    return network.backbone.body
