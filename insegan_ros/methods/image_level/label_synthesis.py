"""From attention maps, boundaries and displacements to pseudo-masks (IRNet, section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.ndimage import label as components

from insegan_ros.data.mask_sets import Mask
from insegan_ros.errors import ConfigError
from insegan_ros.geometry.label_images import drop_fragments
from insegan_ros.methods.image_level.dense_crf import Edges
from insegan_ros.methods.image_level.relations import refine_displacement, transition_matrix, walk


@dataclass(frozen=True)
class SynthesisConfig:
    """How labels are made of what IRNet answers; every ablation of the paper's Table 1 is a
    switch."""

    boundaries: bool = True
    """Attention walks to all that no boundary separates from it (Eqs. 12, 13); false leaves it
    where it is."""
    displacements: bool = True
    """Instances by displacements (Eqs. 10, 14, 15); false takes connected pieces of a class for
    instances."""
    background: float = 0.25
    """Share of the largest score below which a pixel is background."""
    radius: int = 5
    """How far a step of the walk reaches, in px at a quarter of the picture's size."""
    beta: float = 10.0
    """Power of the affinities: the larger, the less passes a weak boundary."""
    walk: int = 256
    """Steps of the walk."""
    centroid: float = 2.5
    """Pixels whose displacement is shorter, in px at a quarter of the picture's size, are
    candidates for a centroid (Eq. 14)."""
    refine: int = 100
    """Refinements of the displacements (Eq. 10)."""
    fragment: float = 0.01
    """Pieces that cover less of the picture are dropped."""

    def __post_init__(self) -> None:
        in_range = 0 < self.background < 1 and 0 <= self.fragment < 1
        if not in_range or self.radius < 2 or self.walk < 1 or self.refine < 0:
            raise ConfigError(
                'labels: expected background in (0, 1), radius of 2 or more, walk of 1 or more,'
                f' refine of 0 or more, fragment in [0, 1), found {self}'
            )


def instance_map(displacement: torch.Tensor, config: SynthesisConfig) -> np.ndarray:
    """I (h, w), the number of the centroid that every pixel of a displacement (2, h, w) px points
    at, 0 where at none (Eqs. 10, 14, 15)."""
    field = refine_displacement(displacement, config.refine) if config.refine else displacement
    return find_components(displacement.cpu().numpy(), field.cpu().numpy(), config.centroid)


def synthesise(
    maps: np.ndarray,
    class_ids: np.ndarray,
    boundary: np.ndarray,
    instances: np.ndarray | None,
    size: tuple[int, int],
    config: SynthesisConfig,
    edges: Edges | None = None,
) -> tuple[tuple[Mask, ...], np.ndarray]:
    """Masks of a picture of `size` (H, W), and its semantic label (H, W) uint8, 0 background, class
    id + 1. Pieces of an instance that do not touch are masks of their own: displacements of
    unconnected things may end at one place.

    maps (k, h, w) in [0, 1] of the classes (k,), boundary (h, w) in [0, 1], instances (h, w) by
    instance_map or None. edges: what makes labels follow the picture's edges, from scores (C, H, W)
    of the background and every group to the labels (H, W) of all pixels; the highest score's if
    None. There are no masks where nothing stands out.
    """
    groups = _groups(maps, class_ids, instances)
    groups = [group for group in groups if group[1].max() > config.background / 2]
    if not groups:
        return (), np.zeros(size, np.uint8)
    scores = np.stack([map_ for _, map_ in groups]).astype(np.float32)
    if config.boundaries:
        matrix = transition_matrix(boundary, config.radius, config.beta)
        scores = walk(scores * (1 - boundary), matrix, config.walk)
    large = np.stack(
        [cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in scores]
    )
    large /= max(float(large.max()), 1e-9)
    all_scores = np.concatenate([np.full((1, *size), config.background, np.float32), large])
    best = edges(all_scores) if edges else all_scores.argmax(0)
    masks = []
    for number, (class_id, _) in enumerate(groups, 1):
        for pixels in _pieces(best == number, config.fragment):
            score = float(large[number - 1][pixels].max())
            masks.append(Mask.of(class_id, score, pixels))
    class_number = np.array([0, *(class_id + 1 for class_id, _ in groups)], np.uint8)
    return tuple(masks), class_number[best]


def label_by_attention(
    maps: np.ndarray,
    class_ids: np.ndarray,
    size: tuple[int, int],
    background: float,
    edges: Edges | None = None,
) -> np.ndarray:
    """The semantic label (H, W) uint8 of a picture of `size`, 0 background, class id + 1, of where
    the classifier looks: `synthesise` without a walk."""
    config = SynthesisConfig(boundaries=False, displacements=False, background=background)
    nowhere = np.zeros(maps.shape[1:], np.float32)
    return synthesise(maps, class_ids, nowhere, None, size, config, edges)[1]


def _groups(
    maps: np.ndarray, class_ids: np.ndarray, instances: np.ndarray | None
) -> list[tuple[int, np.ndarray]]:
    """The maps (h, w) of every class, with its id; of every instance of it where these are known:
    what of the map points at its centroid."""
    groups = [(int(class_id), one) for class_id, one in zip(class_ids, maps)]
    if instances is None:
        return groups
    numbers = range(1, int(instances.max(initial=0)) + 1)
    return [
        (class_id, one * (instances == number)) for class_id, one in groups for number in numbers
    ]


def _pieces(inside: np.ndarray, min_share: float) -> list[np.ndarray]:
    """Masks (H, W) bool of the connected pieces of what is inside (H, W) bool; fragments that cover
    less than this share of the picture are left out."""
    pieces = components(inside)[0].astype(np.uint16)
    pieces = drop_fragments(pieces, min_share * pieces.size)
    return [pieces == number for number in range(1, int(pieces.max(initial=0)) + 1)]


def find_components(displacement: np.ndarray, refined: np.ndarray, radius_px: float) -> np.ndarray:
    """Instances by displacement, the paper's rule for a field that was learnt without knowing any
    centre: displacement (2, H, W) as (x, y) px, as it was and after its refinement -> the
    instance's number of every pixel (H, W) uint16, 0 = none.

    Pixels whose displacement is shorter than radius_px are candidates; their 4-connected components
    are centroids (Eq. 14), and a pixel belongs to the one that its refined displacement points into
    (Eq. 15).
    """
    height, width = displacement.shape[1:]
    centroids, _ = components(np.hypot(*displacement) < radius_px)
    y, x = np.indices((height, width))
    columns, rows = (
        (own + way).round().astype(int).clip(0, length - 1)
        for own, way, length in ((x, refined[0], width), (y, refined[1], height))
    )
    return centroids[rows, columns].astype(np.uint16)
