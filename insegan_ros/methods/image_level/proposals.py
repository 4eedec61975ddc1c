"""Object proposals by grouping regions of similar colour and depth, in place of the papers'
multiscale combinatorial grouping: no training, no labels.

A fine over-segmentation is merged, the most similar neighbours first; every region on the way is a
proposal, and so are pairs of neighbours of every level.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.segmentation import felzenszwalb
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.mask_rcnn import filled_up
from insegan_ros.methods.image_level.run import read_arrays


@dataclass(frozen=True)
class ProposalsConfig:
    """How regions are grouped."""

    scale: float = 30.0
    """Felzenszwalb's scale of the over-segmentation: larger makes larger regions."""
    regions: int = 80
    """Regions of the over-segmentation that are looked at, the largest ones."""
    min_area: float = 0.003
    """Share of the picture below which a region is no proposal."""
    max_area: float = 0.5
    """Share above which it is none."""
    count: int = 200
    """Proposals of a picture, those with the strongest outline."""
    network: str = ''
    """A checkpoint of Mask R-CNN whose region proposal network proposes instead; its boxes were
    learnt from other labels than image-level ones."""

    def __post_init__(self) -> None:
        in_range = 0 < self.min_area < self.max_area <= 1
        if self.scale <= 0 or self.regions < 2 or not in_range or self.count < 1:
            raise ConfigError(
                'proposals: expected a positive scale, 2 regions or more,'
                f' 0 < min_area < max_area <= 1, a count of 1 or more, found {self}'
            )


