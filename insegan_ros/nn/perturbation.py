"""The perturbed composition of layered GANs: before the foreground is blended over the background,
a random affine map moves it a little (improved layered GANs, Eqs. 9 and 10; the idea is
PerturbGAN's, Bielski and Favaro, NeurIPS 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from insegan_ros.errors import ConfigError


@dataclass(frozen=True)
class PerturbationConfig:
    """Ranges of the perturbation, drawn uniformly. The defaults are the paper's for CUB, Dogs and
    APC (Table C.1), where the shift is 16 of 128 px."""

    scale: tuple[float, float] = (-0.2, 0.0)
    """Minimum and maximum of s; the foreground is scaled by 2^s."""
    shift: float = 0.125
    """Maximum shift along x and along y, either way, in sides of the picture."""
    rotation_deg: float = 15.0
    """Maximum rotation, either way."""
    contrast: tuple[float, float] = (1.0, 1.0)
    """Minimum and maximum factor on the background's contrast; the paper has (.7, 1.3) for
    cars."""

    def __post_init__(self) -> None:
        if (
            self.scale[0] > self.scale[1]
            or not 0 <= self.shift <= 1
            or not 0 <= self.rotation_deg <= 180
            or not 0 <= self.contrast[0] <= self.contrast[1]
        ):
            raise ConfigError(
                f'perturbation scale {self.scale}, shift {self.shift}, rotation_deg'
                f' {self.rotation_deg}, contrast {self.contrast}: expected minimum before'
                ' maximum, a shift of 0 to 1, 0 to 180 degrees, a contrast of 0 or more'
            )


def draw_motions(config: PerturbationConfig, count: int, device: torch.device) -> Tensor:
    """Random affine maps A = T R S of Eq. 10, (count, 2, 3), lengths in half sides of the picture:
    x' = A x is where a point x of the foreground goes."""
    s = config.scale[0] + (config.scale[1] - config.scale[0]) * torch.rand(count, device=device)
    angle = torch.deg2rad((2 * torch.rand(count, device=device) - 1) * config.rotation_deg)
    shift = (2 * torch.rand(count, 2, device=device) - 1) * 2 * config.shift
    return motion(2**s, angle, shift)


def motion(scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Affine maps A = T(shift) R(angle) S(scale), (B, 2, 3), from scale (B,), angle (B,) in rad and
    shift (B, 2) in half sides of the picture."""
    rows = (
        torch.stack([angle.cos(), -angle.sin()], -1),
        torch.stack([angle.sin(), angle.cos()], -1),
    )
    rotation = torch.stack(rows, 1)
    return torch.cat([rotation * scale[:, None, None], shift[:, :, None]], -1)


def warp(images: Tensor, forward: Tensor) -> Tensor:
    """Images (B, C, H, W) moved by affine maps A (B, 2, 3): T(x)(u) = x(A^-1 u), Eq. 9, bilinear,
    with the exact inverse; what comes in at the borders is 0."""
    linear = torch.linalg.inv(forward[:, :, :2])
    back = torch.cat([linear, -linear @ forward[:, :, 2:]], -1)
    grid = affine_grid(back, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode='zeros', align_corners=False)


def jitter_contrast(images: Tensor, config: PerturbationConfig) -> Tensor:
    """Images (B, C, H, W) in [-1, 1], each with a random contrast about its own mean, clipped to
    [-1, 1]."""
    low, high = config.contrast
    if low == high == 1:
        return images
    factor = low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)
    mean = images.mean((1, 2, 3), keepdim=True)
    return (mean + factor * (images - mean)).clamp(-1, 1)
