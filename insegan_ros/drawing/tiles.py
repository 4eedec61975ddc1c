"""Pictures of what a network makes, for TensorBoard and for model cards."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from insegan_ros.files import write_png


def tile(images: Tensor, columns: int) -> Tensor:
    """Images (N, H, W) in [-1, 1], side by side in rows of `columns`, as one (1, h, w) picture in
    [0, 1] with thin lines between."""
    images = torch.cat([images, images.new_full((-len(images) % columns, *images.shape[1:]), -1.0)])
    cells = pad((images.clamp(-1, 1) + 1) / 2, (0, 1, 0, 1), value=0.5)
    rows = cells.reshape(-1, columns, *cells.shape[1:])
    return rows.transpose(1, 2).reshape(1, rows.shape[0] * rows.shape[2], -1).cpu()


def tile_colour(images: Tensor, columns: int) -> Tensor:
    """Colour images (N, 3, H, W) in [-1, 1] side by side as one (3, h, w) picture in [0, 1], as
    `tile` has it."""
    return torch.cat([tile(images[:, channel], columns) for channel in range(3)])


def save_picture(path: Path, picture: Tensor, zoom: int = 2) -> None:
    """Write a picture (3, h, w) in [0, 1] as PNG, enlarged by a factor."""
    large = cv2.resize(
        picture.cpu().permute(1, 2, 0).numpy(),
        None,
        fx=zoom,
        fy=zoom,
        interpolation=cv2.INTER_NEAREST,
    )
    write_png(path, (large * 255).astype(np.uint8))
