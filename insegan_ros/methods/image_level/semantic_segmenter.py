"""Semantic segmentation on a camera's pictures: what is of each class, not which part of it is
whose."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from insegan_ros.data.image_sets import CHANNELS, picture_of
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import to_instances
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.semantic import SemanticNet, class_shares
from insegan_ros.nn.device import choose_device
from insegan_ros.workspace import Workspace

# Classes that cover less of the picture are not there.
SMALLEST_SHARE = 0.001


class SemanticSegmenter:
    """Every class that is seen is one instance with its name. `zooms`: sizes at which the picture
    is looked at, see class_shares."""

    needs_colour = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        workspace: Workspace | None = None,
        device: str = 'auto',
        zooms: tuple[float, ...] = (1.0,),
    ) -> None:
        config = checkpoint.config
        self.classes, self.size, self.look, self.zooms = (
            tuple(config['classes']),
            config['size'],
            config['look'],
            zooms,
        )
        self.part, self.scales, self.workspace, self.device = (
            checkpoint.part,
            checkpoint.scales,
            workspace,
            choose_device(device),
        )
        network = SemanticNet(
            'aspp',
            BackboneConfig(**config['backbone']),
            CHANNELS[self.look],
            len(self.classes),
            config['frozen_norm'],
        )
        self.network = checkpoint.restore('semantic', network).to(self.device)

    def segment(self, frame: Frame) -> Instances:
        """See Segmenter. Raises InputError for a frame without colour."""
        picture, window = picture_of(frame, self.workspace, self.size, self.look)
        left, top, right, bottom = window
        shares = (
            class_shares(
                self.network,
                torch.from_numpy(picture.transpose(2, 0, 1).copy()).to(self.device),
                self.zooms,
            )
            .cpu()
            .numpy()
        )
        side = max(right - left, bottom - top)
        fine = cv2.resize(shares.transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_LINEAR)[
            : bottom - top, : right - left
        ]
        best, labels, scores, kinds = fine.argmax(-1), np.zeros(fine.shape[:2], np.uint16), [], []
        for kind in range(1, fine.shape[-1]):
            own = best == kind
            if own.sum() >= SMALLEST_SHARE * own.size:
                scores.append(float(fine[..., kind][own].mean()))
                kinds.append(self.classes[kind - 1])
                labels[own] = len(scores)
        out = to_instances(frame, window, labels, np.array(scores, np.float32))
        return Instances(
            out.labels,
            out.scores,
            tuple(kinds[index] for index in np.argsort(-np.array(scores), kind='stable')),
            out.poses,
        )
