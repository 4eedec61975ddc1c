"""The perturbed composition of layered GANs: the foreground is moved a little before it is laid on
the background.

Restricted affine maps, improved layered GANs, Eqs. 9 and 10; the idea is PerturbGAN's (Bielski and
Favaro, NeurIPS 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from insegan_ros.errors import ConfigError


@dataclass(frozen=True)
class PerturbationConfig:
    """How far, drawn evenly. The defaults are the paper's for CUB, Dogs and APC (Table C.1), whose
    16 px are of 128."""

    scale: tuple[float, float] = (-0.2, 0.0)
    """Least and most s; the foreground is enlarged by 2^s."""
    shift: float = 0.125
    """Most that it is shifted along x and along y, in sides of the picture."""
    rotation_deg: float = 15.0
    """Most that it is turned, either way."""
    contrast: tuple[float, float] = (1.0, 1.0)
    """Least and most factor on the background's contrast; the paper has (.7, 1.3) for cars."""

    def __post_init__(self) -> None:
        if (
            self.scale[0] > self.scale[1]
            or not 0 <= self.shift <= 1
            or not 0 <= self.rotation_deg <= 180
            or not 0 <= self.contrast[0] <= self.contrast[1]
        ):
            raise ConfigError(
                f'perturbation scale {self.scale}, shift {self.shift}, rotation_deg'
                f' {self.rotation_deg}, contrast {self.contrast}: expected least before most, a'
                ' shift of 0 to 1, 0 to 180 degrees, a contrast of 0 or more'
            )


def draw_motions(config: PerturbationConfig, count: int, device: torch.device) -> Tensor:
    """Random A = T R S of Eq. 10, (count, 2, 3), in half sides of the picture: x' = A x moves the
    foreground."""
    s = config.scale[0] + (config.scale[1] - config.scale[0]) * torch.rand(count, device=device)
    angle = torch.deg2rad((2 * torch.rand(count, device=device) - 1) * config.rotation_deg)
    shift = (2 * torch.rand(count, 2, device=device) - 1) * 2 * config.shift
    return motion(2**s, angle, shift)


def motion(scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """A = T(shift) R(angle) S(scale), (B, 2, 3), from scale (B,), angle (B,) in rad, shift (B, 2)
    in half sides."""
    turn = torch.stack(
        [torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)],
        1,
    )
    return torch.cat([turn * scale[:, None, None], shift[:, :, None]], -1)


def warp(images: Tensor, forward: Tensor) -> Tensor:
    """Images (B, C, H, W) moved by A (B, 2, 3): T(x)(u) = x(A^-1 u), Eq. 9, the inverse in closed
    form; 0 comes in at the rims."""
    linear = torch.linalg.inv(forward[:, :, :2])
    back = torch.cat([linear, -linear @ forward[:, :, 2:]], -1)
    grid = affine_grid(back, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode='zeros', align_corners=False)


def jitter_contrast(images: Tensor, config: PerturbationConfig) -> Tensor:
    """Images (B, C, H, W) in [-1, 1] with a random contrast each, about their own mean."""
    low, high = config.contrast
    if low == high == 1:
        return images
    factor = low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)
    mean = images.mean((1, 2, 3), keepdim=True)
    return (mean + factor * (images - mean)).clamp(-1, 1)
