"""Mask R-CNN, torchvision's, on any of our backbones, and what runs it on a camera's pictures:
instances with the names of their classes. IRNet and CCGR both end in it, and so does the supervised
ceiling; mask_rcnn_recipe.py trains it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from insegan_ros.data.image_sets import CHANNELS, picture_of
from insegan_ros.data.mask_sets import Mask
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import ConfigError
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import drop_fragments, to_instances
from insegan_ros.methods.image_level.backbone import MEAN, STD, Backbone, BackboneConfig, to_tensor
from insegan_ros.nn.device import choose_device
from insegan_ros.segmenters.classes import MaskDetector
from insegan_ros.workspace import Workspace

LEVELS = ('0', '1', '2', '3')
# Smaller pieces of a mask, as shares of the picture's area, are dropped.
SMALLEST_PIECE = 0.0005
# A pixel is in a mask from this probability on.
INSIDE = 0.5
# An instance of which no more than this share is left to it is another name for one found before.
OWN_SHARE = 0.5


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
    """A network of pictures (C, H, W) in [0, 1], resized to `size` px -> boxes (N, 4) px, labels
    (N,) from 1 to `classes`, scores (N,), masks (N, 1, H, W) in [0, 1]. Its body's state is that of
    a Backbone."""
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


def filled_up(picture: Tensor, network: MaskRCNN) -> Tensor:
    """A picture (C, H, W) uint8 as the network takes it: in [0, 1], and where it is smaller than
    the pictures of the training filled up with black to the right and below."""
    side = network.transform.max_size
    height, width = picture.shape[1:]
    return pad(picture.float() / 255, (0, max(side - width, 0), 0, max(side - height, 0)))


@torch.inference_mode()
def detect(network: MaskRCNN, picture: Tensor, min_score: float = 0.05) -> tuple[Mask, ...]:
    """What Mask R-CNN finds in a picture (C, H, W) uint8, highest score first."""
    height, width = picture.shape[1:]
    found = network([filled_up(picture, network)])[0]
    return tuple(
        Mask.of(int(label) - 1, float(score), mask[0, :height, :width].cpu().numpy() > INSIDE)
        for label, score, mask in zip(found['labels'], found['scores'], found['masks'])
        if float(score) >= min_score
    )


class MaskSegmenter(MaskDetector):
    """min_score: below it an answer is no instance; .3 to .7 do alike in simulated bins of seed 77,
    from fewer missed to fewer false. kinds: names of the classes to keep, all if empty, such as
    those known to be in the tote. With a workspace it looks at the bin's inside, without one at the
    whole picture."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = 'auto',
        min_score: float = 0.4,
        kinds: tuple[str, ...] = (),
    ) -> None:
        config = checkpoint.config
        self.classes = checkpoint.names('classes')
        self.size = int(checkpoint.number('size', 16, 4096))
        self.part, self.scales, self.modality = (
            checkpoint.part,
            checkpoint.scales,
            config['modality'],
        )
        self.min_score, self.kinds = min_score, kinds
        self.device = choose_device(device)
        shape = checkpoint.settings(MaskRcnnConfig, 'mask_rcnn', 'network')
        backbone = checkpoint.settings(BackboneConfig, 'backbone')
        channels, count, frozen = CHANNELS[self.modality], len(self.classes), config['frozen_norm']
        network = checkpoint.restore(
            'mask_rcnn', lambda: make_mask_rcnn(shape, backbone, channels, count, self.size, frozen)
        )
        self.network = network.to(self.device)

    def detect(self, picture: np.ndarray, min_score: float = 0.05) -> tuple[Mask, ...]:
        """The masks in a picture (H, W, C) uint8, highest score first; they may overlap."""
        return detect(self.network, to_tensor(picture, self.device), min_score)

    @torch.inference_mode()
    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """Labels (H, W) at the frame's resolution, scores, and the names of the instances' classes;
        each pixel is of the instance with the highest score. Raises InputError for a frame without
        colour."""
        picture, window = picture_of(frame, workspace, self.size, self.modality)
        found = self.network([to_tensor(picture, self.device).float() / 255])[0]
        scores = found['scores'].cpu().numpy().astype(np.float32)
        names = [self.classes[label - 1] for label in found['labels'].tolist()]
        wanted = [
            index
            for index, (name, score) in enumerate(zip(names, found['scores'].tolist()))
            if score >= self.min_score and (not self.kinds or name in self.kinds)
        ]
        labels, kept = _without_overlaps(found['masks'], wanted, window)
        # Answers come sorted by score, so names keep their order.
        out = to_instances(frame, window, labels, scores[kept])
        return Instances(out.labels, out.scores, tuple(names[index] for index in kept), out.poses)


def _without_overlaps(
    masks: Tensor, wanted: list[int], window: tuple[int, int, int, int]
) -> tuple[np.ndarray, list[int]]:
    """Of masks (N, 1, S, S) of a square picture, those that are wanted, highest score first: labels
    (H, W) uint16 of the window (left, top, right, bottom) px, and the indices of those that are
    kept. What a mask covers is its own; one that is half covered or more is another name for what
    was found before."""
    left, top, right, bottom = window
    side = max(right - left, bottom - top)
    labels, kept = np.zeros((bottom - top, right - left), np.uint16), list[int]()
    for index, probability in zip(wanted, masks[wanted, 0].cpu().numpy()):
        large = cv2.resize(probability, (side, side), interpolation=cv2.INTER_LINEAR)
        mask = large[: bottom - top, : right - left] > INSIDE
        free = (mask & (labels == 0)).astype(np.uint16)
        free = drop_fragments(free, SMALLEST_PIECE * labels.size) > 0
        if free.sum() > OWN_SHARE * mask.sum():
            kept.append(index)
            labels[free] = len(kept)
    return labels, kept
