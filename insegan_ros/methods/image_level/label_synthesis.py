"""From attention maps, boundaries and displacements to pseudo masks (IRNet, section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import label as components

from insegan_ros.data.mask_sets import Mask
from insegan_ros.errors import ConfigError
from insegan_ros.geometry.label_images import drop_fragments
from insegan_ros.methods.image_level.dense_crf import Edges
from insegan_ros.methods.image_level.relations import refine_displacement, transition_matrix, walk
from insegan_ros.offsets.votes import find_components


@dataclass(frozen=True)
class SynthesisConfig:
    """How labels are made of what IRNet says; every ablation of the paper's Table 1 is a switch."""

    boundaries: bool = True
    """Attention walks to all that no boundary parts from it (Eqs. 12, 13); false leaves it where it
    is."""
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
    """Pixels whose refined displacement is shorter are candidates for a centroid (Eq. 14)."""
    refine: int = 100
    """Refinements of the displacements (Eq. 10)."""
    fragment: float = 0.01
    """Pieces that cover less of the picture are dropped."""

    def __post_init__(self) -> None:
        if (
            not 0 < self.background < 1
            or self.radius < 2
            or self.walk < 1
            or self.refine < 0
            or not 0 <= self.fragment < 1
        ):
            raise ConfigError(
                'labels: expected background in (0, 1), radius of 2 or more, walk of 1 or more,'
                f' refine of 0 or more, fragment in [0, 1), found {self}'
            )


def instance_map(displacement: torch.Tensor, config: SynthesisConfig) -> np.ndarray:
    """Displacement (2, h, w) -> I (h, w), the number of the centroid that every pixel points at, 0
    where at none (Eqs. 10, 14, 15)."""
    field = refine_displacement(displacement, config.refine) if config.refine else displacement
    return find_components(displacement.cpu().numpy(), field.cpu().numpy(), config.centroid)


def synthesise(
    maps: np.ndarray,
    kinds: np.ndarray,
    boundary: np.ndarray,
    instances: np.ndarray | None,
    size: tuple[int, int],
    config: SynthesisConfig,
    matrix: sparse.csr_matrix | None = None,
    edges: Edges | None = None,
) -> tuple[tuple[Mask, ...], np.ndarray]:
    """Masks of a picture of `size` (H, W), and its semantic label (H, W) uint8, 0 background, kind
    + 1.

    maps (k, h, w) of the classes `kinds` (k,), boundary (h, w) in [0, 1], instances (h, w) by
    instance_map or None. matrix: transitions by another's affinities than the boundary's. edges:
    from how much speaks for the background and every group, (C, H, W), to the labels (H, W) of all
    pixels; the largest if None. There are no masks where nothing stands out.
    """
    groups = [
        (kind, number, one if instances is None else one * (instances == number))
        for kind, one in zip(kinds, maps)
        for number in ([0] if instances is None else range(1, int(instances.max(initial=0)) + 1))
    ]
    groups = [group for group in groups if group[2].max() > config.background / 2]
    if not groups:
        return (), np.zeros(size, np.uint8)
    scores = np.stack([group[2] for group in groups]).astype(np.float32)
    if config.boundaries:
        scores = walk(
            scores * (1 - boundary),
            (
                matrix
                if matrix is not None
                else transition_matrix(boundary, config.radius, config.beta)
            ),
            config.walk,
        )
    large = np.stack(
        [cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR) for one in scores]
    )
    large /= max(float(large.max()), 1e-9)
    shares = np.concatenate([np.full((1, *size), config.background, np.float32), large])
    best = edges(shares) if edges else shares.argmax(0)
    lookup = np.array([0, *(int(kind) + 1 for kind, _, _ in groups)], np.uint8)
    masks = []
    for index, (kind, _, _) in enumerate(groups, 1):
        pieces = (best == index).astype(np.uint16)
        if instances is None:
            pieces = components(pieces)[0].astype(np.uint16)
        pieces = drop_fragments(pieces, config.fragment * pieces.size)
        for number in range(1, int(pieces.max(initial=0)) + 1):
            pixels = pieces == number
            masks.append(Mask.of(int(kind), float(large[index - 1][pixels].max()), pixels))
    return tuple(masks), lookup[best]
