"""Foreground or background, for every pixel of a colour picture: a U-Net."""
from __future__ import annotations

from dataclasses import dataclass

from insegan_ros.errors import ConfigError
from insegan_ros.networks.unet import UNet


@dataclass(frozen=True)
class ForegroundConfig:
    """Shape of the U-Net. The papers' has width 64 and 4 levels (64-128-256-512)."""

    width: int = 16
    """Channels at full resolution; doubled at every level."""
    levels: int = 4
    """Resolutions; images are padded to multiples of 2^(levels - 1)."""

    def __post_init__(self) -> None:
        if self.width % 8 or self.width < 8 or not 2 <= self.levels <= 6:
            raise ConfigError(f'width is {self.width}, levels {self.levels}: expected a multiple of 8, and 2 to 6')


class ForegroundNet(UNet):
    """(B, 3, H, W) RGB in [-1, 1] -> (B, 1, H, W) logits of the foreground, batch norm."""

    def __init__(self, config: ForegroundConfig) -> None:
        super().__init__(3, 1, config.width, config.levels, 'batch')
