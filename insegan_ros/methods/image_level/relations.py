"""Inter-pixel relations (IRNet: Ahn, Cho, Kwak, CVPR 2019): which pairs of nearby pixels belong
together, and what that teaches a displacement field and a map of boundaries.

A pair is a pixel and an offset to another less than a radius away; each pair is looked at once.
What lies between two pixels are the pixels of their bounding box less than one pixel from the line
through both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import grid_sample

from insegan_ros.data.mask_sets import IGNORED

Offset = tuple[int, int]
# An offset, the pixels that pairs by it begin at, and their affinities.
Pair = tuple[Offset, tuple[slice, slice], Tensor]


@lru_cache
def offsets(radius: int) -> tuple[tuple[Offset, tuple[Offset, ...]], ...]:
    """All offsets (dy, dx) px shorter than the radius, one of each opposite pair, with the pixels
    on the line to them, ends included (Eqs. 2 and 7)."""
    out = []
    for dy in range(radius):
        for dx in range(-radius + 1, radius):
            length = float(np.hypot(dy, dx))
            if not 0 < length < radius or (dy == 0 and dx < 0):
                continue
            line = tuple(
                (y, x)
                for y in range(dy + 1)
                for x in range(min(dx, 0), max(dx, 0) + 1)
                if abs(y * dx - x * dy) / length < 1
            )
            out.append(((dy, dx), line))
    return tuple(out)


def _pairs(height: int, width: int, offset: Offset) -> tuple[slice, slice]:
    """The pixels from which an offset stays in the picture."""
    dy, dx = offset
    return slice(0, max(height - dy, 0)), slice(max(-dx, 0), max(width - max(dx, 0), max(-dx, 0)))


def _shifted(image: Tensor, rows: slice, columns: slice, offset: Offset) -> Tensor:
    return image[
        ...,
        rows.start + offset[0] : rows.stop + offset[0],
        columns.start + offset[1] : columns.stop + offset[1],
    ]


def affinities(boundary: Tensor, radius: int) -> Iterator[Pair]:
    """Of a boundary (..., H, W) in [0, 1], for every offset the pixels that pairs begin at, and
    their affinities in [0, 1], 1 - max over the line (Eq. 7)."""
    height, width = boundary.shape[-2:]
    for offset, line in offsets(radius):
        rows, columns = _pairs(height, width, offset)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        yield offset, (rows, columns), 1 - _HighestOnLine.apply(boundary, rows, columns, line)


class _HighestOnLine(torch.autograd.Function):
    """The largest value on the line of every pair that begins at rows and columns. As plain maxima,
    autograd would keep and pad a picture a pixel of the line, and a training step takes half as
    long again."""

    @staticmethod
    def forward(
        context: Any, boundary: Tensor, rows: slice, columns: slice, line: tuple[Offset, ...]
    ) -> Tensor:
        highest = _shifted(boundary, rows, columns, line[0]).clone()
        for between in line[1:]:
            torch.maximum(highest, _shifted(boundary, rows, columns, between), out=highest)
        context.save_for_backward(boundary, highest)
        context.where = rows, columns, line
        return highest

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        boundary, highest = context.saved_tensors
        rows, columns, line = context.where
        out = torch.zeros_like(boundary)
        for between in line:
            _shifted(out, rows, columns, between).add_(
                gradient * (_shifted(boundary, rows, columns, between) == highest)
            )
        return out, None, None, None


def feature_affinities(features: Tensor, radius: int) -> Iterator[Pair]:
    """The same by the features (..., C, H, W) of the pixels: exp(-mean over channels of their
    absolute difference), AffinityNet's (Ahn and Kwak, CVPR 2018, Eq. 2), with the mean for its sum,
    so that the number of channels does not matter."""
    height, width = features.shape[-2:]
    for offset, _ in offsets(radius):
        rows, columns = _pairs(height, width, offset)
        if rows.stop > rows.start and columns.stop > columns.start:
            here, there = features[..., rows, columns], _shifted(features, rows, columns, offset)
            yield offset, (rows, columns), torch.exp(-(here - there).abs().mean(-3))


def affinity_loss(pairs: Iterable[Pair], labels: Tensor) -> Tensor:
    """L_B (Eq. 8) of affinities, for pseudo-labels (B, H, W): 0 background, class + 1, or IGNORED.
    Pairs are of one class, of the background, or of two classes; where there is none of a sort, it
    adds 0."""
    sums, counts = ([labels.new_zeros((), dtype=torch.float32) for _ in range(3)] for _ in range(2))
    for offset, (rows, columns), affinity in pairs:
        here, there = labels[..., rows, columns], _shifted(labels, rows, columns, offset)
        known, same = (here != IGNORED) & (there != IGNORED), here == there
        together = -torch.log(affinity.clamp(min=1e-5))
        apart = -torch.log((1 - affinity).clamp(min=1e-5))
        terms = (
            (known & same & (here > 0), together),
            (known & same & (here == 0), together),
            (known & ~same, apart),
        )
        for sort, (mask, cost) in enumerate(terms):
            sums[sort] = sums[sort] + (cost * mask).sum()
            counts[sort] = counts[sort] + mask.sum()
    foreground, background, between = (
        total / count.clamp(min=1) for total, count in zip(sums, counts)
    )
    return 0.5 * foreground + 0.5 * background + between


def displacement_losses(displacement: Tensor, labels: Tensor, radius: int) -> dict[str, Tensor]:
    """L_D fg (Eq. 5) and L_D bg (Eq. 6) of displacement (B, 2, H, W) as (x, y) px, for
    pseudo-labels (B, H, W)."""
    height, width = displacement.shape[-2:]
    sums, counts = ([displacement.new_zeros(()) for _ in range(2)] for _ in range(2))
    for offset, _ in offsets(radius):
        rows, columns = _pairs(height, width, offset)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        here, there = labels[..., rows, columns], _shifted(labels, rows, columns, offset)
        same = (here != IGNORED) & (here == there)
        change = displacement[..., rows, columns] - _shifted(displacement, rows, columns, offset)
        # Eq. 5: both ends point at one place.
        way = change.new_tensor([offset[1], offset[0]])[:, None, None]
        terms = (same & (here > 0), change - way), (same & (here == 0), change)
        for sort, (mask, miss) in enumerate(terms):
            sums[sort] = sums[sort] + (miss.abs().sum(1) * mask).sum()
            counts[sort] = counts[sort] + mask.sum()
    return {
        name: total / count.clamp(min=1)
        for name, total, count in zip(('L_D fg', 'L_D bg'), sums, counts)
    }


def relation_losses(
    boundary: Tensor, displacement: Tensor, labels: Tensor, radius: int = 10
) -> dict[str, Tensor]:
    """L_D fg (Eq. 5), L_D bg (Eq. 6) and L_B (Eq. 8) of boundary (B, H, W) in [0, 1], displacement
    (B, 2, H, W) as (x, y) px, and pseudo-labels (B, H, W): 0 background, class + 1, or IGNORED."""
    return {
        **displacement_losses(displacement, labels, radius),
        'L_B': affinity_loss(affinities(boundary, radius), labels),
    }


def refine_displacement(displacement: Tensor, steps: int = 300) -> Tensor:
    """D_{u+1}(x) = D_u(x) + D(x + D_u(x)) of (2, H, W) as (x, y) px, until nothing moves by .01 px
    or `steps` are done (Eq. 10)."""
    height, width = displacement.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=displacement.dtype),
        torch.arange(width, dtype=displacement.dtype),
        indexing='ij',
    )
    own = torch.stack([x, y]).to(displacement)
    size = displacement.new_tensor([width, height])[:, None, None]
    refined = displacement.clone()
    for _ in range(steps):
        place = (2 * (own + refined) + 1) / size - 1
        more = grid_sample(
            displacement[None],
            place.permute(1, 2, 0)[None],
            padding_mode='border',
            align_corners=False,
        )[0]
        refined = refined + more
        if float(more.abs().max()) < 0.01:
            break
    return refined


def transition_matrix(
    boundary: np.ndarray, radius: int = 5, beta: float = 10.0
) -> sparse.csr_matrix:
    """T of Eq. 12, (HW, HW), of a boundary (H, W) in [0, 1]: affinities to the power of beta of
    pairs within the radius in px, and of every pixel with itself, rows summing to one. Memory is
    linear in the pixels."""
    map_ = torch.from_numpy(np.ascontiguousarray(boundary, dtype=np.float32))
    return transitions(affinities(map_, radius), boundary.shape, beta)


def transitions(pairs: Iterable[Pair], shape: tuple[int, int], beta: float) -> sparse.csr_matrix:
    """The same by any affinities of the pixels of a picture of `shape` (H, W)."""
    height, width = shape
    number = np.arange(height * width).reshape(height, width)
    starts, ends, values = [], [], []
    for (dy, dx), (rows, columns), affinity in pairs:
        there = number[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
        starts.append(number[rows, columns].ravel())
        ends.append(there.ravel())
        values.append(affinity.cpu().numpy().ravel() ** beta)
    start, end, value = (
        np.concatenate(some) if some else np.zeros(0) for some in (starts, ends, values)
    )
    own = number.ravel()
    both = np.concatenate([value, value, np.ones(len(own), np.float32)])
    begin = np.concatenate([start, end, own]).astype(np.int32)
    stop = np.concatenate([end, start, own]).astype(np.int32)
    matrix = sparse.csr_matrix((both, (begin, stop)), shape=(len(own), len(own)))
    total = np.asarray(matrix.sum(1)).ravel().astype(np.float32)
    return (sparse.diags_array(1 / total) @ matrix).tocsr()


def walk(scores: np.ndarray, matrix: sparse.csr_matrix, steps: int = 256) -> np.ndarray:
    """A random walk: scores (K, H, W) after `steps` steps by a transition matrix (HW, HW). For
    IRNet's T^steps (M (1 - B)) of Eq. 13, scores are M (1 - B). As sparse products: a dense power
    takes minutes where these take a second."""
    spread = np.ascontiguousarray(scores.reshape(len(scores), -1).T, dtype=np.float32)
    for _ in range(steps):
        spread = matrix @ spread
    return spread.T.reshape(scores.shape)
