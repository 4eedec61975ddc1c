"""IRNet (Ahn, Cho, Kwak, CVPR 2019): boundaries between classes, and displacements to instances'
centres, from five levels of a frozen classifier."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from insegan_ros.errors import ConfigError
from insegan_ros.methods.image_level.backbone import BackboneConfig, FrozenBackbone, normalise


@dataclass(frozen=True)
class IRNetConfig:
    """Shape of the two branches."""

    width: int = 128
    """Channels of the displacement branch, the paper's are 256; half and a quarter of it at the
    first levels, an eighth of it a level in the boundary branch."""

    def __post_init__(self) -> None:
        if self.width < 64 or self.width % 64:
            raise ConfigError(f'network.width is {self.width}: expected a multiple of 64')


class IRNet(nn.Module):
    """uint8 pictures (B, C, H, W) -> boundary (B, h, w) in [0, 1] and displacement (B, 2, h, w) as
    (x, y) in its own px, at 1/4 of their size.

    `mean` is what a trained displacement has on average, which is taken off: the second condition
    of a displacement field (section 4.3).
    """

    def __init__(
        self,
        config: IRNetConfig,
        backbone: BackboneConfig,
        channels: int,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = FrozenBackbone(backbone, channels, frozen_norm)
        widths, width = self.backbone.widths, config.width
        self.boundary = nn.ModuleList(_layer(level, width // 8, 4) for level in widths)
        self.boundary_out = nn.Conv2d(5 * width // 8, 1, 1)
        self.displacement = nn.ModuleList(
            _layer(level, out, groups)
            for level, out, groups in zip(
                widths, (width // 4, width // 2, width, width, width), (8, 16, 16, 16, 16)
            )
        )
        self.deep = nn.Sequential(*_layer(3 * width, width, 16), nn.ReLU(inplace=True))
        self.shallow = nn.Sequential(
            *_layer(width // 4 + width // 2 + width, width, 16),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2, 1, bias=False),
        )
        self.register_buffer('mean', torch.zeros(2))

    def heads(self) -> list[nn.Parameter]:
        """The displacement branch's weights, which learn ten times as fast."""
        return [
            *self.displacement.parameters(),
            *self.deep.parameters(),
            *self.shallow.parameters(),
        ]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        with torch.no_grad():
            levels = self.backbone(normalise(pictures))
        size = levels[0].shape[2:]
        edges = [_resize(layer(level), size).relu() for layer, level in zip(self.boundary, levels)]
        boundary = self.boundary_out(torch.cat(edges, 1)).sigmoid()[:, 0]
        first, second, *rest = (layer(level) for layer, level in zip(self.displacement, levels))
        deep = self.deep(torch.cat([_resize(one, rest[0].shape[2:]).relu() for one in rest], 1))
        out = self.shallow(torch.cat([first.relu(), second.relu(), _resize(deep, size)], 1))
        return boundary, out - self.mean[:, None, None]

    @torch.no_grad()
    def predict(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Boundary (h, w), averaged with that of the mirror image, and displacement (2, h, w) of
        one picture (C, H, W)."""
        boundary, displacement = self(torch.stack([picture, picture.flip(-1)]))
        return (boundary[0] + boundary[1].flip(-1)) / 2, displacement[0]


def _layer(before: int, after: int, groups: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.GroupNorm(groups, after))


def _resize(features: Tensor, size: torch.Size) -> Tensor:
    return (
        features
        if features.shape[2:] == size
        else interpolate(features, size, mode='bilinear', align_corners=False)
    )