@dataclass(frozen=True)
class Proposals:
    """boxes (P, 4) float32 as x1, y1, x2, y2 px, masks (P, H, W) bool, objectness (P,) in [0, 1],
    highest first."""

    boxes: np.ndarray
    masks: np.ndarray
    objectness: np.ndarray

    def pack(self) -> bytes:
        """As a file's bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            boxes=self.boxes,
            masks=np.packbits(self.masks, axis=-1),
            width=self.masks.shape[-1],
            objectness=self.objectness,
        )
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> Proposals | None:
        """What `pack` made, or None for a picture in which nothing was found. Raises
        DatasetError."""
        if path.is_file() and not path.stat().st_size:
            return None
        boxes, masks, width, objectness = read_arrays(path, 'boxes', 'masks', 'width', 'objectness')
        return cls(boxes, np.unpackbits(masks, axis=-1, count=int(width)).astype(bool), objectness)


def propose(picture: np.ndarray, config: ProposalsConfig) -> Proposals | None:
    """Proposals of a picture (H, W, 3 or 4) uint8; None where nothing stands out."""
    lab = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2LAB)
    layers = np.concatenate([lab, picture[..., 3:]], -1).astype(np.float32)
    fine = _over_segment(layers, config)
    groups = _merge(fine, layers)
    masks, boxes, seen = [], [], set()
    for group in groups:
        inside = np.isin(fine, group)
        share = inside.mean()
        if not config.min_area <= share <= config.max_area:
            continue
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        key = (*(round(edge / 4) for edge in box), round(share * 200))
        if key not in seen:
            seen.add(key)
            masks.append(inside)
            boxes.append(box)
    if not masks:
        return None
    edges = _edges(layers)
    objectness = np.array([_outline(mask, edges) for mask in masks], np.float32)
    order = np.argsort(-objectness, kind='stable')[: config.count]
    return Proposals(np.array(boxes, np.float32)[order], np.stack(masks)[order], objectness[order])


def _over_segment(layers: np.ndarray, config: ProposalsConfig) -> np.ndarray:
    """Labels (H, W) of the largest small regions of layers (H, W, C), from 1; 0 for the rest."""
    height, width = layers.shape[:2]
    with warnings.catch_warnings():
        # It asks whether four channels are meant. They are: colour and height.
        warnings.simplefilter('ignore', RuntimeWarning)
        labels = felzenszwalb(
            layers / 255,
            scale=config.scale,
            sigma=0.8,
            min_size=max(int(config.min_area * height * width / 4), 8),
            channel_axis=-1,
        )
    return _largest(labels, config.regions)


@torch.inference_mode()
def propose_by_network(
    network: MaskRCNN, picture: Tensor, config: ProposalsConfig
) -> Proposals | None:
    """Proposals of a picture (C, H, W) uint8 by a region proposal network: the boxes that it takes
    for objects of any class, whose masks are all that is in them. It tells their order alone, so
    objectness falls evenly from 1. None where it proposes nothing."""
    height, width = picture.shape[1:]
    images, _ = network.transform([filled_up(picture, network)])
    boxes, _ = network.rpn(images, network.backbone(images.tensors))
    corners = boxes[0].round().cpu().numpy().clip(0, (width, height, width, height))
    share = (corners[:, 2:] - corners[:, :2]).prod(1) / (height * width)
    corners = corners[(share >= config.min_area) & (share <= config.max_area)][: config.count]
    if not len(corners):
        return None
    x, y = np.arange(width), np.arange(height)
    rows = (y >= corners[:, 1:2]) & (y < corners[:, 3:])
    columns = (x >= corners[:, :1]) & (x < corners[:, 2:3])
    objectness = np.linspace(1, 0, len(corners), dtype=np.float32)
    return Proposals(corners.astype(np.float32), rows[:, :, None] & columns[:, None], objectness)


def _largest(labels: np.ndarray, count: int) -> np.ndarray:
    """The `count` largest labels, numbered from 1; the others are 0."""
    sizes = np.bincount(labels.ravel())
    lookup = np.zeros(len(sizes), int)
    lookup[np.argsort(-sizes, kind='stable')[:count]] = np.arange(1, min(count, len(sizes)) + 1)
    return lookup[labels]


def _merge(labels: np.ndarray, layers: np.ndarray) -> list[list[int]]:
    """Groups of regions: every region, every merger of the two most similar neighbours until all
    are one, and every pair of neighbours on the way."""
    sizes, means = _sizes_and_means(labels, layers)
    touching = _neighbours(labels, sizes)
    members = {number: [number] for number in touching}
    out = [list(group) for group in members.values()]
    distance = {
        (a, b): float(np.linalg.norm(means[a] - means[b]))
        for a in touching
        for b in touching[a]
        if a < b
    }
    out += [members[a] + members[b] for a, b in distance]
    fresh = int(labels.max()) + 1
    while distance:
        a, b = min(distance, key=distance.__getitem__)
        members[fresh], sizes[fresh] = members[a] + members[b], sizes[a] + sizes[b]
        means[fresh] = (means[a] * sizes[a] + means[b] * sizes[b]) / sizes[fresh]
        neighbours = (touching.pop(a) | touching.pop(b)) - {a, b}
        distance = {
            pair: value for pair, value in distance.items() if a not in pair and b not in pair
        }
        touching[fresh] = neighbours
        out.append(members[fresh])
        for other in neighbours:
            touching[other] -= {a, b}
            touching[other].add(fresh)
            distance[other, fresh] = float(np.linalg.norm(means[other] - means[fresh]))
            out.append(members[other] + members[fresh])
        fresh += 1
    return out


def _sizes_and_means(
    labels: np.ndarray, layers: np.ndarray
) -> tuple[dict[int, float], dict[int, np.ndarray]]:
    """Of every region its pixels, and its mean (C,) of layers (H, W, C)."""
    count = int(labels.max()) + 1
    size = np.bincount(labels.ravel(), minlength=count).astype(float)
    channels = [layers[..., channel].ravel() for channel in range(layers.shape[-1])]
    total = np.stack([np.bincount(labels.ravel(), one, count) for one in channels], 1)
    mean = total / np.maximum(size, 1)[:, None]
    there = [number for number in range(1, count) if size[number]]
    return {number: size[number] for number in there}, {number: mean[number] for number in there}


def _neighbours(labels: np.ndarray, regions: Iterable[int]) -> dict[int, set[int]]:
    """Of every region those that touch it."""
    touching: dict[int, set[int]] = {number: set() for number in regions}
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        for a, b in np.unique(np.stack([one[one != other], other[one != other]], 1), axis=0):
            if a and b:
                touching[int(a)].add(int(b))
                touching[int(b)].add(int(a))
    return touching


def _edges(layers: np.ndarray) -> np.ndarray:
    """How strong the picture's edges are (H, W) in [0, 1], 1 for its strongest."""
    smooth = cv2.GaussianBlur(layers, (0, 0), 1.0)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down).reshape(*layers.shape[:2], -1).max(-1)
    return np.minimum(strength / max(float(np.percentile(strength, 98)), 1e-6), 1)


def _outline(mask: np.ndarray, edges: np.ndarray) -> float:
    """Mean strength of the edges along a mask's outline. The picture's rim is no edge: what runs
    out of it is cut, not outlined."""
    small = mask.astype(np.uint8)
    line = cv2.dilate(small, np.ones((3, 3), np.uint8)) != small
    rim = small[0].sum() + small[-1].sum() + small[:, 0].sum() + small[:, -1].sum()
    return float(edges[line].sum() / max(line.sum() + rim, 1))


def overlaps(boxes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """IoU (P, Q) of boxes (P, 4) and (Q, 4)."""
    low = np.maximum(boxes[:, None, :2], other[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], other[None, :, 2:])
    both = (high - low).clip(min=0).prod(2)
    area, areas = ((some[:, 2:] - some[:, :2]).prod(1) for some in (boxes, other))
    return both / np.maximum(area[:, None] + areas[None] - both, 1e-9)
