"""The HOC learner's dense network on whole pictures of any size, at the scale of the picture that
taught it."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.geometry.label_images import clean
from insegan_ros.heights import signed
from insegan_ros.nn.device import choose_device
from insegan_ros.offsets.network import DisplacementConfig, DisplacementNet
from insegan_ros.offsets.votes import find_centres
from insegan_ros.tasks.heap_segmenter import HeapSegmenter
from insegan_ros.workspace import Workspace

# What stands lower than this share of the relief is floor, where height is seen.
FLOOR = 0.02


class HocSegmenter(HeapSegmenter):
    """`zoom`: by how much the picture is enlarged before the network sees it, beside what the
    training's scale asks for: 2 where objects are half as wide as they were there. `centre_radius`
    and `min_votes` as of the DisplacementSegmenter. `snap`: how far outlines may move to the
    picture's edges, in radii of an object; the network sees it small and blurs them. The three were
    chosen with the labels of three simulated heaps of seed 77."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        workspace: Workspace | None = None,
        device: str = 'auto',
        zoom: float = 1.0,
        centre_radius: float = 0.9,
        min_votes: float = 0.07,
        snap: float = 0.3,
    ) -> None:
        checkpoint.require('displacement')
        super().__init__(checkpoint.config['look'], workspace, checkpoint.scales.height_m)
        self.part, self.scales, self.zoom = (
            checkpoint.part,
            checkpoint.scales,
            checkpoint.config['zoom'] * zoom,
        )
        self.centre_radius, self.min_votes, self.snap = centre_radius, min_votes, snap
        self.device = choose_device(device)
        self.network = checkpoint.restore(
            'displacement',
            DisplacementNet(DisplacementConfig(**checkpoint.config['displacement']['network'])),
        ).to(self.device)

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See HeapSegmenter."""
        small = cv2.resize(
            picture,
            None,
            fx=self.zoom,
            fy=self.zoom,
            interpolation=cv2.INTER_AREA if self.zoom < 1 else cv2.INTER_LINEAR,
        )
        field = self.infer(small.reshape(*small.shape[:2], -1))
        pixels = field[..., 0] > 0.5
        confidence = 1 / (1 + (field[pixels][:, -1] / (0.5 * self.scales.part_radius_px)) ** 2)
        centres = find_centres(
            field[pixels][:, 1:3],
            confidence.astype(np.float32),
            field.shape[:2],
            self.centre_radius * self.scales.part_radius_px,
            self.min_votes * self.scales.part_area_px,
        )
        labels = np.zeros(picture.shape[:2], np.uint16)
        if not len(centres):
            return labels, np.zeros(0, np.float32)
        # Votes are places and change little from pixel to pixel, so the field can be interpolated.
        fine = cv2.resize(field, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        above = (
            picture[..., -1] > signed(FLOOR)
            if self.look != 'colour'
            else np.ones(labels.shape, bool)
        )
        pixels = (fine[..., 0] > 0.5) & above
        labels[pixels] = cKDTree(centres).query(fine[pixels][:, 1:3], workers=-1)[1] + 1
        if self.snap:
            labels = snap_to_edges(
                picture, labels, self.snap * self.scales.part_radius_px / self.zoom
            )
            labels[~above] = 0
        labels = clean(labels, 0.08 * self.scales.part_area_px / self.zoom**2)
        count = int(labels.max(initial=0))
        area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        error = np.bincount(labels.ravel(), weights=fine[..., -1].ravel(), minlength=count + 1)[
            1:
        ] / np.maximum(area, 1)
        return labels, (1 / (1 + error / self.scales.part_radius_px)).astype(np.float32)

    @torch.inference_mode()
    def infer(self, picture: np.ndarray) -> np.ndarray:
        """The network's output (H, W, 4): foreground probability, x and y of the vote (px),
        expected error (px)."""
        rows, columns = picture.shape[:2]
        stride = self.network.stride
        padded = np.pad(picture, ((0, -rows % stride), (0, -columns % stride), (0, 0)), mode='edge')
        out = (
            self.network(
                torch.from_numpy(padded.transpose(2, 0, 1).astype(np.float32))[None].to(self.device)
            )[0]
            .cpu()
            .numpy()[:, :rows, :columns]
        )
        y, x = np.mgrid[:rows, :columns]
        return np.stack(
            [1 / (1 + np.exp(-out[0])), x + out[1], y + out[2], np.exp(np.clip(out[-1], -3, 5))], -1
        ).astype(np.float32)


def snap_to_edges(picture: np.ndarray, labels: np.ndarray, reach_px: float) -> np.ndarray:
    """Labels (H, W) whose outlines lie where picture (H, W, C) in [-1, 1] changes most, at most
    `reach_px` from where they were: watershed from what is surely an instance's, or surely
    nobody's. An instance too thin to have such a core keeps what it has."""
    flat = labels.astype(np.uint16)
    kernel = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * max(int(round(reach_px)), 1) + 1,) * 2
    )
    # An instance's core is where all around is its own.
    core = (cv2.erode(flat, kernel) == flat) & (cv2.dilate(flat, kernel) == flat)
    markers = np.where(core, flat.astype(np.int32) + 1, 0)
    kept = np.bincount(markers.ravel(), minlength=int(flat.max()) + 2) > 0
    thin = ~kept[flat.astype(np.int32) + 1]
    markers[thin] = flat[thin].astype(np.int32) + 1
    shown = picture if picture.shape[-1] == 3 else np.repeat(picture[..., -1:], 3, -1)
    seen = np.ascontiguousarray(((np.clip(shown, -1, 1) + 1) * 127.5).astype(np.uint8))
    flooded = cv2.watershed(seen, markers.copy())
    # Lines between two basins are nobody's there: they go to the neighbour that looks most alike.
    rows, columns = np.nonzero(flooded < 1)
    best, owner = np.full(len(rows), np.inf), flat[rows, columns].astype(np.int32) + 1
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = np.clip(rows + dy, 0, flat.shape[0] - 1), np.clip(columns + dx, 0, flat.shape[1] - 1)
        unlike = np.abs(seen[rows, columns].astype(int) - seen[y, x]).sum(1).astype(float)
        unlike[flooded[y, x] < 1] = np.inf
        owner, best = np.where(unlike < best, flooded[y, x], owner), np.minimum(best, unlike)
    flooded[rows, columns] = owner
    return (flooded - 1).astype(np.uint16)
