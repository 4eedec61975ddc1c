"""The 3-D spatial transformer: a volume under many rigid motions, and the columns of what was moved
as a CPU gathers them quickest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, embedding_bag, grid_sample, pad


def transform_volume(
    volume: Tensor, rotation: Tensor, translation: Tensor, size: int | None = None
) -> Tensor:
    """3-D spatial transformer: the template under each rigid motion.

    volume (C, D, H, W), axes z, y, x; rotation (M, 3, 3) and translation (M, 3) act on (x, y, z) in
    half sides. Returns (M, C, S, S, S), S the volume's own side unless `size` is given. Sampling is
    inverse, out(p) = volume(R^T (p - t)), zero outside.
    """
    inverse = rotation.transpose(-1, -2)
    theta = torch.cat([inverse, -inverse @ translation[..., None]], -1)
    count, side = rotation.shape[0], size or volume.shape[-1]
    grid = affine_grid(theta, [count, volume.shape[0], side, side, side], align_corners=False)
    # Instances laid side by side in two long grids: a grid each would make the backward pass write
    # a volume each.
    groups = 2 if count % 2 == 0 else 1
    grid = grid.reshape(groups, count // groups * side, side, side, 3)
    moved = grid_sample(
        volume.expand(groups, *volume.shape), grid, align_corners=False, padding_mode='zeros'
    )
    return (
        moved.reshape(groups, -1, count // groups, side, side, side)
        .transpose(1, 2)
        .reshape(count, -1, side, side, side)
    )


def moved_columns(volume: Tensor, rotation: Tensor, translation: Tensor, size: int) -> Tensor:
    """What `transform_volume` gives, as columns (M, S, S, S C): at every y and x the layers from
    the lowest to the highest, and in each its channels.

    The eight voxels around a point are rows of a table, whose channels lie side by side: a CPU
    gathers whole rows, where grid_sample reads every channel from another place.
    """
    # Half precision, if that is what is trained in, could not tell neighbouring voxels apart.
    kind = torch.promote_types(volume.dtype, torch.float32)
    with torch.autocast(volume.device.type, enabled=False):
        return _gathered(volume.to(kind), rotation.to(kind), translation.to(kind), size)


def _gathered(volume: Tensor, rotation: Tensor, translation: Tensor, size: int) -> Tensor:
    """`moved_columns` in one precision."""
    # Voxels of nothing all around: a point outside lies among them.
    side = volume.shape[-1] + 2
    table = pad(volume, (1, 1) * 3).flatten(1).t().contiguous()
    cells, weights = _cells(rotation, translation, side, size)
    rows = cells[:, None] + _corners(side, cells.device)
    moved = embedding_bag(rows, table.detach(), mode='sum', per_sample_weights=weights)
    moved = _OfTable.apply(moved, table, cells, weights.detach())
    return moved.reshape(len(rotation), size, size, -1)


def _corners(side: int, device: torch.device) -> Tensor:
    """How much farther in a table of side^3 voxels the eight corners of a cell are than its first,
    (8,) int32, x the quickest."""
    steps = torch.arange(2, device=device, dtype=torch.int32)
    return (steps[:, None, None] * side**2 + steps[:, None] * side + steps).flatten()


def _cells(rotation: Tensor, translation: Tensor, side: int, size: int) -> tuple[Tensor, Tensor]:
    """The cells that the points of the moved cubes (M S^3, in the order y, x, z) lie in, and where:
    the first voxel of each (M S^3,) int32 in a padded volume of `side`^3, the trilinear weights of
    its corners (M S^3, 8)."""
    axis = (torch.arange(size, device=rotation.device, dtype=rotation.dtype) + 0.5) / size * 2 - 1
    y, x, z = torch.meshgrid(axis, axis, axis, indexing='ij')
    points = torch.stack([x, y, z], -1).reshape(-1, 3)
    # R^T (p - t) of a row vector, then in voxels of the padded volume.
    place = ((points - translation[:, None]) @ rotation + 1) * ((side - 2) / 2) + 0.5
    place = place.clamp(0, side - 1).flatten(0, 1)
    low = place.detach().floor().clamp(max=side - 2)
    x, y, z = low.int().unbind(-1)
    share = place - low
    ends = torch.stack([1 - share, share])
    along_x, along_y, along_z = ends.unbind(-1)
    weights = along_z[:, None, None] * (along_y[:, None] * along_x)
    return (z * side + y) * side + x, weights.flatten(0, 2).t().contiguous()


class _OfTable(torch.autograd.Function):
    """What was gathered (N, C), unchanged; its gradient goes to the table (R, C) as well.

    `embedding_bag` has this gradient too, and takes twice as long: it sorts all corners, where to
    sort the cells (N,) is enough.
    """

    @staticmethod
    def forward(ctx: Any, moved: Tensor, table: Tensor, cells: Tensor, weights: Tensor) -> Tensor:
        """The gathered rows (N, C)."""
        ctx.save_for_backward(cells, weights)
        ctx.rows = len(table)
        return moved.view_as(moved)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        """The gradient (N, C) as it is, and the table's (R, C)."""
        grad, of_table = grads[0], None
        if ctx.needs_input_grad[1]:
            cells, weights = ctx.saved_tensors
            of_table = _table_gradient(grad, cells, weights, ctx.rows)
        return grad, of_table, None, None


def _table_gradient(grad: Tensor, cells: Tensor, weights: Tensor, rows: int) -> Tensor:
    """Row r (of R) is the weighted sum of the gradients (N, C) of all points that r was a corner
    of."""
    order = cells.argsort()
    ends = torch.bincount(cells, minlength=rows).cumsum(0)
    begins = torch.cat([ends.new_zeros(1), ends[:-1]])
    weights, out = weights[order], grad.new_zeros(rows, grad.shape[1])
    for corner, step in enumerate(_corners(round(rows ** (1 / 3)), cells.device).tolist()):
        own = weights[:, corner].contiguous()
        of_cells = embedding_bag(order, grad, begins, mode='sum', per_sample_weights=own)
        out[step:] += of_cells[: rows - step]
    return out
