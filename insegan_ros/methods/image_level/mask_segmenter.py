"""Mask R-CNN on a camera's pictures: instances with the names of their classes."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from insegan_ros.data.image_sets import CHANNELS, picture_of
from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import drop_fragments, to_instances
from insegan_ros.methods.image_level.backbone import BackboneConfig
from insegan_ros.methods.image_level.mask_rcnn import MaskRcnnConfig, make_mask_rcnn
from insegan_ros.nn.device import choose_device
from insegan_ros.workspace import Workspace

# Smaller pieces of a mask, in shares of the picture's area, are dropped.
SMALLEST_PIECE = 0.0005


class MaskSegmenter:
    """`min_score`: what is less sure is no instance; .3 to .7 do alike in simulated bins of seed
    77, from fewer missed to fewer false. `kinds`: names of classes to keep, all if empty, such as
    what is known to be in the tote. With a workspace the bin's inside is looked at, without one the
    whole picture."""

    needs_colour = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        workspace: Workspace | None = None,
        device: str = 'auto',
        min_score: float = 0.4,
        kinds: tuple[str, ...] = (),
    ) -> None:
        config = checkpoint.config
        self.classes, self.size, self.look = (
            tuple(config['classes']),
            config['size'],
            config['look'],
        )
        self.part, self.scales, self.workspace, self.min_score, self.kinds = (
            checkpoint.part,
            checkpoint.scales,
            workspace,
            min_score,
            kinds,
        )
        self.device = choose_device(device)
        network = make_mask_rcnn(
            MaskRcnnConfig(**config['mask_rcnn']['network']),
            BackboneConfig(**config['backbone']),
            CHANNELS[self.look],
            len(self.classes),
            self.size,
            config['frozen_norm'],
        )
        self.network = checkpoint.restore('mask_rcnn', network).to(self.device)

    @torch.inference_mode()
    def segment(self, frame: Frame) -> Instances:
        """See Segmenter. Raises InputError for a frame without colour."""
        picture, window = picture_of(frame, self.workspace, self.size, self.look)
        left, top, right, bottom = window
        side = max(right - left, bottom - top)
        found = self.network(
            [torch.from_numpy(picture.transpose(2, 0, 1).copy()).to(self.device).float() / 255]
        )[0]
        keep = [
            index
            for index, (kind, score) in enumerate(
                zip(found['labels'].tolist(), found['scores'].tolist())
            )
            if score >= self.min_score and (not self.kinds or self.classes[kind - 1] in self.kinds)
        ]
        shares = found['masks'][keep, 0].cpu().numpy()
        labels, kept = np.zeros((bottom - top, right - left), np.uint16), []
        # The surest first: what it covers is its own, and what is covered by half or more is
        # another name for what was found before.
        for index, share in zip(keep, shares):
            mask = (
                cv2.resize(share, (side, side), interpolation=cv2.INTER_LINEAR)[
                    : bottom - top, : right - left
                ]
                > 0.5
            )
            free = (
                drop_fragments(
                    (mask & (labels == 0)).astype(np.uint16), SMALLEST_PIECE * labels.size
                )
                > 0
            )
            if free.sum() > 0.5 * mask.sum():
                kept.append(index)
                labels[free] = len(kept)
        scores = found['scores'].cpu().numpy()[kept].astype(np.float32)
        kinds = [self.classes[found['labels'][index] - 1] for index in kept]
        # Answers come sorted by score, so names keep their order.
        out = to_instances(frame, window, labels, scores)
        return Instances(out.labels, out.scores, tuple(kinds), out.poses)
