"""Inter-pixel relations (IRNet: Ahn, Cho, Kwak, CVPR 2019): which pairs of nearby pixels belong together, and what that teaches a displacement field
and a map of boundaries.

A pair is a pixel and an offset to another less than a radius away; each pair is looked at once. What lies between two pixels are the pixels of
their bounding box less than one pixel from the line through both.
"""
from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import grid_sample

# Pseudo class labels: 0 is background, 1 and up are classes, this is unknown.
IGNORED = 255
Offset = tuple[int, int]


@lru_cache
def offsets(radius: int) -> tuple[tuple[Offset, tuple[Offset, ...]], ...]:
    """All offsets (dy, dx) shorter than the radius, one of each opposite pair, with the pixels on the line to them, ends included (Eqs. 2 and 7)."""
    out = []
    for dy in range(radius):
        for dx in range(-radius + 1, radius):
            length = float(np.hypot(dy, dx))
            if not 0 < length < radius or (dy == 0 and dx < 0):
                continue
            line = tuple((y, x) for y in range(dy + 1) for x in range(min(dx, 0), max(dx, 0) + 1) if abs(y * dx - x * dy) / length < 1)
            out.append(((dy, dx), line))
    return tuple(out)


def _pairs(height: int, width: int, offset: Offset) -> tuple[slice, slice]:
    """The pixels from which an offset stays in the picture."""
    dy, dx = offset
    return slice(0, max(height - dy, 0)), slice(max(-dx, 0), max(width - max(dx, 0), max(-dx, 0)))


def _shifted(image: Tensor, rows: slice, columns: slice, offset: Offset) -> Tensor:
    return image[..., rows.start + offset[0]:rows.stop + offset[0], columns.start + offset[1]:columns.stop + offset[1]]


def affinities(boundary: Tensor, radius: int) -> Iterator[tuple[Offset, tuple[slice, slice], Tensor]]:
    """boundary (..., H, W) in [0, 1] -> for every offset the pixels that pairs begin at, and their affinity 1 - max over the line (Eq. 7)."""
    height, width = boundary.shape[-2:]
    for offset, line in offsets(radius):
        rows, columns = _pairs(height, width, offset)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        highest = _shifted(boundary, rows, columns, line[0])
        for between in line[1:]:
            highest = torch.maximum(highest, _shifted(boundary, rows, columns, between))
        yield offset, (rows, columns), 1 - highest


def relation_losses(boundary: Tensor, displacement: Tensor, labels: Tensor, radius: int = 10) -> dict[str, Tensor]:
    """L_D fg (Eq. 5), L_D bg (Eq. 6) and L_B (Eq. 8) of boundary (B, H, W) in [0, 1], displacement (B, 2, H, W) as (x, y) px, and pseudo class labels
    (B, H, W), 0 background, IGNORED unknown. A kind of pair of which there is none counts 0."""
    sums = {name: boundary.new_zeros(()) for name in ('fg', 'bg', 'same fg', 'same bg', 'apart')}
    counts = {name: boundary.new_zeros(()) for name in ('fg', 'bg', 'apart')}
    for offset, (rows, columns), affinity in affinities(boundary, radius):
        here, there = labels[..., rows, columns], _shifted(labels, rows, columns, offset)
        known, same = (here != IGNORED) & (there != IGNORED), here == there
        masks = {'fg': known & same & (here > 0), 'bg': known & same & (here == 0), 'apart': known & ~same}
        change = displacement[..., rows, columns] - _shifted(displacement, rows, columns, offset)
        way = change.new_tensor([offset[1], offset[0]])[:, None, None]
        # Eq. 5: both ends point at one place.
        sums['fg'] = sums['fg'] + ((change - way).abs().sum(1) * masks['fg']).sum()
        sums['bg'] = sums['bg'] + (change.abs().sum(1) * masks['bg']).sum()
        together, apart = -torch.log(affinity.clamp(min=1e-5)), -torch.log((1 - affinity).clamp(min=1e-5))
        sums['same fg'] = sums['same fg'] + (together * masks['fg']).sum()
        sums['same bg'] = sums['same bg'] + (together * masks['bg']).sum()
        sums['apart'] = sums['apart'] + (apart * masks['apart']).sum()
        for name, mask in masks.items():
            counts[name] = counts[name] + mask.sum()
    fg, bg, apart = (counts[name].clamp(min=1) for name in ('fg', 'bg', 'apart'))
    return {'L_D fg': sums['fg'] / fg, 'L_D bg': sums['bg'] / bg, 'L_B': sums['same fg'] / (2 * fg) + sums['same bg'] / (2 * bg) + sums['apart'] / apart}


def refine_displacement(displacement: Tensor, steps: int = 300) -> Tensor:
    """D_{u+1}(x) = D_u(x) + D(x + D_u(x)) of (2, H, W) as (x, y) px, until nothing moves by .01 px or `steps` are done (Eq. 10)."""
    height, width = displacement.shape[1:]
    y, x = torch.meshgrid(torch.arange(height, dtype=displacement.dtype), torch.arange(width, dtype=displacement.dtype), indexing='ij')
    own = torch.stack([x, y]).to(displacement)
    size = displacement.new_tensor([width, height])[:, None, None]
    refined = displacement.clone()
    for _ in range(steps):
        place = (2 * (own + refined) + 1) / size - 1
        more = grid_sample(displacement[None], place.permute(1, 2, 0)[None], padding_mode='border', align_corners=False)[0]
        refined = refined + more
        if float(more.abs().max()) < 0.01:
            break
    return refined


def transition_matrix(boundary: np.ndarray, radius: int = 5, beta: float = 10.0) -> sparse.csr_matrix:
    """T of Eq. 12, (HW, HW): affinities to the power of beta of pairs within the radius and of every pixel with itself, rows summing to one. Memory is
    linear in the pixels."""
    height, width = boundary.shape
    number = np.arange(height * width).reshape(height, width)
    starts, ends, values = [], [], []
    for (dy, dx), (rows, columns), affinity in affinities(torch.from_numpy(np.ascontiguousarray(boundary, dtype=np.float32)), radius):
        starts.append(number[rows, columns].ravel())
        ends.append(number[rows.start + dy:rows.stop + dy, columns.start + dx:columns.stop + dx].ravel())
        values.append(affinity.numpy().ravel() ** beta)
    start, end, value = (np.concatenate(some) if some else np.zeros(0) for some in (starts, ends, values))
    own = number.ravel()
    matrix = sparse.csr_matrix((np.concatenate([value, value, np.ones(len(own), np.float32)]),
                                (np.concatenate([start, end, own]).astype(np.int32), np.concatenate([end, start, own]).astype(np.int32))), shape=(len(own),) * 2)
    return (sparse.diags_array(1 / np.asarray(matrix.sum(1)).ravel().astype(np.float32)) @ matrix).tocsr()


def random_walk(scores: np.ndarray, boundary: np.ndarray, radius: int = 5, beta: float = 10.0, steps: int = 256) -> np.ndarray:
    """Attention scores (K, H, W) spread to what belongs together, T^steps (M (1 - B)) (Eq. 13); boundary (H, W) in [0, 1]. As sparse products: a dense
    power takes minutes where these take a second."""
    matrix = transition_matrix(boundary, radius, beta)
    spread = np.ascontiguousarray((scores * (1 - boundary)).reshape(len(scores), -1).T, dtype=np.float32)
    for _ in range(steps):
        spread = matrix @ spread
    return spread.T.reshape(scores.shape)
