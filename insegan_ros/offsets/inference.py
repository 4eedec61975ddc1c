"""From the dense network's output to instances: the one way that segmenters take, and training
where it labels its own data."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from insegan_ros.engine.checkpoint import Scales
from insegan_ros.geometry.label_images import clean
from insegan_ros.heights import height_shares, signed
from insegan_ros.offsets.network import OffsetNet
from insegan_ros.offsets.runtimes import DenseNetwork, choose_runtime
from insegan_ros.offsets.votes import assign, covering_centres, find_centres

# Parts on one another differ less in height than parts side by side in place.
HEIGHT_STRETCH = 1.5
# The depth says what stands above the floor, to the pixel; the network, at its own coarser pixels,
# only what is no part at all.
SURELY_NO_PART = 0.05
# Fragments of an instance below this share of a whole part are dropped.
SMALLEST_SHARE = 0.03


@dataclass(frozen=True)
class VoteRule:
    """When votes are a centre. The defaults were chosen on validation bins of seed 77."""

    centre_radius: float = 0.9
    """Votes within this share of the part's radius of gyration are one centre."""
    min_votes: float = 0.04
    """Votes that make an instance, as a share of one whole part's area."""
    min_height: float = 0.05
    """What stands higher is foreground, as a share of the training's height scale."""
    min_height_m: float = 0.0
    """The same in m: what stands no higher is floor. In deep bins the scale is that of the pile, of
    which a flat part is a small share."""
    min_foreground: float = SURELY_NO_PART
    """The network's probability of foreground below which a pixel belongs to no instance, whatever
    its height."""
    cover: bool = False
    """Whether centres are the fewest that explain the votes, each by its expected error, instead of
    the peaks of votes: for parts that lie nearer to one another than votes scatter. min_votes is
    then what a centre must save, in votes times errors off."""


@torch.inference_mode()
def predict_field(
    network: DenseNetwork, image: np.ndarray, edge: float | None = None
) -> np.ndarray:
    """The network's answer for a picture (H, W, C) in [-1, 1], (H, W, K) float32: foreground
    probability, x and y of the vote in px, with height votes its height above the surface in px,
    and the expected error in px.

    Sides are filled up to the network's stride with `edge`, or by repeating the picture's rim.
    """
    rows, columns = image.shape[:2]
    stride = network.stride
    rest = ((0, -rows % stride), (0, -columns % stride), (0, 0))
    filling = {'mode': 'edge'} if edge is None else {'constant_values': edge}
    padded = np.pad(image, rest, **filling).transpose(2, 0, 1).astype(np.float32)
    picture = torch.from_numpy(np.ascontiguousarray(padded))[None].to(network.device)
    out = network(picture)[0].cpu().numpy()
    out = out[:, :rows, :columns]
    y, x = np.mgrid[:rows, :columns]
    foreground, error = 1 / (1 + np.exp(-out[0])), np.exp(np.clip(out[-1], -3, 5))
    field = [foreground, x + out[1], y + out[2], *out[3:-1], error]
    return np.stack(field, -1).astype(np.float32)


def agreed_centres(
    votes: np.ndarray, error_px: np.ndarray, shape: tuple[int, int], scales: Scales, rule: VoteRule
) -> np.ndarray:
    """Centres (K, 2 or 3) that votes (M, 2 or 3) in px agree on, those counting more that expect a
    smaller error (M,)."""
    radius_px, least = rule.centre_radius * scales.part_radius_px, rule.min_votes
    if rule.cover:
        return covering_centres(votes, error_px, radius_px, least * scales.part_area_px)
    confidence = 1 / (1 + (error_px / (0.5 * scales.part_radius_px)) ** 2)
    return find_centres(
        votes, confidence.astype(np.float32), shape, radius_px, least * scales.part_area_px
    )


def scores_of(labels: np.ndarray, error_px: np.ndarray, radius_px: float) -> np.ndarray:
    """How sure the votes of every instance of labels (H, W) are, (N,): 1 for an expected error
    (H, W) of none, falling with the part's radius."""
    count = int(labels.max(initial=0))
    pixels = np.flatnonzero(labels)
    own, errors = labels.ravel()[pixels].astype(np.intp), error_px.reshape(-1)[pixels]
    area = np.bincount(own, minlength=count + 1)[1:]
    total = np.bincount(own, weights=errors, minlength=count + 1)[1:]
    return (1 / (1 + total / np.maximum(area, 1) / radius_px)).astype(np.float32)


