"""What is learnt from simulated piles: height maps, their truth, and how large a part is there."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from insegan_ros.data.height_maps import HeightMaps, joined, read_height_maps
from insegan_ros.data.scene import visible_fractions
from insegan_ros.data.shards import ShardDataset
from insegan_ros.engine.checkpoint import Scales
from insegan_ros.engine.inputs import HeightImages
from insegan_ros.errors import DatasetError
from insegan_ros.heights import height_scale, pixel_size_m
from insegan_ros.methods.piles.real_frames import window_side_m
from insegan_ros.offsets.inference import VoteRule
from insegan_sim.parts import Part

# A part of which so much is seen shows its size; so many scenes show enough of them.
WHOLE, SIZED_SCENES = 0.95, 60
# Working pictures have sides of multiples of so many px, and of the network's stride.
STRIDE = 32


def read_piles(
    folders: list[Path],
    parts: tuple[Part, ...],
    part_px: float,
    device: torch.device,
    stride_px: int = 1,
) -> tuple[HeightMaps, HeightImages, Scales]:
    """Height maps of piles with their truth, as images, and the scales that they are seen at, with
    part_px px a part. stride_px: the network's."""
    covered_m2 = float(np.mean([part.footprint_m2 for part in parts]))
    size = working_size(folders[0], math.sqrt(covered_m2) / part_px, stride_px)
    maps = joined([read_height_maps(folder, size, truth=True) for folder in folders])
    data = HeightImages.of(maps, height_scale(maps.heights_m), device)
    area_m2, radius_m = part_size(folders[0])
    pixel_m = maps.pixel_m
    scales = Scales(pixel_m, data.height_m, area_m2 / pixel_m**2, radius_m / pixel_m)
    return maps, data, scales


def working_size(folder: Path, pixel_m: float, stride_px: int = 1) -> int:
    """The side in px, a multiple of 32 and of stride_px, of a square height map of a set's bins in
    which a pixel covers some pixel_m."""
    side_m, step = window_side_m(next(iter(ShardDataset(folder)))), math.lcm(STRIDE, stride_px)
    return max(step * round(side_m / pixel_m / step), step, 2 * STRIDE)


def part_size(folder: Path) -> tuple[float, float]:
    """The median area in square metres and the median radius of gyration in metres of what a part
    covers where nothing lies on it, at the floor's scale. Raises DatasetError where none does."""
    sizes = list[tuple[float, float]]()
    for scene in islice(ShardDataset(folder), SIZED_SCENES):
        truth = scene.labelled()
        pixel_m = pixel_size_m(scene.require_workspace(), scene.frame.intrinsics)
        for number in np.flatnonzero(visible_fractions(truth) >= WHOLE) + 1:
            place = np.argwhere(truth.labels == number)
            radius = math.sqrt(place.var(0).sum())
            sizes.append((len(place) * pixel_m**2, radius * pixel_m))
    if not sizes:
        raise DatasetError(
            f'{folder} shows no part whole: expected piles.instances to begin with 1, such as 1-60'
        )
    area, radius = np.median(sizes, 0)
    return float(area), float(radius)


def true_labels(maps: HeightMaps, votes: VoteRule) -> np.ndarray:
    """The truth (N, S, S) where something stands above the floor."""
    assert maps.labels is not None, 'the truth was asked for'
    return np.where(maps.heights_m > votes.min_height_m, maps.labels, 0).astype(np.int64)


def true_centres(maps: HeightMaps) -> np.ndarray:
    """Where the parts are, (N, n, 2) as (x, y) px."""
    assert maps.centres is not None, 'the truth was asked for'
    return maps.centres
