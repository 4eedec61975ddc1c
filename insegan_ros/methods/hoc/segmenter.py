"""The HOC learner's dense network on whole pictures of any size, at the scale of the picture that
it was trained on."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

from insegan_ros.engine.checkpoint import Checkpoint
from insegan_ros.geometry.label_images import clean
from insegan_ros.heights import signed
from insegan_ros.nn.device import choose_device
from insegan_ros.offsets.inference import VoteRule, agreed_centres, predict_field, scores_of
from insegan_ros.offsets.network import OffsetNet
from insegan_ros.offsets.segmenter import network_config, vote_rule
from insegan_ros.segmenters.heap import HeapSegmenter

# What stands no higher than this share of the relief is floor, where height is seen.
FLOOR = 0.02
# When votes are a centre, where the checkpoint does not say.
USUAL = VoteRule(centre_radius=0.9, min_votes=0.07)
# Fragments of an instance below this share of a whole object are dropped.
SMALLEST_SHARE = 0.08


class HocSegmenter(HeapSegmenter):
    """Divides pictures of heaps of any size.

    zoom: how much the picture is enlarged before the network sees it, beyond the training's own
    scale: 2 where objects are half as wide as they were there. rule: when votes are a centre,
    in place of the checkpoint's own. snap: how far outlines may move to the picture's edges, in
    radii of an object; the network sees the picture small and blurs them. Chosen with the labels of
    three simulated heaps of seed 77.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = 'auto',
        zoom: float = 1.0,
        rule: VoteRule | None = None,
        snap: float = 0.3,
    ) -> None:
        checkpoint.require('offsets')
        config = checkpoint.config
        super().__init__(
            config['modality'], checkpoint.scales.height_m, bool(config.get('flatten', False))
        )
        self.part = checkpoint.part
        self.scales = checkpoint.scales
        self.zoom = checkpoint.number('zoom', 0.01, 100) * zoom
        known = vote_rule(checkpoint) if 'votes' in checkpoint.config else USUAL
        self.rule, self.snap = rule or known, snap
        self.device = choose_device(device)
        shape = network_config(checkpoint)
        network = checkpoint.restore('offsets', lambda: OffsetNet(shape))
        self.network = network.to(self.device)

    def divide(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """picture (H, W, C) float32 in [-1, 1] -> labels (H, W) uint16, 0 = background, and scores
        (N,) float32."""
        labels = np.zeros(picture.shape[:2], np.uint16)
        if self.zoom * min(labels.shape) <= 0.5:
            # Nothing is left of a strip so thin, at the network's scale.
            return labels, np.zeros(0, np.float32)
        interpolation = cv2.INTER_AREA if self.zoom < 1 else cv2.INTER_LINEAR
        small = cv2.resize(picture, None, fx=self.zoom, fy=self.zoom, interpolation=interpolation)
        field = predict_field(self.network, small.reshape(*small.shape[:2], -1))
        pixels = field[..., 0] > 0.5
        votes, errors = field[pixels][:, 1:3], field[pixels][:, -1]
        centres = agreed_centres(votes, errors, field.shape[:2], self.scales, self.rule)
        if not len(centres):
            return labels, np.zeros(0, np.float32)
        # Votes are positions and change little from pixel to pixel, so the field can be
        # interpolated.
        fine = cv2.resize(field, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        above = np.ones(labels.shape, bool)
        if self.modality != 'colour':
            above = picture[..., -1] > signed(FLOOR)
        pixels = (fine[..., 0] > 0.5) & above
        labels[pixels] = cKDTree(centres).query(fine[pixels][:, 1:3], workers=-1)[1] + 1
        if self.snap:
            reach_px = self.snap * self.scales.part_radius_px / self.zoom
            labels = snap_to_edges(picture, labels, reach_px)
            labels[~above] = 0
        labels = clean(labels, SMALLEST_SHARE * self.scales.part_area_px / self.zoom**2)
        return labels, scores_of(labels, fine[..., -1], self.scales.part_radius_px)


def snap_to_edges(picture: np.ndarray, labels: np.ndarray, reach_px: float) -> np.ndarray:
    """Labels (H, W) uint16 whose outlines are moved to the strongest edges of the picture (H, W, C)
    in [-1, 1] within reach_px: a watershed from the cores of instances and of the background, which
    are farther than that from any outline. An instance too thin to have a core stays as it is."""
    flat = labels.astype(np.uint16)
    side = 2 * max(int(round(reach_px)), 1) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    core = (cv2.erode(flat, kernel) == flat) & (cv2.dilate(flat, kernel) == flat)
    markers = np.where(core, flat.astype(np.int32) + 1, 0)
    kept = np.bincount(markers.ravel(), minlength=int(flat.max()) + 2) > 0
    thin = ~kept[flat.astype(np.int32) + 1]
    markers[thin] = flat[thin].astype(np.int32) + 1
    shown = picture if picture.shape[-1] == 3 else np.repeat(picture[..., -1:], 3, -1)
    seen = np.ascontiguousarray(((np.clip(shown, -1, 1) + 1) * 127.5).astype(np.uint8))
    flooded = cv2.watershed(seen, markers.copy())
    # OpenCV leaves the lines between two basins out: they go to the neighbour of the most similar
    # colour.
    rows, columns = np.nonzero(flooded < 1)
    best, owner = np.full(len(rows), np.inf), flat[rows, columns].astype(np.int32) + 1
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y = np.clip(rows + dy, 0, flat.shape[0] - 1)
        x = np.clip(columns + dx, 0, flat.shape[1] - 1)
        unlike = np.abs(seen[rows, columns].astype(int) - seen[y, x]).sum(1).astype(float)
        unlike[flooded[y, x] < 1] = np.inf
        owner, best = np.where(unlike < best, flooded[y, x], owner), np.minimum(best, unlike)
    flooded[rows, columns] = owner
    return (flooded - 1).astype(np.uint16)