class HeightInference:
    """The dense network on height maps in metres, at the training's metres per pixel.

    network: in evaluation mode, on its device; scales: the training's; runtime: what runs it, see
    choose_runtime.
    """

    def __init__(
        self,
        network: OffsetNet,
        scales: Scales,
        rule: VoteRule | None = None,
        runtime: str = 'torch',
    ) -> None:
        self.network, self.scales = choose_runtime(runtime, network), scales
        self.rule = rule or VoteRule()
        self.min_height_m = max(self.rule.min_height * scales.height_m, self.rule.min_height_m)
        height_votes = network.config.height_votes
        self.relief_px = scales.height_m / scales.pixel_m if height_votes else 0.0

    def field(self, height_m: np.ndarray) -> np.ndarray:
        """The network's answer for a height map (H, W): see predict_field."""
        image = signed(height_shares(height_m, self.scales.height_m))
        return predict_field(self.network, image[..., None], edge=-1.0)

    def divide(self, height_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels (H, W) uint16 and the instances' centres (K, 2) as (x, y) px, nothing filtered:
        label i has centre i - 1."""
        field, foreground = self.field(height_m), height_m > self.min_height_m
        found = self._centres(field, height_m)
        labels = np.zeros(height_m.shape, np.uint16)
        pixels = foreground & (field[..., 0] > 0.5)
        if len(found):
            votes = self._votes(field[pixels].T[1:-1], height_m[pixels])
            labels[pixels] = assign(votes.T, found) + 1
        return labels, found[:, :2]

    def instances(self, field: np.ndarray, height_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels (H, W) at the height map's own resolution, which may be higher than the field's,
        and a score for each instance."""
        shape, found = field.shape[:2], self._centres(field, height_m)
        if not len(found):
            return np.zeros(height_m.shape, np.uint16), np.zeros(0, np.float32)
        # Votes are positions in working pixels and heights change little, so the field can be
        # interpolated; the depth's own edges stay.
        fine = cv2.resize(field, height_m.shape[::-1], interpolation=cv2.INTER_LINEAR)
        foreground, *offsets, error_px = cv2.split(fine)
        pixels = np.flatnonzero(
            (height_m > self.min_height_m) & (foreground > self.rule.min_foreground)
        )
        asked = np.stack([plane.ravel()[pixels] for plane in offsets])
        labels = np.zeros(height_m.shape, np.uint16)
        labels.ravel()[pixels] = assign(self._votes(asked, height_m.ravel()[pixels]).T, found) + 1
        zoom = height_m.size / (shape[0] * shape[1])
        labels = clean(labels, SMALLEST_SHARE * self.scales.part_area_px * zoom)
        return labels, scores_of(labels, error_px, self.scales.part_radius_px)

    def _votes(self, offsets: np.ndarray, height_m: np.ndarray) -> np.ndarray:
        """Where pixels vote, (2 or 3, M) in working px, heights stretched: by what the field says
        of them, (2 or 3, M), and their heights (M,)."""
        votes = offsets.copy()
        if self.relief_px:
            own = height_shares(height_m, self.scales.height_m) * self.relief_px
            votes[2] = HEIGHT_STRETCH * (own + votes[2])
        return votes

    def _centres(self, field: np.ndarray, height_m: np.ndarray) -> np.ndarray:
        """Centres (K, 2 or 3) in the field's px; the height map may be of a higher resolution."""
        shape = field.shape[:2]
        above = (height_m > self.min_height_m).astype(np.float32)
        share = cv2.resize(above, shape[::-1], interpolation=cv2.INTER_AREA)
        voting = (field[..., 0] > 0.5) & (share > 0.3)
        coarse = height_m
        if height_m.shape != shape:
            coarse = cv2.resize(height_m, shape[::-1], interpolation=cv2.INTER_AREA)
        asked = field[voting]
        votes = np.ascontiguousarray(self._votes(asked.T[1:-1], coarse[voting]).T)
        return agreed_centres(votes, asked[:, -1], shape, self.scales, self.rule)
