"""What all methods share that divide one square picture of the whole bin, as large as those they
were trained on."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.errors import InputError, InseganWarning
from insegan_ros.frame import Frame, Instances
from insegan_ros.geometry.label_images import clean, nearest_resize, to_instances
from insegan_ros.geometry.principal_axes import camera_from_picture
from insegan_ros.heights import IMAGE_SIZE, pixel_size_m, resize_height, signed
from insegan_ros.nn.device import choose_device
from insegan_ros.segmenters.base import Segmenter
from insegan_ros.workspace import TRAINING_MARGIN, Workspace, resolve_workspace

# Parts beside one another cover more than parts that lie on others, so that so many times the usual
# area may be the usual number.
MANY = 1.25


class Division(NamedTuple):
    """What a network says of a square picture: the number of the instance that owns every pixel,
    (64, 64) integers; and where it knows them the instances' amodal masks (n, 64, 64) bool, and how
    each is turned, (n, 3, 3) by the picture's axes: x to the right, y down, z up."""

    owner: Tensor
    amodal: Tensor | None = None
    rotations: Tensor | None = None


class SquareSegmenter(Segmenter):
    """The number of parts is the training's, the bin must fill the view as in training.

    The foreground comes from the input's height; the network only divides it.
    """

    # Parts that the network can tell apart; 0 where it does not say.
    slots = 0

    def __init__(
        self, checkpoint: Checkpoint, device: str = 'auto', min_height: float = 0.08
    ) -> None:
        self.part, self.scales = checkpoint.part, checkpoint.require_scales()
        self.min_height_m = min_height * checkpoint.scales.height_m
        self.device = choose_device(device)

    def segment(self, frame: Frame, workspace: Workspace | None = None) -> Instances:
        """The instances in a frame; amodal masks and decoded poses where the network tells them.
        Raises InputError where the bin is larger than what the network was trained on."""
        workspace = resolve_workspace(workspace, frame)
        window = workspace.window(frame.intrinsics, TRAINING_MARGIN)
        height = workspace.height_map(frame, window=window)
        scale = pixel_size_m(workspace, frame.intrinsics) / self.scales.pixel_m
        if round(scale * max(height.shape)) > IMAGE_SIZE + 2:
            side = IMAGE_SIZE * self.scales.pixel_m
            rows_m, columns_m = (pixels * scale * self.scales.pixel_m for pixels in height.shape)
            raise InputError(
                f"the bin's window is {columns_m:.2f} x {rows_m:.2f} m: this network was trained on"
                f" {side:.2f} x {side:.2f} m; set the workspace's bounds or use the dense segmenter"
            )
        # A bin that is a little larger is seen a little smaller, whole.
        small = resize_height(height, min(scale, IMAGE_SIZE / max(height.shape)))
        rows, columns = small.shape
        image = np.full((IMAGE_SIZE, IMAGE_SIZE), -1, np.float32)
        image[:rows, :columns] = signed(np.clip(small / self.scales.height_m, 0, 1))
        self._count(float((image > signed(self.min_height_m / self.scales.height_m)).sum()))
        division = self.divide(torch.from_numpy(image)[None, None].to(self.device))
        slots = nearest_resize(division.owner.cpu().numpy()[:rows, :columns], height.shape)
        labels = clean(
            np.where(height > self.min_height_m, slots + 1, 0),
            self.smallest_px() * height.size / (rows * columns),
        )
        found = to_instances(
            frame, window, labels, np.full(int(labels.max(initial=0)), 0.5, np.float32)
        )
        left, top, right, bottom = window
        own = [found.labels[top:bottom, left:right] == index + 1 for index in range(len(found))]
        slot_of = [int(np.bincount(slots[mask]).argmax()) for mask in own]
        if division.rotations is not None and slot_of:
            poses = found.require_poses().copy()
            poses[:, :3, :3] = camera_from_picture(
                division.rotations.cpu().numpy()[slot_of], workspace.floor[:3]
            )
            found = replace(found, poses=poses)
        if division.amodal is not None:
            whole = np.zeros((len(found), *frame.depth_m.shape), bool)
            for index, (mask, slot) in enumerate(zip(own, slot_of)):
                # What is seen of an instance is part of it, whatever was rendered.
                whole[index, top:bottom, left:right] = (
                    nearest_resize(
                        division.amodal[slot].cpu().numpy()[:rows, :columns], height.shape
                    )
                    | mask
                )
            found = replace(found, amodal=whole)
        return found

    def _count(self, covered_px: float) -> None:
        """Say so where the picture must hold more parts than the network can tell apart."""
        if (
            self.slots
            and self.scales.part_area_px
            and covered_px > MANY * self.slots * self.scales.part_area_px
        ):
            warnings.warn(
                'what stands in the bin covers as much as'
                f' {covered_px / self.scales.part_area_px:.0f} parts, but this network tells only'
                f' {self.slots} apart: expected no more; take a dense network, or train with more',
                InseganWarning,
                stacklevel=3,
            )

    def smallest_px(self) -> float:
        """Pieces below this area in the network's px are dropped."""
        return 0.05 * self.scales.part_area_px

    @abstractmethod
    def divide(self, image: Tensor) -> Division:
        """What the network says of image (1, 1, 64, 64) in [-1, 1]."""
