"""Semantic segmentation on our backbones: DeepLab v2's atrous pyramid (IRNet's semantic variant),
and pyramid pooling (CCGR's semantic branch), and what runs it on a camera's pictures: the class of
every pixel, not which instance it belongs to. semantic_stage.py trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from insegan_ros.data.image_sets import CHANNELS, picture_of
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.methods.image_level.backbone import (
    Backbone,
    BackboneConfig,
    as_fine,
    normalise,
    resample,
    steps_and_firsts,
    to_tensor,
)
from insegan_ros.nn.device import choose_device
from insegan_ros.segmenters.classes import PixelClassifier
from insegan_ros.workspace import Workspace

Head = Literal['aspp', 'pyramid']
# DeepLab v2's rates at 1/8 of a picture, here at 1/16.
RATES = (3, 6, 9, 12)
BINS = (1, 2, 3, 6)
# Sizes at which DeepLab v2 looks at a picture that is evaluated.
SCALES = (0.5, 1.0, 1.5, 2.0)
# Classes that cover less of the picture are not there.
SMALLEST_SHARE = 0.001


class SemanticNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> logits (B, K + 1, H / 4, W / 4), the first of background.

    aspp: the sum of four dilated convolutions (Chen et al., TPAMI 2017). pyramid: features pooled
    to 1, 2, 3 and 6 cells a side beside themselves (Zhao et al., CVPR 2017).
    """

    def __init__(
        self,
        head: Head,
        backbone: BackboneConfig,
        channels: int,
        classes: int,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, channels, frozen_norm=frozen_norm)
        width, fine = self.backbone.widths[-1], self.backbone.widths[1]
        self.head = (
            AtrousPyramid(width, classes + 1)
            if head == 'aspp'
            else PyramidPooling(width, classes + 1)
        )
        # What the deep level is too coarse to outline.
        self.fine = nn.Sequential(
            nn.Conv2d(fine, 32, 3, padding=1, bias=False),
            nn.GroupNorm(4, 32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, classes + 1, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (B, K + 1, H / 4, W / 4)."""
        levels = self.backbone(normalise(pictures))
        fine, deep = self.fine(levels[1]), self.head(levels[-1])
        return as_fine(deep, fine.shape[2:]) + fine


class AtrousPyramid(nn.Module):
    """Features (B, D, h, w) -> (B, K, h, w), the sum of convolutions of several rates."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width, classes, 3, padding=rate, dilation=rate) for rate in RATES
        )

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K, h, w)."""
        return sum(layer(features) for layer in self.layers)


class PyramidPooling(nn.Module):
    """Features (B, D, h, w) -> (B, K, h, w), of themselves and of their means over 1, 2, 3 and 6
    cells a side."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(width, width // len(BINS), 1) for _ in BINS)
        self.out = nn.Conv2d(width + width // len(BINS) * len(BINS), classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K, h, w)."""
        size = features.shape[2:]
        pooled = [level(adaptive_avg_pool2d(features, n)) for level, n in zip(self.levels, BINS)]
        large = [interpolate(one, size, mode='bilinear', align_corners=False) for one in pooled]
        return self.out(torch.cat([features, *large], 1))


@torch.no_grad()
def class_probabilities(
    network: SemanticNet, picture: Tensor, scales: Sequence[float] = SCALES
) -> Tensor:
    """Probabilities (K + 1, H, W), the first of background, of one uint8 picture (C, H, W),
    averaged over scales and mirror images, as DeepLab v2 is evaluated."""
    size = picture.shape[1:]
    total = torch.zeros((), device=picture.device)
    for scale in scales:
        at = [max(round(edge * scale / 16), 2) * 16 for edge in size]
        sized = interpolate(
            picture[None].float(), at, mode='bilinear', align_corners=False, antialias=scale < 1
        )
        step, first = steps_and_firsts(at, size, 1, 4)
        for view in (sized, sized.flip(-1)):
            found = resample(network(view).softmax(1), size, step, first)[0]
            total = total + (found if view is sized else found.flip(-1))
    return total / (2 * len(scales))


class SemanticSegmenter(PixelClassifier):
    """DeepLab on a camera's pictures: every class that is seen is one instance with its name.
    zooms: sizes at which the picture is looked at, see class_probabilities."""

    def __init__(
        self, checkpoint: Checkpoint, device: str = 'auto', zooms: tuple[float, ...] = (1.0,)
    ) -> None:
        config = checkpoint.config
        self.classes, self.zooms = checkpoint.names('classes'), zooms
        self.size = int(checkpoint.number('size', 16, 4096))
        self.part, self.scales, self.modality = (
            checkpoint.part,
            checkpoint.scales,
            config['modality'],
        )
        self.device = choose_device(device)
        backbone = checkpoint.settings(BackboneConfig, 'backbone')
        channels, count, frozen = CHANNELS[self.modality], len(self.classes), config['frozen_norm']
        network = checkpoint.restore(
            'semantic', lambda: SemanticNet('aspp', backbone, channels, count, frozen)
        )
        self.network = network.to(self.device)

    def probabilities(self, picture: np.ndarray) -> Tensor:
        """Probabilities (K + 1, H, W) of a picture (H, W, C) uint8, the first of background."""
        return class_probabilities(self.network, to_tensor(picture, self.device), self.zooms)

    def label(self, picture: np.ndarray) -> np.ndarray:
        """The class of every pixel (H, W) of a picture (H, W, C) uint8: 0 background, class + 1."""
        return self.probabilities(picture).argmax(0).cpu().numpy()

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """Labels (H, W) at the frame's resolution, one a class, mean probabilities as scores, and
        the names of the classes. Raises InputError for a frame without colour."""
        picture, window = picture_of(frame, workspace, self.size, self.modality)
        left, top, right, bottom = window
        side = max(right - left, bottom - top)
        coarse = self.probabilities(picture).cpu().numpy().transpose(1, 2, 0)
        fine = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
        fine = fine[: bottom - top, : right - left]
        best, labels = fine.argmax(-1), np.zeros(fine.shape[:2], np.uint16)
        scores, names = list[float](), list[str]()
        for number, name in enumerate(self.classes, 1):
            own = best == number
            if own.sum() >= SMALLEST_SHARE * own.size:
                scores.append(float(fine[..., number][own].mean()))
                names.append(name)
                labels[own] = len(scores)
        out = to_instances(frame, window, labels, np.array(scores, np.float32))
        order = np.argsort(-np.array(scores), kind='stable')
        return Instances(out.labels, out.scores, tuple(names[index] for index in order), out.poses)
